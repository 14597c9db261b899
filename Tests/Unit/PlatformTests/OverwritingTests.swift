import Foundation
import Platform
import Testing

@Suite("What may be written over")
struct OverwritingTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString)").path
  private let manager = FileManager.default

  /// A folder with the files `read` and `other`, and other names for them.
  private func withFiles(_ body: () throws -> Void) throws {
    try manager.createDirectory(atPath: folder + "/inner", withIntermediateDirectories: true)
    defer { try? manager.removeItem(atPath: folder) }
    for name in ["read", "other"] { try Data(name.utf8).write(to: URL(filePath: "\(folder)/\(name)")) }
    try manager.linkItem(atPath: folder + "/read", toPath: folder + "/hard")
    try manager.createSymbolicLink(atPath: folder + "/soft", withDestinationPath: "read")
    try manager.createSymbolicLink(atPath: folder + "/around", withDestinationPath: ".")
    try body()
  }

  @Test func nothingThatIsReadByWhateverName() throws {
    try withFiles {
      for name in ["read", "hard", "soft", "./inner/../read", "around/around/read", "/read"] {
        for input in ["read", "soft", "around/hard"] {
          let error = #expect(throws: OverwritingError.self, "\(name) of \(input)") {
            try refuseOverwriting(["\(folder)/\(name)"], ofInputs: ["\(folder)/other", "\(folder)/\(input)"])
          }
          #expect(error?.description.contains("choose another output") == true)
        }
      }
      try refuseOverwriting(["\(folder)/other", "\(folder)/new"], ofInputs: ["\(folder)/read"])
    }
  }

  @Test func notBeforeItIsThere() throws {
    try withFiles {
      let files = InputFiles(["\(folder)/inner/label", "\(folder)/missing/label"])
      #expect(throws: OverwritingError.self) { try files.refuseOverwriting("\(folder)/around/inner/label") }
      #expect(throws: OverwritingError.self) { try files.refuseOverwriting("\(folder)/missing/label") }
      try files.refuseOverwriting("\(folder)/label")
    }
  }

  @Test func noTwoOutputsInOneFile() throws {
    try withFiles {
      for (a, b) in [("new", "around/new"), ("other", "other"), ("missing/x", "missing/x")] {
        #expect(throws: OverwritingError.self) {
          try refuseOverwriting(["\(folder)/\(a)", "\(folder)/\(b)"], ofInputs: [])
        }
      }
    }
  }

  @Test func namesAreBytes() throws {
    try withFiles {
      let names = ["inner", "missing"].flatMap { ["\(folder)/\($0)/caf\u{e9}", "\(folder)/\($0)/cafe\u{301}"] }
      try refuseOverwriting(names, ofInputs: [])
      try InputFiles([names[0], names[2]]).refuseOverwriting(names[1])
    }
  }

  @Test(arguments: ["/dev/null", "/dev/full", "/tmp"]) func noDevicesAndFolders(path: String) throws {
    #expect(throws: OverwritingError.self) { try refuseOverwriting([path], ofInputs: []) }
  }

  @Test func foldersByWhateverName() throws {
    try withFiles {
      #expect(throws: OverwritingError.self) {
        try refuseOutputFolder(folder + "/around/inner/..", amongInputs: ["/", folder])
      }
      try refuseOutputFolder(folder + "/inner", amongInputs: ["/", folder])
      try refuseOutputFolder(folder + "/new", amongInputs: ["/", folder])
    }
  }
}
