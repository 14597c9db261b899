@testable import Detection
import Foundation
import Interchange
import Network
import TestSupport
@testable import Training

extension FuzzReader {
  /// Safetensors files, models, checkpoints and PyTorch's archives.
  static let tensorReaders: [FuzzReader] = [
    FuzzReader(
      name: "safetensors", fileExtension: "safetensors", tokens: jsonTokens,
      seeds: [
        headed(#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#, dataCount: 24),
        FuzzSeed(Safetensors.encode(tinyModel)),
        headed(
          #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#,
          dataCount: 6, isSound: false),
        headed(
          #"{"a":{"dtype":"F64","shape":[1073741824,1073741824],"data_offsets":[0,8]}}"#, dataCount: 8, isSound: false),
        headed(String(repeating: #"{"a":"#, count: 10_000), dataCount: 0, isSound: false),
        FuzzSeed(Array(repeating: 0xff, count: 16), isSound: false),
      ],
      read: { bytes, file in
        let content = try Safetensors.decode(bytes, file: file)
        for tensor in content.tensors.values { _ = tensor.floats }
      }),
    FuzzReader(
      name: "model", fileExtension: "safetensors", tokens: jsonTokens + networkTokens,
      seeds: [
        described("network"), described("network"), described("class_names"), FuzzSeed(Safetensors.encode(tinyModel)),
        FuzzSeed(Safetensors.encode(broken(.nan)), isSound: false),
        FuzzSeed(Safetensors.encode(broken(.infinity)), isSound: false),
        FuzzSeed(
          Array(String(repeating: "[", count: 10_000).utf8), isSound: false,
          wrap: { text in with(text, as: "network", in: tinyModel) }),
      ],
      read: { bytes, file in
        let model = try ModelFile(decoding: Safetensors.decode(bytes, file: file), file: file)
        // An accepted file can be used.
        _ = try? model.network.gflops(imageSize: 640)
        _ = try? model.network.layers(height: 64, width: 64)
        _ = try? ONNXModel(model, options: .init(imageHeight: 64, imageWidth: 64)).encoded()
        _ = try model.encoded()
      }),
    FuzzReader(
      name: "checkpoint", fileExtension: "safetensors", tokens: jsonTokens + networkTokens,
      seeds: [
        FuzzSeed(Safetensors.encode(tinyCheckpoint)),
        FuzzSeed(
          Array(tinyCheckpoint.metadata["training"]!.utf8),
          wrap: { text in with(text, as: "training", in: tinyCheckpoint) }),
        FuzzSeed(Safetensors.encode(tinyModel), isSound: false),
      ],
      read: { bytes, file in
        _ = try TrainingCheckpoint(decoding: Safetensors.decode(bytes, file: file), name: file).encoded()
      }),
    FuzzReader(
      name: "pt", fileExtension: "pt", tokens: pickleTokens,
      seeds: [
        pickled(stateDict), pickled(modulePickle, tinyStorages), pickled(interrupted), pickled(interrupted),
        FuzzSeed(archive(stateDict, tensorStorages)), FuzzSeed(archive(stateDict, tensorStorages, zip64)),
        pickled(systemCall, isSound: false), pickled(doublings, isSound: false), pickled(endless, isSound: false),
      ],
      read: { bytes, file in
        let content = try PyTorchCheckpoint.decode(bytes, file: file)
        for tensor in content.tensors.values { _ = tensor.floats }
      }),
  ]

  static let jsonTokens =
    words(
      #"{ } [ ] , : " \ \u \ud800 \udc00 null true false {"a": [[[[ {"":{"": "__metadata__": "dtype": "shape": "#
        + #""data_offsets": "F64" "F32" "BF16" "I64" "BOOL" "U8" "F8_E4M3" [0,0] [0] [] -1 1e308"#)
    + [[0], [0xff, 0xfe], [0xc3], Array("é".utf8)]

  static let networkTokens = words(
    #""convolution" "batchNorm" "add" "concat" "upsample" "factor" "maxPool" "linear" "scale" "slice" "shuffle" "#
      + #""groups":0 "kernel":0 "stride":0 "inputs":[0] "inputs":[-1] "inputs":[99] "_0" "outputs":[] "anchors":[[]] "#
      + #""classCount":0 "strides":[0] {"globalAveragePool":{}} {"activation":{"_0":"silu"}} {"image":{"channels":3}}"#)

  /// Instructions of protocols 0 to 5, most of which no model needs.
  static let pickleTokens =
    (UInt8.min...UInt8.max).map { [$0] }
    + words("torch\nFloatStorage\n ctorch._utils\n_rebuild_tensor_v2\n cos\nsystem\n")
    + [
      Array("ccollections\nOrderedDict\n)R".utf8), Array("c__builtin__\nset\n(".utf8) + [0x85, 0x52],
      Array("}q\u{1}h\u{1}h\u{1}s".utf8), Array("h\u{0}h\u{0}".utf8) + [0x86, 0x71, 0],
      [0x8a, 8] + Array(repeating: 0xff, count: 8),
      Array("cmine\nThing\n)".utf8) + [0x81], Array("}b".utf8), Array(")}".utf8) + [0x92, 0x94],
      [0x8f, 0x28, 0x4e, 0x90],
      [0x8c, 1, 0x61, 0x8c, 1, 0x62, 0x93], [0x8d] + Array(repeating: 0xff, count: 8), Array("(h\u{0}t1".utf8),
      Array("X".utf8) + [0xff, 0xff, 0xff, 0xff], Array("r".utf8) + [0xff, 0xff, 0xff, 0xff], Array("Q".utf8),
      [0x50, 0x4b, 1, 2],
    ]

  // MARK: - Safetensors

  /// The header's length is that of the text, however it is damaged.
  private static func headed(_ header: String, dataCount: Int, isSound: Bool = true) -> FuzzSeed {
    FuzzSeed(Array(header.utf8), isSound: isSound) { text in
      littleEndian(text.count, 8) + text + Array(repeating: 1, count: dataCount)
    }
  }

  /// The tiny model with one of its texts to be damaged.
  private static func described(_ key: String) -> FuzzSeed {
    FuzzSeed(Array(tinyModel.metadata[key]!.utf8)) { text in with(text, as: key, in: tinyModel) }
  }

  private static func with(_ text: [UInt8], as key: String, in content: SafetensorsFile) -> [UInt8] {
    var content = content
    content.metadata[key] = String(decoding: text, as: UTF8.self)
    return Safetensors.encode(content)
  }

  /// Every operation in a few hundred parameters.
  static let tinyNetwork: Network = {
    var builder = NetworkBuilder()
    for (path, type) in [("model.0", "Conv"), ("model.1", "Block"), ("model.2", "SELayer")] {
      builder.module(path, type)
    }
    var map = builder.convolution("model.0.conv", of: 0, to: 4, kernel: 3, stride: 2)
    map = builder.activation("model.0.act", .silu, of: builder.batchNorm("model.0.bn", of: map))
    map = builder.maxPool("model.1.pool", of: map, kernel: 3, stride: 2)
    let halves = [0, 2].map { builder.slice("model.1.half.\($0)", of: map, start: $0, count: 2) }
    map = builder.shuffle("model.1.shuffle", of: builder.concat("model.1.concat", of: halves), groups: 2)
    map = builder.averagePool("model.1.mean", of: map, kernel: 3, stride: 1)
    map = builder.convolution("model.1.conv", of: map, to: 4, kernel: 3, stride: 2, groups: 4)
    map = builder.activation("model.1.act", .hardSwish, of: builder.batchNorm("model.1.bn", of: map))
    var factors = builder.linear("model.2.fc1", of: builder.globalAveragePool("model.2.pool", of: map), to: 2)
    factors = builder.linear("model.2.fc2", of: builder.activation("model.2.relu", .relu, of: factors), to: 4)
    factors = builder.activation("model.2.sigmoid", .hardSigmoid, of: factors)
    map = builder.add("model.2.add", of: [map, builder.scale("model.2.scale", map, by: factors)])
    return builder.network(
      name: "tiny", detectPath: "model.3", levels: [map], classCount: 2, anchors: [[Anchor(width: 10, height: 13)]],
      strides: [8])
  }()

  private static let tinyModel = try! ModelFile(
    network: tinyNetwork, parameters: tinyNetwork.goldenParameters, classNames: ["cat", "dog"]
  ).encoded()

  private static func broken(_ value: Float) -> SafetensorsFile {
    var content = tinyModel
    content.tensors["model.1.bn.weight"] = StoredTensor(Tensor(shape: [4], values: [1, value, 1, 1]))
    return content
  }

  private static let tinyCheckpoint: SafetensorsFile = {
    let parameters = tinyNetwork.goldenParameters
    let summary = EpochSummary(
      epoch: 1, loss: LossItems(box: 1), validationLoss: LossItems(), precision: 0, recall: 0, map50: 0, map50_95: 0,
      learningRates: PerGroup(gammas: 0.1, weights: 0.1, biases: 0.1), isBest: true)
    let state = parameters.tensors.filter { $0.key.hasSuffix("weight") }.map { ("momentum." + $0.key, $0.value) }
    return try! TrainingCheckpoint(
      network: tinyNetwork, classNames: ["cat", "dog"], configuration: TrainingConfiguration(epochs: 3),
      history: [summary], stopping: EarlyStopping(patience: 10), optimizerUpdates: 4, averageUpdates: 4,
      parameters: parameters, average: parameters,
      optimizerState: Dictionary(uniqueKeysWithValues: state),
      best: tinyNetwork.initialParameters(seed: 1)
    ).encoded()
  }()

  // MARK: - Pickles

  /// The archive's checksums are those of the damaged pickle.
  private static func pickled(
    _ pickle: PickleWriter, _ storages: [String: [UInt8]] = tensorStorages, isSound: Bool = true
  ) -> FuzzSeed {
    FuzzSeed(pickle.bytes, isSound: isSound) { bytes in
      var damaged = PickleWriter()
      damaged.bytes = bytes
      return archive(damaged, storages)
    }
  }

  private static let tensorStorages = ["0": [UInt8](repeating: 1, count: 24), "1": [UInt8](repeating: 2, count: 8)]

  private static let stateDict: PickleWriter = {
    var pickle = PickleWriter()
    pickle.dictionary([
      ("plain", { $0.tensor("FloatStorage", "0", 6, offset: 0, [2, 3], [3, 1]) }),
      ("transposed", { $0.tensor("FloatStorage", "0", 6, offset: 0, [3, 2], [1, 3]) }),
      ("scalar", { $0.tensor("LongStorage", "1", 1, offset: 0, [], []) }), ("nothing", { $0.none() }),
    ])
    return pickle
  }()

  private static let (modulePickle, tinyStorages): (PickleWriter, [String: [UInt8]]) = {
    var pickle = PickleWriter()
    var storages: [String: [UInt8]] = [:]
    pickle.dictionary([
      ("ema", { $0.none() }),
      ("model", { $0.module(tinyNetwork, tinyNetwork.goldenParameters, storages: &storages) }),
    ])
    return (pickle, storages)
  }()

  /// Weights among objects of other classes, as a training leaves them.
  private static let interrupted: PickleWriter = {
    var pickle = PickleWriter()
    pickle.dictionary([
      (
        "fitness",
        { $0.call("numpy._core.multiarray", "scalar", [{ $0.call("numpy", "dtype", [{ $0.string("f8") }]) }]) }
      ),
      ("opt", { $0.object("argparse", "Namespace", [("weights", { $0.call("pathlib", "PosixPath") })]) }),
      (
        "seen",
        {
          $0.bytes += [0x8f, 0x94, 0x28, 0x4b, 1, 0x4b, 2, 0x90, 0x8a, 12] + [UInt8](repeating: 7, count: 12) + [0x86]
        }
      ),
      (
        "queue",
        {
          $0.call("collections", "deque"); $0.bytes += Array("(K\u{1}e".utf8)
        }
      ),
      (
        "model",
        {
          $0.call("collections", "OrderedDict")
          $0.string("w")
          $0.tensor("FloatStorage", "0", 6, offset: 0, [6], [1])
          $0.bytes += Array("s}b".utf8)
        }
      ),
      ("optimizer", { $0.dictionary([("state", { $0.tensor("CharStorage", "1", 8, offset: 0, [8], [1]) })]) }),
    ])
    return pickle
  }()

  private static let zip64: ArchiveStyle = {
    var style = ArchiveStyle()
    style.isZip64 = true
    return style
  }()

  private static let systemCall: PickleWriter = {
    var pickle = PickleWriter()
    pickle.global("os", "system")
    pickle.string("true")
    pickle.bytes += [0x85, UInt8(ascii: "R")]
    return pickle
  }()

  /// A pair of a pair of a pair …: a few bytes that would unfold to more than any memory.
  private static let doublings: PickleWriter = {
    var pickle = PickleWriter()
    pickle.bytes += Array("]q\u{0}".utf8)
    for _ in 0..<1000 { pickle.bytes += Array("h\u{0}h\u{0}".utf8) + [0x86, 0x71, 0] }
    return pickle
  }()

  private static let endless: PickleWriter = {
    var pickle = PickleWriter()
    pickle.bytes += Array(repeating: UInt8(ascii: "]"), count: 600_000)
    return pickle
  }()
}
