import Foundation

func readFile(_ path: String) throws(InterchangeError) -> [UInt8] {
  do {
    return Array(try Data(contentsOf: URL(filePath: path)))
  } catch {
    throw InterchangeError(file: path, "cannot be read (\(describe(error)))")
  }
}

/// Replaces the file in one step.
func writeFile(_ bytes: [UInt8], to path: String) throws(InterchangeError) {
  do {
    try Data(bytes).write(to: URL(filePath: path), options: .atomic)
  } catch {
    throw InterchangeError(file: path, "cannot be written (\(describe(error)))")
  }
}

/// One line for an error of Foundation's.
func describe(_ error: any Error) -> String {
  switch error {
  case let error as DecodingError:
    switch error {
    case .dataCorrupted(let context), .keyNotFound(_, let context), .typeMismatch(_, let context),
      .valueNotFound(_, let context):
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
    @unknown default: return "\(error)"
    }
  case let error as CocoaError where error.code == .fileReadNoSuchFile || error.code == .fileNoSuchFile:
    return "no such file"
  default: return error.localizedDescription
  }
}
