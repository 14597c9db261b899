// swift-tools-version: 6.2
// One package, one executable to install. Two towers on one ground floor: the learning tower knows no socket, the fleet
// tower no tensor; they meet only in `greensweep`. A target may import only what is listed for it here (Tests/TidyTests
// checks).

import Foundation
import PackageDescription

/// The tests build with `GREENSWEEP_STRICT=1`, so that a warning never lands; a newer compiler's new warnings must not
/// keep a user from building.
let isStrict = ProcessInfo.processInfo.environment["GREENSWEEP_STRICT"] == "1"

/// Without oneDNN's header the shim says that there is no such backend, and OpenBLAS computes.
let hasOneDNN = ["/usr/include", "/usr/local/include"].contains {
  FileManager.default.fileExists(atPath: $0 + "/dnnl.h")
}

/// The commit that a packaged program says it was built from: cluster/package.sh sets it.
let commit = ProcessInfo.processInfo.environment["GREENSWEEP_COMMIT"] ?? ""

let common: [SwiftSetting] =
  [.swiftLanguageMode(.v6), .strictMemorySafety(), .enableUpcomingFeature("MemberImportVisibility")]
  + (isStrict ? [.treatAllWarnings(as: .error)] : [])

/// Arithmetic stays optimised in debug builds: unoptimised loops run up to 140 times slower and the tests train networks.
/// So do the fleet's values: tests feed them millions of events and messages.
let numeric: [SwiftSetting] = common + [.unsafeFlags(["-O"], .when(configuration: .debug))]
let optimizedC: [CSetting] = [.unsafeFlags(["-O3"])]

func library(_ name: String, apt: String, pkgConfig: String? = nil) -> Target {
  .systemLibrary(
    name: name, path: "Sources/GroundFloor/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

/// C of our own around a library that reports errors by longjmp, which must not pass a Swift frame.
func shim(_ name: String, library: String) -> Target {
  .target(
    name: name, path: "Sources/GroundFloor/\(name)", cSettings: optimizedC, linkerSettings: [.linkedLibrary(library)])
}

func module(
  _ tower: String, _ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = common
) -> Target {
  .target(name: name, dependencies: dependencies, path: "Sources/\(tower)/\(name)", swiftSettings: settings)
}

func tests(_ kind: String, _ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, path: "Tests/\(kind)/\(name)", swiftSettings: numeric)
}

let groundFloor: [Target] = [
  library("COpenBLAS", apt: "libopenblas-dev", pkgConfig: "openblas"),
  library("CZstd", apt: "libzstd-dev", pkgConfig: "libzstd"),
  library("COpenSSL", apt: "libssl-dev", pkgConfig: "openssl"),
  library("CEvent", apt: "libevent-dev", pkgConfig: "libevent"),
  library("CSQLite", apt: "libsqlite3-dev", pkgConfig: "sqlite3"),
  library("CYAML", apt: "libyaml-dev", pkgConfig: "yaml-0.1"),
  .target(
    name: "CKernels", path: "Sources/GroundFloor/CKernels", cSettings: optimizedC,
    linkerSettings: [.linkedLibrary("gomp")]),
  .target(
    name: "CDNNL", path: "Sources/GroundFloor/CDNNL", cSettings: optimizedC,
    linkerSettings: hasOneDNN ? [.linkedLibrary("dnnl")] : []),
  shim("CJPEG", library: "jpeg"),
  shim("CPNG", library: "png"),
  .target(name: "CTerminal", path: "Sources/GroundFloor/CTerminal"),
  .target(name: "CBuild", path: "Sources/GroundFloor/CBuild", cSettings: [.define("BUILD_COMMIT", to: commit)]),
  module("GroundFloor", "Bytes", settings: numeric),
  module("GroundFloor", "Wording", ["Bytes", "CTerminal"]),
  module("GroundFloor", "Platform", ["CBuild"]),
  module("GroundFloor", "YAML", ["Bytes", "CYAML", "Wording"]),
  module("GroundFloor", "JSON", ["Bytes"], settings: numeric),
  module("GroundFloor", "Artifacts", ["Bytes", "CZstd", "COpenSSL", "Wording"]),
  module("GroundFloor", "Plotting"),
  module("GroundFloor", "Randomness", ["Bytes"]),
  module("GroundFloor", "Settings", ["Wording", "JSON"], settings: numeric),
]

let learningTower: [Target] = [
  module("LearningTower", "Geometry", settings: numeric),
  module("LearningTower", "Network", ["Randomness"], settings: numeric),
  module("LearningTower", "Zoo", ["Wording", "YAML", "Network"]),
  module("LearningTower", "Compute", ["Settings", "Network", "CKernels", "CDNNL", "COpenBLAS"], settings: numeric),
  module(
    "LearningTower", "Dataset", ["Geometry", "Bytes", "Wording", "YAML", "Randomness", "CJPEG", "CPNG"],
    settings: numeric),
  module("LearningTower", "Detection", ["Geometry", "Network", "Dataset"], settings: numeric),
  module("LearningTower", "Interchange", ["Bytes", "Wording", "JSON", "Network"], settings: numeric),
  module("LearningTower", "Pruning", ["JSON", "Randomness", "Network"], settings: numeric),
  module(
    "LearningTower", "Evaluation", ["Geometry", "Platform", "Plotting", "Network", "Compute", "Dataset", "Detection"],
    settings: numeric),
  module(
    "LearningTower", "Training",
    [
      "Wording", "YAML", "JSON", "Settings", "Network", "Zoo", "Compute", "Dataset", "Detection", "Interchange",
      "Pruning",
      "Evaluation",
    ],
    settings: numeric),
  module(
    "LearningTower", "Pipeline",
    [
      "Wording", "Platform", "YAML", "JSON", "Settings", "Plotting", "Geometry", "Network", "Zoo", "Compute", "Dataset",
      "Detection", "Interchange", "Pruning", "Evaluation", "Training",
    ], settings: numeric),
]

let fleetTower: [Target] = [
  module("FleetTower", "Sweep", ["Bytes", "Wording", "YAML", "JSON", "Settings", "Plotting"], settings: numeric),
  module("FleetTower", "Fleet", ["Bytes", "Wording", "JSON", "Randomness", "Sweep"], settings: numeric),
  module("FleetTower", "Wire", ["Bytes", "Wording", "JSON", "Sweep", "Fleet"], settings: numeric),
  module("FleetTower", "Transport", ["Bytes", "Wording", "Artifacts", "CEvent", "COpenSSL"]),
  module("FleetTower", "Transfer", ["Bytes", "Wording", "Artifacts", "Sweep", "Wire", "Transport"]),
  module("FleetTower", "Store", ["Bytes", "Wording", "JSON", "Sweep", "Fleet", "Wire", "Artifacts", "CSQLite"]),
  module(
    "FleetTower", "Coordinator",
    [
      "Bytes", "Wording", "JSON", "Plotting", "Sweep", "Fleet", "Reporting", "Wire", "Transport", "Transfer", "Store",
      "Artifacts",
    ]),
  module(
    "FleetTower", "Worker",
    ["Bytes", "Wording", "JSON", "Sweep", "Fleet", "Wire", "Transport", "Transfer", "Artifacts"]),
  module(
    "FleetTower", "Reporting", ["Bytes", "Wording", "JSON", "Artifacts", "Settings", "Plotting", "Sweep", "Fleet"]),
  module("FleetTower", "Launch", ["Bytes", "Wording", "YAML", "Settings", "Artifacts", "Fleet", "Transport"]),
  module("FleetTower", "Client", ["Bytes", "Sweep", "Fleet", "Wire", "Transport", "Transfer", "Artifacts"]),
]

let testTargets: [Target] = [
  .target(
    name: "TestSupport", dependencies: ["JSON", "Network", "Interchange"], path: "Tests/TestSupport",
    swiftSettings: numeric),
  .target(
    name: "Simulation", dependencies: ["Bytes", "Settings", "Randomness", "Sweep", "Fleet"], path: "Tests/Simulation",
    swiftSettings: common),
  tests("Unit", "WordingTests", ["Wording"]),
  tests("Unit", "PlatformTests", ["Platform"]),
  tests("Unit", "YAMLTests", ["YAML"]),
  tests("Unit", "ArtifactsTests", ["Bytes", "Artifacts"]),
  tests("Unit", "NetworkTests", ["Randomness", "Network", "Zoo", "TestSupport"]),
  tests("Unit", "ComputeTests", ["Compute", "CKernels", "Network", "Zoo", "TestSupport"]),
  tests("Unit", "InterchangeTests", ["Randomness", "Interchange", "Network", "Zoo", "TestSupport"]),
  tests("Unit", "DatasetTests", ["Geometry", "Randomness", "Dataset", "TestSupport"]),
  tests("Unit", "DetectionTests", ["Geometry", "Detection", "Evaluation", "Dataset", "Network", "TestSupport"]),
  tests(
    "Unit", "TrainingTests",
    [
      "Platform", "Training", "Pipeline", "Network", "Compute", "Dataset", "Detection", "Evaluation", "Interchange",
      "Pruning",
      "Zoo", "YAML", "TestSupport",
    ]),
  tests("Unit", "PruningTests", ["Pruning", "Interchange", "Zoo", "Compute", "Network", "TestSupport"]),
  tests("Unit", "SweepTests", ["Bytes", "JSON", "Settings", "Sweep"]),
  tests("Unit", "FleetTests", ["Bytes", "Fleet", "Settings", "Sweep", "Simulation"]),
  tests(
    "Unit", "ShellTests",
    [
      "Bytes",
      "JSON", "Randomness", "Settings", "Wire", "Transport", "Transfer", "Store", "Coordinator", "Worker", "Client",
      "Reporting",
      "Sweep",
      "Fleet",
      "Artifacts",
    ]),
  tests("Unit", "LaunchTests", ["Bytes", "Wording", "Artifacts", "Fleet", "Transport", "YAML", "Launch"]),
  tests(
    "Golden", "GoldenTests",
    [
      "Geometry", "Network", "Zoo", "Compute", "Dataset", "Detection", "Evaluation", "Training", "Pruning",
      "Interchange",
      "Pipeline",
      "TestSupport",
    ]),
  tests(
    "Fuzz", "FuzzTests",
    [
      "Bytes",
      "Wording", "Randomness", "YAML", "JSON", "Settings", "Network", "Dataset", "Detection", "Interchange", "Training",
      "Sweep",
      "Fleet", "Wire", "Transport", "Coordinator", "Artifacts", "TestSupport",
    ]),
  tests(
    "Unit", "DoorTests",
    [
      "greensweep", "JSON", "Settings", "Randomness", "Network", "Zoo", "Compute", "Dataset", "Detection",
      "Interchange", "Pruning", "Evaluation", "Training", "Pipeline",
      "Sweep",
    ]),
  tests("EndToEnd", "EndToEndTests", ["greensweep"]),
  tests("Tidy", "TidyTests", []),
  .executableTarget(name: "simulate", dependencies: ["Simulation"], path: "Tests/Simulate", swiftSettings: common),
  .executableTarget(
    name: "fleet-benchmark",
    dependencies: [
      "Randomness", "Artifacts", "Client", "Transport", "Transfer", "Wire", "Fleet", "Settings", "Sweep", "greensweep",
    ],
    path: "Tests/FleetBenchmark", swiftSettings: common),
  .executableTarget(name: "kill-at-write", path: "Tests/KillAtWrite"),
  .executableTarget(
    name: "checkpoint-benchmark", dependencies: ["CZstd"], path: "Tests/CheckpointBenchmark", cSettings: optimizedC),
  .executableTarget(name: "delay-relay", path: "Tests/DelayRelay", swiftSettings: common),
]

let package = Package(
  name: "greensweep",
  products: [.executable(name: "greensweep", targets: ["greensweep"])],
  targets: groundFloor + learningTower + fleetTower + [
    .executableTarget(
      name: "greensweep",
      dependencies: [
        "Bytes", "Wording", "Platform", "YAML", "JSON", "Settings", "Artifacts", "Geometry", "Network", "Zoo",
        "Compute", "Dataset",
        "Detection",
        "Interchange",
        "Pruning", "Evaluation", "Training", "Pipeline", "Sweep", "Fleet", "Wire", "Transport", "Store", "Coordinator",
        "Worker", "Client", "Reporting", "Launch",
      ], path: "Sources/greensweep", swiftSettings: common)
  ] + testTargets
)
