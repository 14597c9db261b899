import Foundation

/// Returns the system's reason for a failed call in words, with the remedy where one is known.
/// - Parameter code: `errno`.
public func systemReason(_ code: CInt) -> String {
  let reason = unsafe String(cString: strerror(code))  // strerror always returns a C string.
  switch code {
  case EMFILE, ENFILE: return "\(reason); raise the limit of open files (ulimit -n) and try again"
  case ENOSPC, EDQUOT: return "\(reason); free some space and try again"
  case EROFS: return "\(reason); choose a folder that can be written to"
  case ENOENT: return "no such file or folder"
  case ENOTDIR: return "a file stands where a folder should be"
  case EISDIR: return "it is a folder"
  default: return reason
  }
}

/// Why a call of Foundation's failed: what the system said, without Foundation's wrapping.
public func reason(of error: any Error) -> String {
  if let code = systemCode(of: error) { return systemReason(code) }
  return isFoundations(error) ? "the system gives no reason (code \((error as NSError).code))" : "\(error)"
}

extension Error {
  /// The error for people: its own description, or path and reason for one of Foundation's, whose descriptions are for
  /// programmers.
  public var words: String {
    guard isFoundations(self) else { return "\(self)" }
    let details = (self as NSError).userInfo
    let path = details[NSFilePathErrorKey] as? String ?? (details[NSURLErrorKey] as? URL)?.path
    return (path.map { "\($0): " } ?? "") + reason(of: self)
  }
}

/// An error that a failed system call may have caused.
public protocol SystemFailure: Error {
  /// The call's `errno`; nil if no system call has failed.
  var errorNumber: Int32? { get }
}

/// Returns the `errno` that caused the error, whether it is one of ours or Foundation's; nil if none is known.
public func errorNumber(of error: any Error) -> Int32? {
  if let failure = error as? any SystemFailure { return failure.errorNumber }
  return systemCode(of: error)
}

private func isFoundations(_ error: any Error) -> Bool {
  error is CocoaError || error is POSIXError || type(of: error) is AnyClass
}

private func systemCode(of error: any Error) -> CInt? {
  if let error = error as? POSIXError { return error.code.rawValue }
  guard isFoundations(error) else { return nil }
  let error = error as NSError
  if error.domain == NSPOSIXErrorDomain { return CInt(truncatingIfNeeded: error.code) }
  if let underlying = error.userInfo[NSUnderlyingErrorKey] as? any Error { return systemCode(of: underlying) }
  guard error.domain == NSCocoaErrorDomain else { return nil }
  switch CocoaError.Code(rawValue: error.code) {
  case .fileNoSuchFile, .fileReadNoSuchFile: return ENOENT
  case .fileReadNoPermission, .fileWriteNoPermission: return EACCES
  case .fileWriteOutOfSpace: return ENOSPC
  case .fileWriteVolumeReadOnly: return EROFS
  case .fileWriteFileExists: return EEXIST
  case .fileReadTooLarge: return EFBIG
  case .fileReadInvalidFileName, .fileWriteInvalidFileName: return EINVAL
  default: return nil
  }
}
