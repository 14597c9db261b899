import Artifacts
import Fleet
import Foundation

/// The worker's folder.
///
///     lock            held as long as the worker runs
///     worker-id       the name it drew once
///     artifacts/      inputs and outputs, by their hash; a cache
///     unpacked/       data sets as stages have unpacked them, by the pack's hash; a cache
///     attempts/       one folder per attempt in hand
struct WorkerFolder: ~Copyable, Sendable {
  let path: String
  let worker: WorkerID
  let box: BoxID
  private let lock: FileDescriptor

  init(_ path: String) throws {
    let path = URL(fileURLWithPath: path).standardizedFileURL.path
    try Files.createFolder(path)
    let lock = try FileDescriptor(path + "/lock", .update)
    guard try lock.lockExclusively() else { throw WorkerError.folderInUse(path) }
    // What a former process left running has died with it; what it left behind is of no use.
    try? FileManager.default.removeItem(atPath: path + "/attempts")
    for folder in ["attempts", "unpacked"] { try Files.createFolder("\(path)/\(folder)") }
    let worker = WorkerID(try Self.drawnName(path + "/worker-id"))
    let box = BoxID(try Self.boxName())
    self.path = path
    self.worker = worker
    self.box = box
    self.lock = lock
  }

  func attempt(_ number: AttemptNumber) -> String { "\(path)/attempts/\(number.value)" }
  func unpacked(_ hash: ContentHash) -> String { "\(path)/unpacked/\(hash)" }

  private static func drawnName(_ path: String) throws -> String {
    if Files.exists(path) {
      let name = String(decoding: try Files.read(path, maximumByteCount: 64), as: UTF8.self)
      if name.hasPrefix("w-"), name.utf8.count == 18 { return name }
    }
    let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
    let name = "w-" + String(repeating: "0", count: 16 - digits.count) + digits
    try Files.writeDurably(Array(name.utf8), to: path)
    return name
  }

  /// A name for the machine that is the same for all its workers and tells strangers nothing: a hash of its identity.
  private static func boxName() throws -> String {
    let identity = (try? Files.read("/etc/machine-id", maximumByteCount: 64)) ?? []
    let host = Array(ProcessInfo.processInfo.hostName.utf8)
    return "box-" + (try ContentHash(of: (identity + host).span).hex.prefix(12))
  }
}
