import Bytes
import Dispatch
import Foundation
import Synchronization

/// Finds damaged images before anything is done with a data set: each is decoded once, and sound ones are remembered.
///
/// As in YOLOv5, an image that cannot be decoded is left out. A JPEG that breaks off, or has damaged parts, is read as
/// far as it goes, as OpenCV reads it, and named; one that only lacks its end marker is sound.
public struct ImageCheck {
  /// Threads that decode. Images of more than `largePixels` are decoded one at a time all the same.
  public var threads: Int
  /// The file that remembers which images are sound, from one process to the next; nil: nothing is remembered.
  public var memory: String?
  /// Whether a split of which more than a tenth of the images is damaged is used without them, rather than refused.
  public var allowsDamaged: Bool
  /// Called on the calling thread every now and then.
  public var onProgress: (_ done: Int, _ total: Int) -> Void

  public init(
    threads: Int, memory: String?, allowsDamaged: Bool = false,
    onProgress: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) {
    self.threads = threads
    self.memory = memory
    self.allowsDamaged = allowsDamaged
    self.onProgress = onProgress
  }

  /// The file in the user's cache folder; nil if there is no such folder.
  public static func userMemory(_ environment: [String: String]) -> String? {
    func absolute(_ key: String) -> String? { environment[key].flatMap { $0.hasPrefix("/") ? $0 : nil } }
    let folder = absolute("XDG_CACHE_HOME") ?? absolute("HOME").map { $0 + "/.cache" }
    return folder.map { $0 + "/greensweep/sound-images" }
  }

  static let largePixels = 1 << 25

  /// Takes damaged images out of the contents, and names those that are read in part.
  /// - Throws: `DatasetError` if more than a tenth of the images is damaged, unless that is allowed.
  func apply(to contents: inout DatasetContents, of split: DatasetDescription.Split) throws(DatasetError) {
    leaveOutDamaged(&contents)
    try requireFewDamaged(contents, of: split)
  }

  private func leaveOutDamaged(_ contents: inout DatasetContents) {
    var remembered = SoundImages(file: memory)
    var open: [(index: Int, fingerprint: UInt64?)] = []
    for (index, image) in contents.images.enumerated() {
      let fingerprint = SoundImages.fingerprint(ofFile: image.path)
      guard let fingerprint, remembered.contains(fingerprint) else {
        open.append((index, fingerprint))
        continue
      }
    }
    let findings = findings(on: open.map { contents.images[$0.index] })
    var damaged: Set<Int> = []
    for (place, finding) in zip(open, findings) {
      let path = contents.images[place.index].path
      switch finding {
      case .sound: if let fingerprint = place.fingerprint { remembered.insert(fingerprint) }
      case .readInPart(let reason): contents.readInPart.append(LeftOutImage(path: path, reason: reason))
      case .damaged(let reason):
        damaged.insert(place.index)
        contents.leftOut.append(LeftOutImage(path: path, reason: reason))
      }
    }
    if let memory { remembered.write(to: memory) }
    guard !damaged.isEmpty else { return }
    contents.images = contents.images.indices.filter { !damaged.contains($0) }.map { contents.images[$0] }
    contents.leftOut.sort { precedes($0.path, $1.path) }
  }

  private func requireFewDamaged(_ contents: DatasetContents, of split: DatasetDescription.Split) throws(DatasetError) {
    let damaged = contents.leftOut.filter(\.reason.isDamage)
    let total = contents.images.count + contents.leftOut.count
    guard !allowsDamaged, damaged.count * 10 > total, let first = damaged.first else { return }
    throw DatasetError(
      "\(damaged.count) of \(total) images of split ‘\(split.rawValue)’ are damaged, more than a tenth: fetch the data "
        + "again, or go on without them with --allow-damaged; the first: \(first.reason)")
  }

  enum Finding: Sendable {
    case sound
    case readInPart(DatasetError)
    case damaged(DatasetError)
  }

  static func finding(on path: String) -> Finding {
    do {
      let bytes = try Dataset.contents(of: path, atMost: ImageFile.maximumBytes)
      guard let damage = try ImageFile.decodeNotingDamage(bytes, name: path).damage else { return .sound }
      return .readInPart(DatasetError("\(path): a damaged JPEG, read as far as it goes: \(damage)", isDamage: true))
    } catch {
      return .damaged(error)
    }
  }

  /// In the order of the images.
  private func findings(on images: [LabelledImage]) -> [Finding] {
    let work = Work(images)
    let group = DispatchGroup()
    for _ in 0..<min(max(threads, 1), images.count) {
      group.enter()
      Thread.detachNewThread {
        work.run()
        group.leave()
      }
    }
    while group.wait(timeout: .now() + .milliseconds(200)) == .timedOut { onProgress(work.done, images.count) }
    return work.findings
  }

  /// The state that the threads share.
  private final class Work: Sendable {
    private struct State {
      var next = 0
      var done = 0
      var findings: [Finding]
    }

    private let images: [LabelledImage]
    private let state: Mutex<State>
    private let large = Mutex(())

    init(_ images: [LabelledImage]) {
      self.images = images
      state = Mutex(State(findings: Array(repeating: .sound, count: images.count)))
    }

    var done: Int { state.withLock { $0.done } }
    var findings: [Finding] { state.withLock { $0.findings } }

    func run() {
      while true {
        let index = state.withLock { state in
          defer { state.next += 1 }
          return state.next
        }
        guard index < images.count else { return }
        let image = images[index]
        let finding =
          image.width * image.height > ImageCheck.largePixels
          ? large.withLock { _ in ImageCheck.finding(on: image.path) } : ImageCheck.finding(on: image.path)
        state.withLock { state in
          state.findings[index] = finding
          state.done += 1
        }
      }
    }
  }
}

/// Images that were found sound, each by 64 bits of its path, size, time of change and number: a file that is changed,
/// moved or replaced is another one.
///
/// The file is a line, the fingerprints and a checksum. One that cannot be read or written is as good as none.
struct SoundImages {
  /// Changes with what counts as sound.
  private static let head = Array("greensweep sound images 1\n".utf8)
  /// 32 MB.
  static let maximumCount = 1 << 22

  private var old: Set<UInt64> = []
  private var new: Set<UInt64> = []

  init(file: String?) {
    let limit = Self.head.count + 8 * (Self.maximumCount + 1)
    guard let file, let status = try? status(of: file), status.isRegularFile,
      let bytes = try? contents(of: file, atMost: limit), bytes.starts(with: Self.head)
    else { return }
    let values = Self.integers(bytes.dropFirst(Self.head.count))
    guard values.count * 8 + Self.head.count == bytes.count, values.last == Self.sum(values.dropLast()) else { return }
    old = Set(values.dropLast())
  }

  var count: Int { old.count }

  func contains(_ fingerprint: UInt64) -> Bool { old.contains(fingerprint) }

  mutating func insert(_ fingerprint: UInt64) { new.insert(fingerprint) }

  /// In one step, with what another process has written meanwhile; the newest stay if there are too many.
  func write(to file: String) {
    guard !new.isEmpty else { return }
    let others = SoundImages(file: file).old.union(old).subtracting(new)
    let kept = new.sorted().prefix(Self.maximumCount)
    let values = kept + others.sorted().prefix(Self.maximumCount - kept.count)
    var bytes = Self.head
    for value in values + [Self.sum(values)] { bytes += value.bytes }
    let folder = URL(filePath: file).deletingLastPathComponent()
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try? Data(bytes).write(to: URL(filePath: file), options: .atomic)
  }

  /// Nil if there is no such file.
  static func fingerprint(ofFile path: String) -> UInt64? {
    guard let status = try? status(of: path) else { return nil }
    let numbers = [
      UInt64(status.st_size), UInt64(bitPattern: Int64(status.st_mtim.tv_sec)), UInt64(status.st_mtim.tv_nsec),
      UInt64(status.st_ino),
    ]
    return FNV1a.hash64(numbers.flatMap(\.bytes), after: FNV1a.hash64(path.utf8))
  }

  private static func integers(_ bytes: ArraySlice<UInt8>) -> [UInt64] {
    stride(from: bytes.startIndex, to: bytes.endIndex - bytes.count % 8, by: 8).map { start in
      bytes[start..<(start + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
  }

  private static func sum(_ values: some Sequence<UInt64>) -> UInt64 {
    FNV1a.hash64(values.lazy.flatMap(\.bytes))
  }
}

extension UInt64 {
  /// The least first.
  fileprivate var bytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> (8 * $0)) } }
}
