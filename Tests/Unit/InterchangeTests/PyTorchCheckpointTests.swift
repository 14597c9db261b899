import Foundation
import Interchange
import Network
import Randomness
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

  /// A module of many modules, each the same of many, and so on: walked naively, it has no end.
  @Test func sharedModulesAreNotUnfolded() {
    var pickle = PickleWriter()
    pickle.global("models.common", "Module")
    pickle.bytes += Array(")".utf8) + [0x81] + Array("q\u{0}".utf8)
    for level in 1...20 {
      pickle.global("models.common", "Module")
      pickle.bytes += Array(")".utf8) + [0x81] + Array("}(".utf8)
      pickle.string("_modules")
      pickle.bytes += Array("}(".utf8)
      for child in 0..<50 {
        pickle.string("\(child)")
        pickle.bytes += [UInt8(ascii: "h"), UInt8(level - 1)]
      }
      pickle.bytes += Array("uub".utf8) + [UInt8(ascii: "q"), UInt8(level)]
    }
    expectRefusal(pickle, "beyond reason")
  }

  /// An instruction of one byte makes a list of forty.
  @Test func valuesAreNotPiledUp() {
    var pickle = PickleWriter()
    pickle.bytes += Array(repeating: UInt8(ascii: "]"), count: 50_001)
    expectRefusal(pickle, "piles up more than 50000 values")
    pickle = PickleWriter()
    pickle.bytes += Array(repeating: UInt8(ascii: "("), count: 50_001)
    expectRefusal(pickle, "piles up more than 50000 values")
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
