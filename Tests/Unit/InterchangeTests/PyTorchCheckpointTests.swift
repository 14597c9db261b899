import Foundation
import Interchange
import Network
import TestSupport
import Testing
import Zoo

/// Files assembled by hand as `torch.save` lays them out: a stored zip of a protocol 2 pickle and one member per
/// storage.
@Suite struct PyTorchCheckpointTests {
  // MARK: - What is read

  @Test func stateDictOfTensorViews() throws {
    var pickle = PickleWriter()
    pickle.dictionary([
      ("plain", { $0.tensor("FloatStorage", "0", 6, offset: 0, [2, 3], [3, 1]) }),
      ("transposed", { $0.tensor("FloatStorage", "0", 6, offset: 0, [3, 2], [1, 3]) }),
      ("tail", { $0.tensor("FloatStorage", "0", 6, offset: 4, [2], [1]) }),
      ("scalar", { $0.tensor("LongStorage", "1", 1, offset: 0, [], []) }),
      ("half", { $0.tensor("HalfStorage", "2", 1, offset: 0, [1], [1]) }),
    ])
    let storages = [
      "0": StoredTensor(Tensor(shape: [6], values: [1, 2, 3, 4, 5, 6])).bytes,
      "1": StoredTensor(shape: [], int64s: [-7]).bytes,
      "2": StoredTensor(Tensor(shape: [1], values: [0.5]), as: .float16).bytes,
    ]
    let content = try PyTorchCheckpoint.decode(archive(pickle, storages), file: "m.pt")
    #expect(content.tensors["plain"]?.tensor == Tensor(shape: [2, 3], values: [1, 2, 3, 4, 5, 6]))
    #expect(content.tensors["transposed"]?.tensor == Tensor(shape: [3, 2], values: [1, 4, 2, 5, 3, 6]))
    #expect(content.tensors["tail"]?.tensor == Tensor(shape: [2], values: [5, 6]))
    #expect(content.tensors["scalar"]?.integers == [-7])
    #expect(content.tensors["half"]?.type == .float16 && content.tensors["half"]?.floats == [0.5])
  }

  /// A whole checkpoint with nested modules, `None` for the EMA, and class names as v7.0 keeps them.
  @Test func moduleOfACheckpoint() throws {
    let network = try Zoo.network(named: "yolov5n", classCount: 2)
    let parameters = network.goldenParameters
    var storages: [String: [UInt8]] = [:]
    var pickle = PickleWriter()
    pickle.dictionary([
      ("epoch", { $0.bytes += [UInt8(ascii: "K"), 3] }),
      ("ema", { $0.none() }),
      (
        "model",
        { writer in
          writer.module(
            network, parameters, storages: &storages,
            names: {
              $0.pairs([
                ({ $0.bytes += [UInt8(ascii: "K"), 0] }, { $0.string("red \"cell\"") }),
                ({ $0.bytes += [UInt8(ascii: "K"), 1] }, { $0.string("white") }),
              ])
            })
        }
      ),
    ])
    let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).pt").path()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(archive(pickle, storages)).write(to: URL(filePath: path))
    let model = try ModelFile.read(path, networkOf: { try Zoo.matching($0) })
    #expect(model.network == network)
    #expect(model.parameters == parameters)
    #expect(model.classNames == ["red \"cell\"", "white"])
  }

  // MARK: - What is refused

  @Test func callsAreNamedNotMade() {
    var pickle = PickleWriter()
    pickle.global("os", "system")
    pickle.string("touch /tmp/owned")
    pickle.bytes += [0x85, UInt8(ascii: "R")]
    expectRefusal(pickle, "os system")

    pickle = PickleWriter()
    pickle.global("subprocess", "Popen")
    pickle.bytes += [UInt8(ascii: ")"), 0x81]
    expectRefusal(pickle, "no class of a YOLOv5 network")
  }

  @Test func unknownInstructionsAreNamed() {
    var pickle = PickleWriter()
    pickle.bytes.append(UInt8(ascii: "i"))
    expectRefusal(pickle, "instruction 0x69 at byte 2")
  }

  @Test(arguments: [
    (0, [7], [1]), (0, [2, 4], [4, 1]), (1, [6], [1]), (0, [2], [6]), (-1, [2], [1]), (0, [-2], [1]), (0, [2], [-1]),
    (0, [2, 3], [3]), (7, [0], [1]), (0, [1 << 40, 1 << 40], [0, 0]), (0, [3], [1 << 62]), (.max, [1], [1]),
  ])
  func viewsBeyondTheirStorage(_ offset: Int, _ shape: [Int], _ strides: [Int]) {
    var pickle = PickleWriter()
    pickle.dictionary([("w", { $0.tensor("FloatStorage", "0", 6, offset: offset, shape, strides) })])
    expectRefusal(pickle, "does not fit a storage of 6 elements")
  }

  @Test func storageOfAnotherSize() {
    var pickle = PickleWriter()
    pickle.dictionary([("w", { $0.tensor("FloatStorage", "0", 7, offset: 0, [7], [1]) })])
    expectRefusal(pickle, "holds 24 bytes, not 7 elements")
    pickle = PickleWriter()
    pickle.dictionary([("w", { $0.tensor("FloatStorage", "9", 6, offset: 0, [6], [1]) })])
    expectRefusal(pickle, "has no member archive/data/9")
  }

  @Test func aWrongByteIsNeverATensor() throws {
    var pickle = PickleWriter()
    pickle.dictionary([("w", { $0.tensor("FloatStorage", "0", 6, offset: 0, [6], [1]) })])
    var bytes = archive(pickle, ["0": Array(repeating: 1, count: 24)])
    let position = try #require(bytes.indices.first { bytes[$0...].starts(with: [1, 1, 1, 1]) })
    bytes[position] = 2
    let error = #expect(throws: InterchangeError.self) { try PyTorchCheckpoint.decode(bytes, file: "m.pt") }
    #expect(error?.reason.contains("checksum") == true)
  }

  /// Whatever bytes change, reading ends in a value or an error.
  @Test func damagedFilesNeverTrap() {
    var pickle = PickleWriter()
    pickle.dictionary([
      ("a", { $0.tensor("FloatStorage", "0", 6, offset: 0, [2, 3], [3, 1]) }), ("b", { $0.none() }),
    ])
    var random = SplitMix64(seed: 11)
    for _ in 0..<2000 {
      var damaged = pickle
      for _ in 0..<2 {
        damaged.bytes[Int(random.next() % UInt64(damaged.bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      var bytes = archive(damaged, ["0": Array(repeating: 1, count: 24)])
      if random.next() % 2 == 0 {
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      if random.next() % 4 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count))) }
      _ = try? PyTorchCheckpoint.decode(bytes, file: "damaged.pt")
    }
  }
}

private func expectRefusal(
  _ pickle: PickleWriter, _ reason: String, sourceLocation: SourceLocation = #_sourceLocation
) {
  let bytes = archive(pickle, ["0": Array(repeating: 0, count: 24)])
  let error = #expect(throws: InterchangeError.self, sourceLocation: sourceLocation) {
    try PyTorchCheckpoint.decode(bytes, file: "m.pt")
  }
  #expect(error?.description.hasPrefix("m.pt: ") == true, sourceLocation: sourceLocation)
  #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")", sourceLocation: sourceLocation)
}

// MARK: - Writing

/// Emits the instructions that PyTorch's pickles are made of.
private struct PickleWriter {
  var bytes: [UInt8] = [0x80, 2]

  mutating func none() { bytes.append(UInt8(ascii: "N")) }

  mutating func string(_ text: String) {
    bytes.append(UInt8(ascii: "X"))
    bytes += littleEndian(text.utf8.count, 4) + Array(text.utf8)
  }

  mutating func global(_ module: String, _ name: String) { bytes += Array("c\(module)\n\(name)\n".utf8) }

  mutating func integer(_ value: Int) { bytes += [0x8a, 8] + littleEndian(value, 8) }

  mutating func integers(_ values: [Int]) {
    bytes.append(UInt8(ascii: "("))
    for value in values { integer(value) }
    bytes.append(UInt8(ascii: "t"))
  }

  mutating func pairs(_ pairs: [((inout PickleWriter) -> Void, (inout PickleWriter) -> Void)]) {
    bytes += Array("}(".utf8)
    for (key, value) in pairs {
      key(&self)
      value(&self)
    }
    bytes.append(UInt8(ascii: "u"))
  }

  mutating func dictionary(_ entries: [(String, (inout PickleWriter) -> Void)]) {
    pairs(entries.map { entry in ({ $0.string(entry.0) }, entry.1) })
  }

  mutating func tensor(
    _ type: String, _ key: String, _ count: Int, offset: Int, _ shape: [Int], _ strides: [Int]
  ) {
    global("torch._utils", "_rebuild_tensor_v2")
    bytes += Array("((".utf8)
    string("storage")
    global("torch", type)
    string(key)
    string("cpu")
    integer(count)
    bytes += Array("tQ".utf8)
    integer(offset)
    integers(shape)
    integers(strides)
    bytes.append(0x89)
    global("collections", "OrderedDict")
    bytes += Array(")RtR".utf8)
  }

  /// A tree of modules that holds `parameters`; tensors become storages of their own.
  mutating func module(
    _ network: Network, _ parameters: Parameters, storages: inout [String: [UInt8]], at path: String = "",
    names: ((inout PickleWriter) -> Void)? = nil
  ) {
    let prefix = path.isEmpty ? "" : "\(path)."
    func isChild(_ name: String) -> Bool {
      name.hasPrefix(prefix) && name != path && !name.dropFirst(prefix.count).contains(".") && !name.isEmpty
    }
    global("models.common", "Module")
    bytes += Array(")".utf8) + [0x81] + Array("}(".utf8)
    string("_parameters")
    bytes += Array("}(".utf8)
    for spec in network.parameterSpecs where isChild(spec.name) {
      string(String(spec.name.dropFirst(prefix.count)))
      let key = "\(storages.count)"
      let type: ElementType = spec.role == .batchCount ? .int64 : .float32
      storages[key] = StoredTensor(parameters[spec.name]!, as: type).bytes
      var strides = Array(repeating: 1, count: spec.shape.count)
      for axis in spec.shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * spec.shape[axis + 1] }
      tensor(
        type == .int64 ? "LongStorage" : "FloatStorage", key, spec.count, offset: 0, spec.shape, strides)
    }
    bytes.append(UInt8(ascii: "u"))
    string("_modules")
    bytes += Array("}(".utf8)
    for module in network.modules where isChild(module.path) {
      string(String(module.path.dropFirst(prefix.count)))
      self.module(network, parameters, storages: &storages, at: module.path)
    }
    bytes.append(UInt8(ascii: "u"))
    if let names {
      string("names")
      names(&self)
    }
    bytes += Array("ub".utf8)
  }
}

private func littleEndian(_ value: Int, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

/// A zip archive of stored members.
private func archive(_ pickle: PickleWriter, _ storages: [String: [UInt8]]) -> [UInt8] {
  var members = [("archive/data.pkl", pickle.bytes + [UInt8(ascii: ".")])]
  members += storages.sorted { $0.key < $1.key }.map { ("archive/data/\($0.key)", $0.value) }
  var bytes: [UInt8] = []
  var directory: [UInt8] = []
  for (name, contents) in members {
    let common =
      littleEndian(0, 8) + littleEndian(Int(crc32(contents)), 4) + littleEndian(contents.count, 4)
      + littleEndian(contents.count, 4) + littleEndian(name.utf8.count, 2)
    directory += [0x50, 0x4b, 1, 2, 0, 0] + [0, 0] + common + littleEndian(0, 12) + littleEndian(bytes.count, 4)
    directory += Array(name.utf8)
    bytes += [0x50, 0x4b, 3, 4, 0, 0] + common + [0, 0] + Array(name.utf8) + contents
  }
  let start = bytes.count
  return bytes + directory + [0x50, 0x4b, 5, 6, 0, 0, 0, 0] + littleEndian(members.count, 2)
    + littleEndian(members.count, 2) + littleEndian(directory.count, 4) + littleEndian(start, 4) + [0, 0]
}

/// Bit by bit.
private func crc32(_ bytes: [UInt8]) -> UInt32 {
  ~bytes.reduce(UInt32.max) { value, byte in
    (0..<8).reduce(value ^ UInt32(byte)) { value, _ in value & 1 == 1 ? (value >> 1) ^ 0xedb8_8320 : value >> 1 }
  }
}
