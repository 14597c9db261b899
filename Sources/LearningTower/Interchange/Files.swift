import Foundation
import Wording

/// Bounds the read: devices and pipes have no end.
private let maximumFileBytes = 1 << 33

/// The file's bytes, in memory once.
func readFile(_ path: String) throws(InterchangeError) -> [UInt8] {
  do {
    let file = try FileHandle(forReadingFrom: URL(filePath: path))
    defer { try? file.close() }
    var bytes: [UInt8] = []
    if let end = try? file.seekToEnd() {
      try file.seek(toOffset: 0)
      bytes.reserveCapacity(Int(min(end, UInt64(maximumFileBytes))))
    }
    while let chunk = try file.read(upToCount: 1 << 20), !chunk.isEmpty {
      bytes += chunk
      guard bytes.count <= maximumFileBytes else {
        throw InterchangeError(file: path, "is larger than \(maximumFileBytes) bytes, which no model is")
      }
    }
    return bytes
  } catch let error as InterchangeError {
    throw error
  } catch {
    throw InterchangeError(file: path, "cannot be read (\(reason(of: error)))")
  }
}

/// Replaces the file in one step.
func writeFile(_ bytes: [UInt8], to path: String) throws(InterchangeError) {
  do {
    try Data(bytes).write(to: URL(filePath: path), options: .atomic)
  } catch {
    throw InterchangeError(
      file: path, "cannot be written (\(reason(of: error)))", errorNumber: errorNumber(of: error))
  }
}
