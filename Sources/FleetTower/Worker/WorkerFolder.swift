import Artifacts
import Bytes
import Fleet
import Foundation

/// The worker's folder.
///
///     lock            held as long as the worker runs
///     worker-id       the name it drew once
///     worker-place    where it drew it: a copy of the folder draws another one
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
    try Self.refuseForeign(path)
    let lock = try FileDescriptor(path + "/lock", .update)
    guard try lock.lockExclusively() else { throw WorkerError.folderInUse(path) }
    // The name comes first, because it marks the folder as a worker's.
    let box = BoxID(try Self.boxName())
    let worker = WorkerID(
      try Self.drawnName(in: path, place: "\(box) \(try FileDescriptor(path, .read).status().st_ino)"))
    // The stages of a former process have died with it, and what they left behind is of no use.
    try? FileManager.default.removeItem(atPath: path + "/attempts")
    for folder in ["attempts", "unpacked"] { try Files.createFolder("\(path)/\(folder)") }
    self.path = path
    self.worker = worker
    self.box = box
    self.lock = lock
  }

  func attempt(_ number: AttemptNumber) -> String { "\(path)/attempts/\(number.value)" }
  func unpacked(_ digest: Digest) -> String { "\(path)/unpacked/\(digest)" }

  /// A worker deletes what it finds in its folder, so that the folder must be empty, or a worker's. Artifacts may have
  /// been copied there, and new file systems have a folder `lost+found`.
  private static func refuseForeign(_ path: String) throws {
    let names = try Files.names(in: path)
    if names.contains(where: { $0.hasPrefix("worker-id") || $0.hasPrefix("worker-place") }) { return }
    let foreign = names.filter { !["lock", "artifacts", "lost+found"].contains($0) }.sorted()
    if let name = foreign.first { throw WorkerError.foreignFolder(path, name: name) }
  }

  /// The name that was drawn in this folder, or a new one.
  /// - Parameter place: tells the folder from its copies, on this host and on others.
  private static func drawnName(in folder: String, place: String) throws -> String {
    let (nameFile, placeFile) = (folder + "/worker-id", folder + "/worker-place")
    func text(_ file: String) throws -> String? {
      Files.exists(file) ? String(decoding: try Files.read(file, maximumByteCount: 256), as: UTF8.self) : nil
    }
    let knownPlace = try text(placeFile)
    if knownPlace != place { try Files.writeDurably(Array(place.utf8), to: placeFile) }
    // Older workers left no place.
    if let name = try text(nameFile), name.hasPrefix("w-"), name.utf8.count == 18, knownPlace ?? place == place {
      return name
    }
    let name = "w-" + UInt64.random(in: 0 ... .max).hexDigits
    try Files.writeDurably(Array(name.utf8), to: nameFile)
    return name
  }

  /// A name for the machine that is the same for all its workers and tells strangers nothing: a hash of its identity.
  private static func boxName() throws -> String {
    let identity = (try? Files.read("/etc/machine-id", maximumByteCount: 64)) ?? []
    let host = Array(ProcessInfo.processInfo.hostName.utf8)
    return "box-" + (try Digest(of: (identity + host).span).description.prefix(12))
  }
}
