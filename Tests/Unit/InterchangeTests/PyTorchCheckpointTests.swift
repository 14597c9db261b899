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

  /// A checkpoint holds objects of any class besides the weights. None of them is needed, so all are passed over.
  @Test(arguments: PassedOver.all) func whatIsNotNeededIsPassedOver(_ value: PassedOver) throws {
    var pickle = PickleWriter()
    pickle.dictionary([
      ("before", value.write), ("state_dict", { $0.dictionary([("w", ones)]) }), ("after", value.write),
    ])
    let content = try PyTorchCheckpoint.decode(archive(pickle, sixOnes), file: "m.pt")
    #expect(content.tensors == ["w": StoredTensor(Tensor(shape: [6], repeating: 1))])
  }

  @Test func callsAreNeverMade() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "owned-\(UUID().uuidString)").path
    var pickle = PickleWriter()
    pickle.dictionary([
      ("optimizer", { $0.call("os", "system", [{ $0.string("touch \(path)") }]) }),
      ("date", { $0.call("builtins", "open", [{ $0.string(path) }, { $0.string("w") }]) }),
      ("model", { $0.dictionary([("w", ones)]) }),
    ])
    #expect(try PyTorchCheckpoint.decode(archive(pickle, sixOnes), file: "m.pt").tensors.count == 1)
    #expect(!FileManager.default.fileExists(atPath: path))
    pickle = PickleWriter()
    pickle.call("os", "system", [{ $0.string("touch \(path)") }])
    expectRefusal(pickle, "neither a model nor a state_dict")
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  /// The instructions of protocol 4: frames, names from the stack, a memo that counts by itself, sets.
  @Test func protocolFour() throws {
    func text(_ text: String) -> [UInt8] { [0x8c, UInt8(text.utf8.count)] + Array(text.utf8) }
    var pickle = PickleWriter()
    pickle.bytes = [0x80, 4, 0x95] + littleEndian(400, 8) + Array("}".utf8) + [0x94] + Array("(".utf8)
    pickle.bytes += text("seen") + [0x8f, 0x94] + Array("(K\u{1}K\u{2}".utf8) + [0x90]
    pickle.bytes += text("state_dict") + text("collections") + [0x94] + text("OrderedDict") + [0x94, 0x93, 0x94]
    pickle.bytes += Array(")R".utf8) + [0x94]
    pickle.string("w")
    ones(&pickle)
    pickle.bytes += Array("s".utf8)  // The sixth value that was kept is the dictionary of tensors.
    pickle.string("again")
    pickle.bytes += Array("h\u{5}u".utf8)
    let content = try PyTorchCheckpoint.decode(archive(pickle, sixOnes), file: "m.pt")
    #expect(content.tensors.keys.sorted() == ["w"])
  }

  /// A tensor in several wrapping calls is still that tensor.
  @Test func wrappedTensors() throws {
    func wrapped(_ writer: inout PickleWriter) {
      writer.call("torch._utils", "_rebuild_parameter", [ones, { $0.bytes.append(0x89) }, { $0.none() }])
    }
    var pickle = PickleWriter()
    pickle.dictionary([
      ("parameter", wrapped),
      (
        "with_state",
        { $0.call("torch._utils", "_rebuild_parameter_with_state", [ones, { $0.none() }, { $0.none() }]) }
      ),
      (
        "subclass",
        {
          $0.call(
            "torch._tensor", "_rebuild_from_type_v2",
            [
              { $0.global("torch._utils", "_rebuild_parameter") }, { $0.global("mine", "Parameter") },
              { writer in
                writer.bytes.append(UInt8(ascii: "("))
                wrapped(&writer)
                writer.bytes.append(UInt8(ascii: "t"))
              }, { $0.dictionary([]) },
            ])
        }
      ),
    ])
    let content = try PyTorchCheckpoint.decode(archive(pickle, sixOnes), file: "m.pt")
    #expect(content.tensors.keys.sorted() == ["parameter", "subclass", "with_state"])
    #expect(Set(content.tensors.values.map(\.floats)) == [[1, 1, 1, 1, 1, 1]])
  }

  /// A tensor of a network that cannot be read is an error, never left out.
  @Test func tensorsThatAreNeededAndCannotBeRead() {
    var pickle = PickleWriter()
    pickle.object(
      "models.yolo", "Model",
      [
        ("_modules", { $0.dictionary([]) }),
        ("_parameters", { $0.dictionary([("w", { $0.call("torch._utils", "_rebuild_qtensor") })]) }),
      ])
    expectRefusal(pickle, "tensor w: it is of a kind that is not read (torch._utils _rebuild_qtensor)")
    pickle = PickleWriter()
    pickle.dictionary([("w", { $0.tensor("CharStorage", "0", 24, offset: 0, [24], [1]) })])
    expectRefusal(pickle, "elements of type ‘torch CharStorage’ are not read")
  }

  @Test func buffersThatDoNotPersist() throws {
    var pickle = PickleWriter()
    pickle.object(
      "models.yolo", "Model",
      [
        ("_buffers", { $0.dictionary([("kept", ones), ("grid", ones)]) }), ("_modules", { $0.dictionary([]) }),
        (
          "_non_persistent_buffers_set",
          {
            $0.call(
              "__builtin__", "set",
              [
                {
                  $0.bytes += Array("](".utf8); $0.string("grid"); $0.bytes += Array("e".utf8)
                }
              ])
          }
        ),
      ])
    let content = try PyTorchCheckpoint.decode(archive(pickle, sixOnes), file: "m.pt")
    #expect(content.tensors.keys.sorted() == ["kept"])
  }

  // MARK: - Archives

  @Test func archivesOfEveryKind() throws {
    var pickle = PickleWriter()
    pickle.dictionary([("w", ones)])
    var (wide, described, unchecked, reversed) = (ArchiveStyle(), ArchiveStyle(), ArchiveStyle(), ArchiveStyle())
    wide.isZip64 = true
    described.hasDataDescriptors = true
    unchecked.hasChecksums = false
    reversed.more["archive/byteorder"] = Array("big".utf8)
    for style in [wide, described, unchecked] {
      let content = try PyTorchCheckpoint.decode(archive(pickle, sixOnes, style), file: "m.pt")
      #expect(content.tensors["w"]?.floats == [1, 1, 1, 1, 1, 1])
    }
    let bigEndian = ["0": [UInt8]((0..<6).flatMap { _ in [0x3f, 0x80, 0, 0] as [UInt8] })]
    let content = try PyTorchCheckpoint.decode(archive(pickle, bigEndian, reversed), file: "m.pt")
    #expect(content.tensors["w"]?.floats == [1, 1, 1, 1, 1, 1])
  }

  @Test func archivesThatAreNotWeights() {
    var pickle = PickleWriter()
    pickle.dictionary([("w", ones)])
    var (packed, script) = (ArchiveStyle(), ArchiveStyle())
    packed.method = 8
    script.more["archive/constants.pkl"] = [0x80, 2, 0x29, 0x2e]
    let whole = archive(pickle, sixOnes)
    for (bytes, reason) in [
      (archive(pickle, sixOnes, packed), "is compressed"), (archive(pickle, sixOnes, script), "a TorchScript program"),
      (archive([("runs/exp/last.pt", [1])]), "a zip archive of other things (‘runs/exp/last.pt’)"),
      (Array(whole.dropLast(30)), "cut short"), (archive([("a", [])], packed), "other things"),
    ] {
      let error = #expect(throws: InterchangeError.self) { try PyTorchCheckpoint.decode(bytes, file: "m.pt") }
      #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
    }
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
    pickle.bytes = [0x80, 6]
    expectRefusal(pickle, "is of protocol 6; protocols up to 5 are read")
    pickle.bytes = [0x80, 2, UInt8(ascii: "r")] + littleEndian(1 << 30, 4)
    expectRefusal(pickle, "takes more values than there are")
    pickle.bytes = [0x80, 2, UInt8(ascii: "N"), UInt8(ascii: "r")] + littleEndian(1 << 30, 4)
    expectRefusal(pickle, "keeps value 1073741824 after 0 others")
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

  /// Reading ends in a value or an error, whichever bytes change.
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

/// A tensor of six ones, and its storage.
private func ones(_ writer: inout PickleWriter) { writer.tensor("FloatStorage", "0", 6, offset: 0, [6], [1]) }
private let sixOnes = ["0": StoredTensor(Tensor(shape: [6], repeating: 1)).bytes]

/// A value that training scripts keep beside the weights, or might.
struct PassedOver: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var write: @Sendable (inout PickleWriter) -> Void

  static let all: [PassedOver] = [
    PassedOver("a scalar of NumPy 1") { $0.scalar("numpy.core.multiarray") },
    PassedOver("a scalar of NumPy 2") { $0.scalar("numpy._core.multiarray") },
    PassedOver("an array of NumPy") { writer in
      writer.call(
        "numpy.core.multiarray", "_reconstruct",
        [{ $0.global("numpy", "ndarray") }, { $0.integers([0]) }, { $0.bytes += [UInt8(ascii: "U"), 1, 0x62] }])
      writer.bytes += Array("(K\u{1}K\u{1}".utf8) + [0x85]
      writer.dtype()
      writer.bytes += [0x89, UInt8(ascii: "C"), 8] + [UInt8](repeating: 0xff, count: 8) + Array("tb".utf8)
    },
    PassedOver("an optimizer's state") { writer in
      writer.pairs([({ $0.integer(0) }, { $0.dictionary([("momentum_buffer", ones)]) })])
    },
    PassedOver("a date") { $0.call("datetime", "datetime", [{ $0.bytes += [UInt8(ascii: "C"), 2, 7, 0xe6] }]) },
    PassedOver("a path") { $0.call("pathlib", "PosixPath", [{ $0.string("/") }, { $0.string("data") }]) },
    PassedOver("options") { $0.object("argparse", "Namespace", [("epochs", { $0.integer(3) })]) },
    PassedOver("a size") { $0.call("torch", "Size", [{ $0.integers([1, 2]) }]) },
    PassedOver("a type") { $0.global("torch", "float16") },
    PassedOver("a queue") { writer in
      writer.call("collections", "deque", [{ $0.bytes.append(UInt8(ascii: "]")) }, { $0.integer(9) }])
      writer.bytes += Array("(K\u{1}K\u{2}eK\u{3}a".utf8)
    },
    PassedOver("a dictionary with defaults") { writer in
      writer.call("collections", "defaultdict", [{ $0.global("builtins", "list") }])
      writer.bytes += Array("(K\u{1}K\u{2}uK\u{3}Ns".utf8)
    },
    PassedOver("a member of an enumeration") { $0.call("mine", "Colour", [{ $0.integer(1) }]) },
    PassedOver("a function that a call looks up") { writer in
      writer.call("builtins", "getattr", [{ $0.global("mine", "Thing") }, { $0.string("make") }])
      writer.bytes += Array(")R".utf8)
    },
    PassedOver("an object with keyword arguments") { writer in
      writer.global("mine", "Thing")
      writer.bytes += Array(")}".utf8) + [0x92]
    },
    PassedOver("an object of protocol 1") { writer in
      writer.bytes.append(UInt8(ascii: "("))
      writer.global("mine", "Thing")
      writer.bytes += Array("K\u{1}o".utf8)
    },
    PassedOver("an object with slots") { writer in
      writer.object("mine", "Thing", [])
      writer.none()
      writer.dictionary([("slot", { $0.integer(1) })])
      writer.bytes += [0x86, UInt8(ascii: "b")]
    },
    PassedOver("integers of many digits") { writer in
      writer.bytes += [0x8a, 16] + [UInt8](repeating: 0x7f, count: 16)
      writer.bytes += [0x8b] + littleEndian(300, 4) + [UInt8](repeating: 1, count: 300) + [0x86]
      writer.bytes += Array("L123456789012345678901234567890L\nL-5L\nI01\n".utf8) + [0x87, 0x86]
    },
    PassedOver("bytes and sets") { writer in
      writer.bytes += [UInt8(ascii: "B")] + littleEndian(3, 4) + [1, 2, 3] + [0x8e] + littleEndian(1, 8) + [9]
      writer.bytes += [0x86, 0x8f] + Array("(K\u{1}".utf8) + [0x90] + Array("(K\u{1}".utf8) + [0x91, 0x87]
    },
    PassedOver("a list and a tuple that hold themselves") { writer in
      // Python takes a tuple that turns out to hold itself off the stack and recalls what it kept.
      writer.bytes += Array("]q\u{0}h\u{0}a(]q\u{1}(h\u{1}tq\u{2}a1h\u{2}".utf8) + [0x86]
    },
    PassedOver("tensors of other kinds") { writer in
      writer.bytes.append(UInt8(ascii: "("))
      writer.tensor("CharStorage", "7", 6, offset: 0, [6], [1])
      writer.call("torch._utils", "_rebuild_qtensor")
      writer.call("torch._utils", "_rebuild_sparse_tensor", [{ $0.global("torch", "sparse_coo") }])
      writer.bytes.append(UInt8(ascii: "t"))
    },
    PassedOver("a module of another network") { $0.object("mine", "Net", [("_modules", { $0.dictionary([]) })]) },
  ]

  init(_ name: String, _ write: @escaping @Sendable (inout PickleWriter) -> Void) {
    testDescription = name
    self.write = write
  }
}

extension PickleWriter {
  fileprivate mutating func dtype() {
    call("numpy", "dtype", [{ $0.string("f8") }, { $0.bytes.append(0x89) }, { $0.bytes.append(0x88) }])
    bytes += Array("(K\u{3}".utf8)
    string("<")
    bytes += Array("NNNJ".utf8) + littleEndian(-1, 4) + Array("J".utf8) + littleEndian(-1, 4) + Array("K\u{0}tb".utf8)
  }

  /// As protocol 2 writes them: the bytes are a text to be encoded.
  fileprivate mutating func scalar(_ module: String) {
    call(
      module, "scalar",
      [{ $0.dtype() }, { $0.call("_codecs", "encode", [{ $0.string("\u{0}à?") }, { $0.string("latin1") }]) }])
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
