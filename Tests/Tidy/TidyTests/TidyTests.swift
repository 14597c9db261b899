import Foundation
import Testing

/// The house rules that a compiler does not check: who may import whom, where unsafe code may live, how sources look.
@Suite struct TidyTests {
  let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// SwiftPM lets a target import what only its dependencies declare, so the arrows are checked here.
  @Test func importsStayWithinTheDeclaredArrows() throws {
    let declared = try declaredDependencies()
    #expect(declared.count > 20, "the manifest could not be read")
    for (module, dependencies) in declared {
      for file in try swiftFiles(of: module) {
        for imported in imports(in: try String(contentsOf: file, encoding: .utf8)) {
          guard declared[imported] != nil || imported.hasPrefix("C") && isLibrary(imported) else { continue }
          #expect(
            dependencies.contains(imported), "\(relative(file)) imports \(imported), which \(module) does not declare")
        }
      }
    }
  }

  @Test func towersDoNotKnowEachOther() throws {
    let learning = try modules(in: "Sources/LearningTower")
    let fleet = try modules(in: "Sources/FleetTower")
    let declared = try declaredDependencies()
    #expect(!learning.isEmpty && !fleet.isEmpty)
    for module in learning {
      #expect(fleet.isDisjoint(with: declared[module] ?? []), "\(module) reaches into the fleet")
    }
    for module in fleet {
      #expect(learning.isDisjoint(with: declared[module] ?? []), "\(module) reaches into learning")
    }
  }

  @Test func unsafeCodeStaysInTheWrappers() throws {
    let allowed: Set = ["Compute", "Artifacts", "YAML", "Dataset", "Store", "Transport", "Wording", "Platform"]
    let pointer = try Regex(#"\bunsafe\b|Unsafe(Mutable)?(Raw)?(Buffer)?Pointer|OpaquePointer"#)
    for file in try files(under: "Sources", suffix: ".swift") {
      let module = moduleName(of: file)
      guard !allowed.contains(module) else { continue }
      for (number, line) in try lines(of: file) where !line.trimmed.hasPrefix("//") {
        #expect(
          line.firstMatch(of: pointer) == nil, "\(relative(file)):\(number): unsafe code outside \(allowed.sorted())")
      }
    }
  }

  /// All output goes through `Wording`, which notices a full disk and lets no text steer the terminal.
  @Test func onlyWordingWritesToStandardStreams() throws {
    let around = try Regex(
      #"(^|[^A-Za-z.`])(print|debugPrint|dump|fputs|puts|printf|perror)\(|standardError\.|stdout\b"#)
    for file in try files(under: "Sources", suffix: ".swift") {
      for (number, line) in try lines(of: file) where !line.trimmed.hasPrefix("//") {
        #expect(line.firstMatch(of: around) == nil, "\(relative(file)):\(number): prints past Wording")
      }
    }
  }

  /// A plan is a value; whatever runs it stands apart.
  @Test func onlyTheProcessorsFolderKnowsKernels() throws {
    let files = try files(under: "Sources/LearningTower/Compute", suffix: ".swift")
    let callers = try files.filter { file in
      try !Set(["CKernels", "CDNNL", "COpenBLAS"]).isDisjoint(
        with: imports(in: String(contentsOf: file, encoding: .utf8)))
    }
    #expect(!callers.isEmpty && callers.allSatisfy { relative($0).contains("/Compute/CPU/") }, "\(callers)")
  }

  /// A second encoder writes other bytes for the same value, and a second codec reads what the first refuses.
  @Test func jsonAndHexadecimalDigitsHaveOneCodec() throws {
    let others = try Regex(#"JSONEncoder|JSONDecoder|JSONSerialization|radix: 16|%02x"#)
    for file in try files(under: "Sources", suffix: ".swift") {
      for (number, line) in try lines(of: file) {
        #expect(line.firstMatch(of: others) == nil, "\(relative(file)):\(number): use the modules JSON and Bytes")
      }
    }
  }

  /// One name means one thing in the whole program.
  @Test func noTypeOfOneNameStandsInTwoModules() throws {
    let declaration = try Regex(
      #"^(?:public |package |final |indirect )*(?:struct|class|enum|actor|protocol) (\w+)"#,
      as: (Substring, Substring).self)
    var modules: [Substring: String] = [:]
    for file in try files(under: "Sources", suffix: ".swift") {
      let module = moduleName(of: file)
      for (number, line) in try lines(of: file) {
        guard let name = line.firstMatch(of: declaration)?.output.1 else { continue }
        let other = modules.updateValue(module, forKey: name) ?? module
        #expect(other == module, "\(relative(file)):\(number): \(other) has another \(name)")
      }
    }
    #expect(modules.count > 300)
  }

  /// A comment is a sentence about the thing it stands above.
  @Test func commentsAreSentences() throws {
    let fragment = try Regex(#"^\s*///? (What|Who|Whom|Whose|Whoever|Whatever|Of|Those|To be|That which)\b"#)
    let riddle = try Regex("\\b(spok" + "en of|speak" + "s? of|ow" + "es?|has no wo" + "rd)\\b")
    for file in try files(under: "Sources", suffix: ".swift") + files(under: "Tests", suffix: ".swift") {
      let lines = try lines(of: file)
      for ((_, above), (number, line)) in zip([(0, "")] + lines, lines) {
        let begins = !above.trimmed.hasPrefix("//")
        #expect(!begins || line.firstMatch(of: fragment) == nil, "\(relative(file)):\(number): a fragment")
        #expect(line.firstMatch(of: riddle) == nil, "\(relative(file)):\(number): say it plainly")
      }
    }
  }

  @Test func linesAreShortAndFinished() throws {
    let unfinished = try Regex("TO" + "DO|FIX" + "ME|XX" + "X")
    for file in try files(under: "Sources", suffix: ".swift") + files(under: "Tests", suffix: ".swift") {
      for (number, line) in try lines(of: file) {
        #expect(line.count <= 120, "\(relative(file)):\(number): over 120 columns")
        #expect(line.firstMatch(of: unfinished) == nil, "\(relative(file)):\(number): unfinished")
      }
    }
  }

  @Test func sourcesAreFormatted() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.currentDirectoryURL = root
    process.arguments = ["swift", "format", "lint", "--strict", "--recursive", "Sources", "Tests", "Package.swift"]
    let output = Pipe()
    process.standardError = output
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(
      process.terminationStatus == 0, "run 'swift format -i -r Sources Tests Package.swift':\n\(text.prefix(2000))")
  }
}

extension TidyTests {
  /// Module name → what Package.swift lets it import. Read from the manifest's text: `swift package dump-package` would
  /// wait for the lock that a running `swift test` may hold.
  func declaredDependencies() throws -> [String: Set<String>] {
    let manifest = try String(contentsOf: root.appendingPathComponent("Package.swift"), encoding: .utf8)
    var result: [String: Set<String>] = [:]
    let module = try Regex(
      #"module\(\s*"(?:\w+)",\s*"(\w+)"(?:,\s*\[([^\]]*)\])?"#, as: (Substring, Substring, Substring?).self)
    for match in manifest.matches(of: module) {
      result[String(match.output.1)] = Set(names(in: match.output.2 ?? ""))
    }
    let executable = try Regex(
      #"executableTarget\(\s*name: "greensweep",\s*dependencies: \[([^\]]*)\]"#, as: (Substring, Substring).self)
    if let match = manifest.firstMatch(of: executable) { result["greensweep"] = Set(names(in: match.output.1)) }
    return result
  }

  func names(in list: Substring) -> [String] {
    list.split(separator: ",").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " \n\"")) }.filter {
      !$0.isEmpty
    }
  }

  func imports(in source: String) -> [String] {
    source.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      guard let at = words.firstIndex(of: "import"), at + 1 < words.count, !line.hasPrefix("//") else { return nil }
      return String(words[at + 1])
    }
  }

  func isLibrary(_ name: String) -> Bool {
    FileManager.default.fileExists(atPath: root.appendingPathComponent("Sources/GroundFloor/\(name)").path)
  }

  func modules(in folder: String) throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent(folder).path))
  }

  func moduleName(of file: URL) -> String {
    let parts = relative(file).split(separator: "/")
    return String(parts[1] == "greensweep" ? parts[1] : parts[2])
  }

  func swiftFiles(of module: String) throws -> [URL] {
    try files(under: "Sources", suffix: ".swift").filter { moduleName(of: $0) == module }
  }

  func files(under folder: String, suffix: String) throws -> [URL] {
    let base = root.appendingPathComponent(folder)
    let paths = try FileManager.default.subpathsOfDirectory(atPath: base.path).filter { $0.hasSuffix(suffix) }
    return paths.sorted().map { base.appendingPathComponent($0) }
  }

  func lines(of file: URL) throws -> [(Int, String)] {
    let text = try String(contentsOf: file, encoding: .utf8)
    return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().map { ($0 + 1, String($1)) }
  }

  func relative(_ file: URL) -> String { String(file.path.dropFirst(root.path.count + 1)) }
}

extension String {
  fileprivate var trimmed: String { trimmingCharacters(in: .whitespaces) }
}
