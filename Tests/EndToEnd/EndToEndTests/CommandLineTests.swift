import Foundation
import Testing

/// The behaviour that all commands share: where they print, what they refuse, how they end.
@Suite(.serialized) struct CommandLineTests {
  // MARK: Output that cannot be written

  @Test(arguments: [
    ("\"$@\" > /dev/full", "No space left on device"), ("\"$@\" >&-", "Bad file descriptor"),
    ("{ sleep 0.2; exec \"$@\"; } | true; exit ${PIPESTATUS[0]}", "Broken pipe"),
  ])
  func outputThatIsLostIsAFailure(shell: String, reason: String) throws {
    let base = try Base.shared()
    let folder = try TemporaryFolder()
    let calls = [
      ["--help"], ["help", "train"], ["train", "--help"], ["--version"], ["model", "info", "yolov5n"],
      ["model", "info", base.model, "--json"], ["dataset", "info", base.data],
      ["dataset", "info", base.data, "--json"],
      ["dataset", "sample", folder.path("sample"), "--images", "1", "--val-images", "1"],
      ["val", base.model, base.data, "--image-size", "64", "--json"],
      ["val", base.model, base.data, "--image-size", "64"],
      ["detect", base.model, base.images, "--image-size", "64", "-o", folder.path("detect")],
      ["detect", base.model, base.images, "--image-size", "64", "-o", folder.path("detect"), "--json"],
      ["prune", base.model, "--plan-only"], ["prune", base.model, "-o", folder.path("p.safetensors"), "--json"],
      ["import", base.model, "-o", folder.path("i.safetensors")], ["export", base.model, "-o", folder.path("e.onnx")],
      ["bench", "infer", "--model", base.model, "--image-size", "64", "--iterations", "1"],
    ]
    for call in calls {
      let result = try greensweep(call, shell: shell)
      #expect(result.status == 1, "\(call): \(result.errors)")
      #expect(result.errors.contains("standard output could not be written: \(reason)"), "\(call): \(result.errors)")
      try FileManager.default.removeItemIfThere(folder.path("sample"))
    }
    // The work was done all the same.
    for name in ["p.safetensors", "i.safetensors", "e.onnx", "detect/000003.jpg"] {
      #expect(FileManager.default.fileExists(atPath: folder.path(name)), "\(name)")
    }
  }

  @Test(arguments: ["\"$@\" 2> /dev/full", "\"$@\" 2>&-", "{ sleep 0.2; exec \"$@\"; } 2>&1 >/dev/null | true"])
  func progressThatIsLostStopsNothing(shell: String) throws {
    let base = try Base.shared()
    let folder = try TemporaryFolder()
    let result = try greensweep(base.train + ["-o", folder.path("run")], shell: shell)
    #expect(result.status == 0, "\(result.errors)")
    #expect(FileManager.default.contents(atPath: folder.path("run/model.safetensors")) == base.modelBytes)
  }

  // MARK: Made from the table of commands

  @Test(arguments: [
    (["gre"], ""), (["wor"], "worker workers"), (["token", ""], "create list revoke"),
    (["token", "create", "--ex"], "--expires"), (["worker", "--tok"], "--token-file"),
    (["run", "x.yaml", "--htt"], "--http"), (["run", "x"], ""), (["help", "par"], "pareto"),
  ])
  func bashCompletesCommandsAndOptions(words: [String], expected: String) throws {
    let call = words.map { "'\($0)'" }.joined(separator: " ")
    let result = try greensweep(
      ["completion", "bash"],
      shell: """
        eval "$("$@")"; COMP_WORDS=(greensweep \(call)); COMP_CWORD=\(words.count); _greensweep; echo "${COMPREPLY[*]}"
        """)
    #expect(result.output == expected + "\n", "\(result.errors)")
  }

  @Test func everyCommandHasAManualPage() throws {
    let folder = try TemporaryFolder()
    #expect(try greensweep(["manual", folder.path("man")]).status == 0)
    let names = Set(try FileManager.default.contentsOfDirectory(atPath: folder.path("man")))
    #expect(names.isSuperset(of: ["greensweep.1", "greensweep-worker.1", "greensweep-token-create.1"]))
    let overview = try greensweep(["--help"]).output.split(separator: "\n").filter { $0.hasPrefix("  ") }
    #expect(names.count == overview.count + 1)
    let page = try String(contentsOf: folder.url("man/greensweep-worker.1"), encoding: .utf8)
    #expect(page.contains("\\fB\\-\\-slots\\fR \\fIN\\fR\njobs at a time (default: 1)\n"))
  }

  @Test func theVersionTellsWhatThisBuildAndProcessorDo() throws {
    let result = try greensweep(["version", "--json"])
    let report = try #require(
      JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any], "\(result)")
    #expect(try greensweep(["--version"]).output == "greensweep \(report["version"] as? String ?? "?")\n")
    #expect((report["backends"] as? [String])?.contains("openblas") == true)
    #expect(report["processor"] is String && report["commit"] == nil)
  }

  // MARK: Foreign text

  @Test func namesOfFilesAndClassesSteerNoTerminal() throws {
    let base = try Base.shared()
    let folder = try TemporaryFolder()
    let names = ["a\u{1b}[31mred\u{1b}[2J", "b\u{202e}turned", "c\nline\tbreak\u{9b}", "d\u{2066}\u{7f}"]
    for name in ["images", "labels"] {
      try FileManager.default.copyItem(atPath: base.folder.path("data/\(name)"), toPath: folder.path(name))
    }
    // YAML takes control characters as escapes only.
    let quoted = names.map { name in
      "\"" + name.unicodeScalars.map { String(format: "\\u%04x", $0.value) }.joined() + "\""
    }
    let list = quoted.joined(separator: ", ")
    try Data("path: .\ntrain: images/train\nval: images/val\nnames: [\(list)]\n".utf8).write(
      to: folder.url("data.yaml"))
    let odd = "x\u{1b}[2J\u{202e}\ny"
    for (kind, ending) in [("images", "jpg"), ("labels", "txt")] {
      try FileManager.default.moveItem(
        atPath: folder.path("\(kind)/train/000003.\(ending)"), toPath: folder.path("\(kind)/train/\(odd).\(ending)"))
    }
    try Data("1 0.5 0.5 2 2\n".utf8).write(to: folder.url("labels/train/000001.txt"))

    let run = folder.path("\(odd)-run")
    let data = folder.path("data.yaml")
    let model = "\(run)/model.safetensors"
    let images = folder.path("images/train")
    let calls = [
      ["dataset", "info", data], Array(base.train.prefix(1)) + [data] + base.train.dropFirst(2) + ["-o", run],
      ["val", model, data, "--image-size", "64", "-o", run + "/val"],
      ["detect", model, images, "--image-size", "64", "--conf", "0", "-o", run + "/detect"],
      ["model", "info", model], ["prune", model, "-o", run + "/p.safetensors"],
      ["import", model, "-o", run + "/i.safetensors"], ["export", model, "-o", run + "/e.onnx"],
      ["detect", model, folder.path("no\u{1b}[2J"), "-o", run], ["no\u{1b}[2J"], ["train", "--no\u{1b}[2J"],
      ["prune", model, "--policy", "\u{1b}[2J"], ["dataset", "info", folder.path("\u{202e}.yaml")],
    ]
    for call in calls {
      for json in [[], ["--json"]] where call.count > 2 || json.isEmpty {
        try FileManager.default.removeItemIfThere(call[0] == "train" && call.contains(run) ? run : folder.path("none"))
        let result = try greensweep(call + json)
        if call.contains(run), call[0] == "train" { #expect(result.status == 0, "\(json): \(result.errors)") }
        for text in [result.output, result.errors] {
          let steering = text.unicodeScalars.filter {
            [.control, .format, .lineSeparator, .paragraphSeparator].contains($0.properties.generalCategory)
              && $0 != "\n"
          }
          #expect(steering.isEmpty, "\(call.prefix(2)) \(json): \(text.debugDescription)")
        }
      }
    }
    // A line an image, whatever its name and classes are; tables keep their rows; JSON has the names as they are.
    let detect = ["detect", model, images, "--image-size", "64", "--conf", "0", "-o", run + "/detect"]
    let told = try greensweep(detect)
    #expect(told.output.split(separator: "\n").count == 8, "\(told.output)\(told.errors)")
    let text = try greensweep(detect + ["--json"]).output
    let found = try JSONDecoder().decode([Found].self, from: Data(text.utf8))
    #expect(found.contains { $0.image == "\(images)/\(odd).jpg" })
    #expect(Set(found.flatMap { $0.detections.map(\.class) }).isSubset(of: Set(names)))
    #expect(found.contains { !$0.detections.isEmpty })
    let rows = try greensweep(["val", model, data, "--image-size", "64"]).output.split(separator: "\n")
    #expect(rows.count <= 7, "\(rows)")
  }

  // MARK: What was read is not written over

  @Test func nothingThatWasReadIsWrittenOver() throws {
    let base = try Base.shared()
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(atPath: base.folder.path("data"), toPath: folder.path("data"))
    try FileManager.default.copyItem(atPath: base.model, toPath: folder.path("m.safetensors"))
    let manager = FileManager.default
    try manager.linkItem(atPath: folder.path("m.safetensors"), toPath: folder.path("hard.safetensors"))
    try manager.createSymbolicLink(atPath: folder.path("soft.safetensors"), withDestinationPath: "m.safetensors")
    try manager.createSymbolicLink(atPath: folder.path("link"), withDestinationPath: "data")
    #expect(
      try greensweep(["prune", folder.path("m.safetensors"), "--plan-only", "-o", folder.path("plan.json")]).status == 0
    )
    try Data("lr0: 0.01\n".utf8).write(to: folder.url("hyp.yaml"))
    try manager.createDirectory(atPath: folder.path("links"), withIntermediateDirectories: true)
    try manager.linkItem(atPath: folder.path("data/images/train/000000.jpg"), toPath: folder.path("links/000000.jpg"))
    try manager.createDirectory(atPath: folder.path("valout"), withIntermediateDirectories: true)
    try Data("{}".utf8).write(to: folder.url("valout/predictions.json"))
    try manager.createSymbolicLink(atPath: folder.path("valout/labels.svg"), withDestinationPath: "../m.safetensors")

    let model = folder.path("m.safetensors")
    let small = ["--image-size", "64"]
    func detect(_ images: String, _ output: String, _ options: [String] = []) -> [String] {
      ["detect", model, folder.path(images), "-o", folder.path(output)] + small + options
    }
    var calls = [
      detect("data/images/train", "data/images/train"), detect("data/images/train/000001.jpg", "link/images/train"),
      detect("link/images/train", "data/images/train"), detect("data/images/train", "links"),
      detect("data/images/train", "data", ["--save-txt", "--no-images"]),
      detect("link/images/train", "data/labels/..", ["--save-txt", "--no-images"]),
      detect("links", "data", ["--save-txt", "--no-images"]),
      ["prune", model, "--plan", folder.path("plan.json"), "-o", folder.path("plan.json")],
      ["export", model, "-o", folder.path("new.onnx"), "--sample", folder.path("new.onnx")],
      ["export", model, "-o", folder.path("new.onnx"), "--sample", model],
      ["import", model, "--data", folder.path("data/data.yaml"), "-o", folder.path("link/data.yaml")],
      ["import", "yolov5n", "-o", "/dev/null"], ["import", "yolov5n", "-o", folder.path("data")],
      ["val", model, folder.path("data/data.yaml"), "-o", folder.path("valout")] + small,
      ["val", model, folder.path("data/data.yaml"), "-o", folder.path("valout"), "--no-plots", "--save-json"] + small
        + ["--coco-metrics", "--annotations", folder.path("valout/predictions.json")],
      Array(base.train.prefix(1)) + [folder.path("data/data.yaml")] + base.train.dropFirst(2)
        + ["--hyp", folder.path("hyp.yaml"), "-o", folder.path("")],
      base.train + ["-o", folder.path("yolov5-run")],
      ["dataset", "sample", folder.path("unnamed")], ["run", folder.path("results.json"), "--data", folder.path("")],
    ]
    try manager.createDirectory(atPath: folder.path("yolov5-run"), withIntermediateDirectories: true)
    try Data("epoch, loss\n0, 1\n".utf8).write(to: folder.url("yolov5-run/results.csv"))
    try Data("dataset: data/data.yaml\ngrid: {backbone: yolov5n, sparsity_rate: 0, prune_ratio: 0}\n".utf8).write(
      to: folder.url("results.json"))
    try manager.createDirectory(atPath: folder.path("unnamed/images/train"), withIntermediateDirectories: true)
    try Data("precious".utf8).write(to: folder.url("unnamed/images/train/000000.jpg"))
    for output in ["m.safetensors", "hard.safetensors", "soft.safetensors", "link/../m.safetensors"] {
      calls += [
        ["prune", model, "-o", folder.path(output)], ["prune", model, "--plan-only", "-o", folder.path(output)],
        ["export", model, "-o", folder.path(output)], ["import", model, "-o", folder.path(output)],
      ]
    }
    let before = try Contents(folder)
    for call in calls {
      let result = try greensweep(call)
      #expect(result.status == 1, "\(call): \(result.output)")
      #expect(
        result.errors.contains("choose another") || result.errors.contains("name a file"), "\(call): \(result.errors)")
      #expect(try Contents(folder) == before, "\(call)")
    }
    let device = try manager.attributesOfItem(atPath: "/dev/null")[.type] as? FileAttributeType
    #expect(device == .typeCharacterSpecial)
    // A file that is not an input may be written over, as before.
    for _ in 0..<2 { #expect(try greensweep(detect("data/images/train", "out", ["--save-txt"])).status == 0) }
  }

  // MARK: Calls that make no sense

  @Test(arguments: [
    ["status", "--watch"], ["pareto", "S", "--x", "map50"], ["pareto", "S", "--x", "map50", "--y", "map50"],
    ["pareto", "S", "--format", "csv", "--json"], ["pareto", "S", "--seeds", "--json"], ["pull", "S@middle"],
    ["power", "calibrate", "--idle", "10"], ["power", "calibrate", "--idle", "20", "--full", "10"],
    ["store", "verify", "--data", "d", "--coordinator", "h:1"],
    ["store", "clean", "--data", "d", "--token-file", "t"], ["pull", "T", "-o", "x.safetensors", "--image-size", "64"],
    ["train", "d", "--model", "a", "--cfg", "b.yaml"], ["train", "d", "--model", "m.safetensors", "--width", "2"],
    ["train", "d", "--model", "m.safetensors", "--weights", "w.pt"], ["train", "d", "--rect", "--image-weights"],
    ["val", "m", "d", "--annotations", "a"],
    ["val", "m", "d", "-o", "x", "--no-plots"],
    ["detect", "m", "i", "--save-conf"], ["detect", "m", "i", "-o", "x", "--no-images"],
    ["prune", "m", "--seed", "1"], ["prune", "m", "--seed", "1", "--importance", "gamma"],
    ["prune", "m", "--image-size", "64"], ["prune", "m", "--threads", "1"], ["prune", "m", "--backend", "openblas"],
    ["prune", "m", "--plan", "p", "--ratio", "0.1"], ["prune", "m", "--plan", "p", "--plan-only"],
    ["prune", "m", "--ratio", "0.1", "--target-ms", "1"], ["import", "m.pt", "--nc", "3"],
    ["export", "m", "--threads", "1"], ["export", "m", "--dynamic-batch", "--batch", "2"],
    ["model", "info", "m.safetensors", "--nc", "3"], ["model", "info", "m.safetensors", "--width", "2"],
    ["model", "info", "yolov5n", "--cfg", "a.yaml"], ["bench", "train", "--model", "m.pt", "--nc", "3"],
    ["bench", "infer", "--model", "m.pt", "--nc", "3"], ["bench"], ["bench", "trian"], [], ["help", "no"], ["trian"],
    ["train"], ["train", "d", "extra"], ["train", "d", "--epochs"], ["train", "d", "--epochs", "0"],
    ["train", "d", "--epochs", "1", "--epochs", "2"], ["train", "d", "--cosine=1"], ["prune", "m", "--ratio", "nan"],
    ["worker", "--join", "nowhere", "--token-file", "t"], ["status", "--coordinator", "nowhere", "--token-file", "t"],
    ["train", "d", "--model", "yolov9"], ["model", "info", "yolov9"], ["import", "yolov9"],
    ["bench", "train", "--model", "yolov9"], ["bench", "infer", "--model", "yolov9"], ["run", "/no/sweep.yaml"],
    ["model", "info", "yolov5n", "--image-size", "100"],
  ])
  func wrongCallsEndWithTwo(call: [String]) throws {
    let result = try greensweep(call)
    #expect(result.status == 2, "\(result.errors)")
    #expect(result.output.isEmpty && result.errors.hasPrefix("greensweep: "))
  }

  @Test func sizesNameTheNearestOnes() throws {
    let base = try Base.shared()
    let calls = [
      ["train", base.data, "--model", "yolov5n", "-o", base.folder.path("none")], ["val", base.model, base.data],
      ["detect", base.model, base.images, "-o", base.folder.path("none")],
      ["export", base.model, "-o", base.folder.path("none")], ["prune", base.model, "--target-ms", "1"],
      ["model", "info", base.model], ["bench", "infer", "--model", base.model],
      ["bench", "train", "--model", "yolov5n"],
    ]
    for call in calls {
      let result = try greensweep(call + ["--image-size", "100"])
      #expect(result.status == 2, "\(call)")
      #expect(result.errors.contains("image size 100") && result.errors.contains("use 96 or 128"), "\(result.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: base.folder.path("none")))
  }

  /// An option that asks for less is right where there is nothing to leave out, as in a script for all cases.
  @Test func noPlotsNeedsNoFolder() throws {
    let base = try Base.shared()
    let result = try greensweep(["val", base.model, base.data, "--no-plots", "--image-size", "64"])
    #expect(result.status == 0 && result.output.contains("4 images"), "\(result.errors)")
  }

  @Test func aFinishedRunSaysSoWithAndWithoutResume() throws {
    let base = try Base.shared()
    for options in [[], ["--resume"]] {
      let result = try greensweep(base.train + ["-o", base.folder.path("run")] + options)
      #expect(result.status == 1)
      #expect(result.errors.contains("holds a finished run; for further epochs give --model"), "\(result.errors)")
      #expect(!result.errors.contains("leave --resume out"))
    }
  }

  // MARK: The machine

  @Test func oneProcessorMeansOneThread() throws {
    let base = try Base.shared()
    let call = ["bench", "infer", "--model", base.model, "--image-size", "64", "--iterations", "1", "--json"]
    let result = try greensweep(call, shell: "exec taskset -c \"$(taskset -cp $$ | grep -o '[0-9]*$')\" \"$@\"")
    #expect(try JSONDecoder().decode(Bench.self, from: Data(result.output.utf8)).threads == 1, "\(result.errors)")
  }

  /// Folders that cannot be made or written to, even by root: below a file, in `/proc`, on a full disk.
  @Test func failuresOfTheSystemAreToldInWords() throws {
    let base = try Base.shared()
    let folder = try TemporaryFolder()
    try Data("sweep".utf8).write(to: folder.url("file"))
    let small = ["--image-size", "64"]
    var errors: [String] = []
    for place in [folder.path("file/below"), "/proc/greensweep", "/proc/self/mem/x"] {
      let calls = [
        base.train + ["-o", place], ["val", base.model, base.data, "-o", place] + small,
        ["val", base.model, base.data, "--save-json", "-o", place] + small,
        ["detect", base.model, base.images, "-o", place] + small,
        ["detect", base.model, base.images, "-o", place, "--save-txt", "--no-images"] + small,
        ["detect", base.model, place], ["prune", base.model, "-o", place], ["prune", base.model, "--plan", place],
        ["prune", base.model, "--plan-only", "-o", place], ["export", base.model, "-o", place],
        ["export", base.model, "-o", folder.path("e.onnx"), "--sample", place], ["import", base.model, "-o", place],
        ["import", place + ".pt", "-o", folder.path("x")], ["val", place, base.data], ["val", base.model, place],
        ["val", base.model, base.data, "--coco-metrics", "--annotations", place] + small,
        base.train + ["--hyp", place + ".yaml", "-o", folder.path("run")],
        ["train", base.data, "--cfg", place, "-o", folder.path("run")], ["dataset", "sample", place],
        ["dataset", "info", place], ["model", "info", place], ["run", place], ["coordinator", "--data", place],
        ["worker", "--join", "127.0.0.1:9", "--token-file", place], ["token", "list", "--data", place],
        ["store", "verify", "--data", place], ["stage", place],
        ["run", base.sweep, "--data", place], ["status", "--token-file", place],
        ["detect", base.model, base.images, "-o", "/dev/null"] + small, ["dataset", "info", "/"],
        ["model", "info", "/etc/"], ["import", "/dev/null.pt", "-o", folder.path("x")],
      ]
      for call in calls {
        let result = try greensweep(call)
        #expect(result.status == 1 || result.status == 2, "\(call): \(result.status)")
        errors.append("\(call.prefix(2)) \(result.errors)")
      }
    }
    for count in [8, 12, 20, 40, 200] {
      let result = try greensweep(
        ["run", base.sweep, "--data", folder.path("few")], shell: "ulimit -n \(count); \"$@\"")
      #expect(result.status == 1 && result.errors.contains("ulimit -n"), "\(count): \(result.errors)")
      errors.append(result.errors)
      for call in [base.train + ["-o", folder.path("few-\(count)")], ["val", base.model, base.data] + small] {
        errors.append(try greensweep(call, shell: "ulimit -n \(count); \"$@\"").errors)
      }
    }
    for text in errors {
      #expect(text.contains("greensweep: ") || !text.contains("rror"), "\(text)")
      for wrapping in ["Error Domain", "NSCocoa", "NSPOSIX", "NSError", "operation couldn", "UserInfo", "CFSocket"] {
        #expect(!text.contains(wrapping), "\(text)")
      }
    }
  }

  /// Needs root, to make a small file system.
  @Test func aFullDiskIsToldInWords() throws {
    let base = try Base.shared()
    let folder = try TemporaryFolder()
    let disk = folder.path("disk")
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
    let mounted = "mount -t tmpfs -o size=8k tmpfs '\(disk)' 2> /dev/null"
    guard try greensweep([], shell: "unshare -m sh -c \"\(mounted)\"").status == 0 else { return }
    for call in [
      ["prune", base.model, "-o", disk + "/p.safetensors"], ["export", base.model, "-o", disk + "/e.onnx"],
      ["import", base.model, "-o", disk + "/i.safetensors"], base.train + ["-o", disk + "/run"],
      ["dataset", "sample", disk + "/sample"], ["detect", base.model, base.images, "-o", disk, "--image-size", "64"],
      ["val", base.model, base.data, "--image-size", "64", "-o", disk, "--save-json"],
    ] {
      let result = try greensweep(
        call, shell: "unshare -m bash -c 'mount -t tmpfs -o size=8k tmpfs \(disk) && \"$@\"' bash \"$@\"")
      #expect(result.status == 1 && result.errors.contains("No space left on device"), "\(call): \(result.errors)")
      #expect(!result.errors.contains("Domain") && !result.errors.contains("couldn"), "\(result.errors)")
    }
  }

  private struct Found: Decodable {
    struct Item: Decodable { var `class`: String }
    var image: String
    var detections: [Item]
  }

  private struct Bench: Decodable { var threads: Int }
}

/// A small data set with a model that was trained on it, made once.
private struct Base: Sendable {
  nonisolated(unsafe) private static var made: Base?
  private static let lock = NSLock()

  let folder: TemporaryFolder
  var data: String { folder.path("data/data.yaml") }
  var images: String { folder.path("data/images/train") }
  var model: String { folder.path("run/model.safetensors") }
  var modelBytes: Data? { FileManager.default.contents(atPath: model) }
  var sweep: String { folder.path("sweep.yaml") }
  /// Without its output; data set second.
  var train: [String] {
    [
      "train", data, "--model", "yolov5n", "--width", "0.25", "--image-size", "64", "--epochs", "1", "--batch", "8",
      "--threads", "1",
    ]
  }

  static func shared() throws -> Base {
    lock.lock()
    defer { lock.unlock() }
    if let base = unsafe made { return base }
    let base = Base(folder: try TemporaryFolder())
    let sample = ["dataset", "sample", base.folder.path("data"), "--images", "8", "--val-images", "4"]
    try #require(try greensweep(sample + ["--image-size", "64"]).status == 0)
    let result = try greensweep(base.train + ["-o", base.folder.path("run")])
    try #require(result.status == 0, "\(result.errors)")
    try Data(
      "dataset: data/data.yaml\nimage_size: 64\ngrid: {backbone: yolov5n, sparsity_rate: 0, prune_ratio: 0}\n".utf8
    )
    .write(to: URL(filePath: base.sweep))
    unsafe made = base
    return base
  }
}

/// The bytes of all files of a folder, by path.
private struct Contents: Equatable {
  private var files: [String: Data] = [:]

  init(_ folder: TemporaryFolder) throws {
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder.path("")) {
      files[name] = FileManager.default.contents(atPath: folder.path(name)) ?? Data()
    }
  }
}

extension FileManager {
  fileprivate func removeItemIfThere(_ path: String) throws {
    if fileExists(atPath: path) { try removeItem(atPath: path) }
  }
}
