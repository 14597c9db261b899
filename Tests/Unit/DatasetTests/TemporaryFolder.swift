@testable import Dataset
import Foundation
import Testing

/// A folder of its own for a test, removed with it.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "greensweep-\(UUID().uuidString)").path()
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file, with the folders above it.
  func write(_ bytes: some Sequence<UInt8>, _ name: String) throws {
    let file = URL(fileURLWithPath: path).appending(path: name)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: file)
  }

  func write(_ text: String, _ name: String) throws { try write(text.utf8, name) }

  /// A picture of a size of its own.
  func addImage(_ name: String, width: Int = 16, height: Int = 12) throws {
    try write(PNG.encode(Image(width: width, height: height)), name)
  }

  /// A label file, or whatever else, under a name of any bytes in a folder that is there.
  func write(_ content: [UInt8], folder: String, rawName: [UInt8]) throws {
    let name = (Array("\(path)/\(folder)/".utf8) + rawName + [0]).map { CChar(bitPattern: $0) }
    let descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL, 0o600)  // The name ends with a zero.
    try #require(descriptor >= 0)
    try FileHandle(fileDescriptor: descriptor, closeOnDealloc: true).write(contentsOf: Data(content))
  }

  func link(_ name: String, to target: String) throws {
    let place = URL(fileURLWithPath: "\(path)/\(name)")
    try FileManager.default.createDirectory(at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(atPath: place.path, withDestinationPath: target)
  }

  func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
  }
}
