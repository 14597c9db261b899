import Foundation

/// No model is larger; a device or a pipe without end would be.
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
    throw InterchangeError(file: path, "cannot be read (\(reason(error, path)))")
  }
}

/// Replaces the file in one step.
func writeFile(_ bytes: [UInt8], to path: String) throws(InterchangeError) {
  do {
    try Data(bytes).write(to: URL(filePath: path), options: .atomic)
  } catch {
    throw InterchangeError(file: path, "cannot be written (\(reason(error, path)))")
  }
}

/// What Foundation has no words, or too many, for.
private func reason(_ error: any Error, _ path: String) -> String {
  let values = try? URL(filePath: path).resourceValues(forKeys: [.isDirectoryKey])
  if values?.isDirectory == true { return "it is a folder" }
  switch error {
  case let error as CocoaError where error.code == .fileReadNoSuchFile || error.code == .fileNoSuchFile:
    return "no such file"
  default: return error.localizedDescription
  }
}
