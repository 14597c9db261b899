import Foundation
import Network
import Randomness
import TestSupport
import Testing
import Zoo

/// Model files of YOLOv5: they build what the zoo builds, and whatever is wrong in one is said with its line.
@Suite struct ModelYAMLTests {
  static let families = [
    "yolov5s", "mobilenetv1", "mobilenetv2", "mobilenetv3-small", "mobilenetv3-large", "shufflenetv1", "shufflenetv2",
    "ghostnet",
  ]

  @Test(arguments: families) func buildsTheFamilysNetwork(_ name: String) throws {
    let path = Fixtures.path("models/\(name).yaml")
    for classCount in [14, 80] {
      #expect(
        try Architecture(.modelFile(path)).network(classCount: classCount)
          == Zoo.network(named: name, classCount: classCount))
    }
    #expect(try Architecture(.modelFile(path)).network().detect.classCount == 80)
    let wide = try Architecture(.modelFile(path), width: 1.5, depth: 2).network(classCount: 3)
    #expect(try wide == Architecture(.family(name), width: 1.5, depth: 2).network(classCount: 3))
  }

  /// Flow style, as YOLOv5 and the study write their files, and a size that is not built in: the multiples alone tell
  /// the sizes apart.
  @Test func multiplesAndFlowStyle() throws {
    let text = try String(contentsOfFile: Fixtures.path("models/yolov5s.yaml"), encoding: .utf8)
    let medium = text.replacing("depth_multiple: 0.33", with: "depth_multiple: 0.67")
      .replacing("width_multiple: 0.5", with: "width_multiple: 0.75").replacing("nc: 80", with: "nc: 14")
    var network = try build(medium)
    network.name = "yolov5m"
    #expect(try network == Zoo.network(named: "yolov5m", classCount: 14))
    let small = try build(Self.small)
    #expect(small.detect.strides == [4, 8] && small.detect.anchors.map(\.count) == [2, 2])
    #expect(small.detect.outputs.count == 2 && small.name == "model")
  }

  /// Modules of no built-in family, with the parameters that PyTorch's have.
  @Test(arguments: [
    ("SPP, [32]", 64 * 32 + 64 + 128 * 32 + 64),
    ("SPP, [32, [3, 5]]", 64 * 32 + 64 + 96 * 32 + 64),
    ("DWConv, [32, 3]", 32 * 2 * 9 + 64),
    ("Conv, [32, 3, 1, None, 4]", 32 * 16 * 9 + 64),
    ("Bottleneck, [64]", 64 * 32 + 64 + 32 * 64 * 9 + 128),
    ("Bottleneck, [64, False, 2, 0.25]", 64 * 16 + 32 + 8 * 64 * 9 + 128),
    ("C3, [64, True, 1, 0.25]", 2 * (64 * 16 + 32) + 16 * 16 + 32 + 16 * 16 * 9 + 32 + 32 * 64 + 128),
    (
      "BottleneckCSP, [64]",
      64 * 32 + 64 + 64 * 32 + 32 * 32 + 128 + 64 * 64 + 128 + 32 * 32 + 64 + 32 * 32 * 9 + 64
    ),
    ("GhostConv, [64, 3]", 64 * 32 * 9 + 64 + 32 * 25 + 64),
    // Two ghost convolutions with a depthwise one between them, and the shortcut's pair.
    (
      "GhostBottleneck, [64, 3, 2]",
      64 * 16 + 32 + 16 * 25 + 32 + 32 * 9 + 64 + 32 * 32 + 64 + 32 * 25 + 64 + 64 * 9 + 128 + 64 * 64 + 128
    ),
    ("nn.BatchNorm2d, []", 128), ("nn.MaxPool2d, [2, 2]", 0), ("nn.MaxPool2d, [3, 1, 1]", 0),
  ])
  func modules(_ row: String, _ parameters: Int) throws {
    let network = try build(
      """
      nc: 2
      anchors: [[10, 10]]
      backbone:
        - [-1, 1, Conv, [64, 3, 2]]
        - [-1, 1, \(row)]
      head:
        - [[-1], 1, Detect, [nc, anchors]]
      """)
    let layers = try network.layers(height: 64, width: 64)
    #expect(layers[1].parameterCount == parameters)
  }

  @Test func activations() throws {
    for (text, expected) in [
      ("nn.ReLU()", Activation.relu), ("True", .silu), ("nn.ReLU6()", .relu6), ("False", nil), ("1, nn.ReLU()", .relu),
    ] {
      let network = try build(Self.small.replacing("[16, 3, 2]", with: "[16, 3, 2, None, 1, \(text)]"))
      let first = network.nodes.first { $0.name == "model.0.act" }?.operation
      #expect(first == expected.map { .activation($0) })
    }
  }

  // MARK: - Refusals

  static let small = """
    nc: 3
    anchors: [[4, 6, 8, 8], [16, 12, 20, 24]]
    backbone:
      [[-1, 1, Conv, [16, 3, 2]],
       [-1, 1, Conv, [32, 3, 2]],
       [-1, 2, C3, [32]],
       [-1, 1, Conv, [64, 3, 2]]]
    head:
      [[-1, 1, nn.Upsample, [None, 2, 'nearest']],
       [[-1, 2], 1, Concat, [1]],
       [-1, 1, C3, [32, False]],
       [[6, 3], 1, Detect, [nc, anchors]]]
    """

  /// A part of the file, what to put in its place, the line at fault and a word of the reason.
  @Test(arguments: [
    ("Conv, [32, 3, 2]", "Konv, [32, 3, 2]", 5, "‘Conv’"),
    ("Conv, [32, 3, 2]", "Focus, [32, 3]", 5, "Conv [channels, 6, 2, 2]"),
    ("Conv, [32, 3, 2]", "TransformerBlock, [32]", 5, "unknown module"),
    ("[32, 3, 2]", "[0, 3, 2]", 5, "output channels: 0"),
    ("[32, 3, 2]", "[99999999, 3, 2]", 5, "99999999"),
    ("[32, 3, 2]", "[-32, 3, 2]", 5, "-32"),
    ("[32, 3, 2]", "[many, 3, 2]", 5, "‘many’"),
    ("[32, 3, 2]", "[]", 5, "output channels is missing"),
    ("[32, 3, 2]", "[32, 99, 2]", 5, "the kernel"),
    ("[32, 3, 2]", "[32, 3, 0]", 5, "the stride"),
    ("[32, 3, 2]", "[32, 3, 2, None, 3]", 5, "groups"),
    ("[32, 3, 2]", "[32, 3, 2, None, 1, nn.Tanh()]", 5, "nn.Tanh()"),
    ("[32, 3, 2]", "[32, 3, 2, None, 1, 2]", 5, "dilation"),
    ("[32, 3, 2]", "[32, 3, 2, 1, 1, 1, True, 9]", 5, "at most 7"),
    ("[-1, 2, C3, [32]]", "[-1, 2, C3, [32, True, 5]]", 6, "groups"),
    ("[-1, 2, C3, [32]]", "[-1, 2, C3, [32, True, 1, 0.001]]", 6, "expansion"),
    ("[-1, 2, C3, [32]]", "[-1, 0, C3, [32]]", 6, "repeats"),
    ("[-1, 2, C3, [32]]", "[-1, 1000000000, C3, [32]]", 6, "repeats"),
    ("[-1, 2, C3, [32]]", "[-1, 3, Conv, [64]]", 6, "repeated 3 times"),
    ("[-1, 2, C3, [32]]", "[-1, 2, C3]", 6, "3 parts"),
    ("[-1, 2, C3, [32]]", "[2, 2, C3, [32]]", 6, "does not stand before it"),
    ("[-1, 2, C3, [32]]", "[9, 2, C3, [32]]", 6, "does not stand before it"),
    ("[-1, 2, C3, [32]]", "[-4, 2, C3, [32]]", 6, "does not stand before it"),
    ("[-1, 2, C3, [32]]", "[[-1, 0], 2, C3, [32]]", 6, "reads one layer"),
    ("[-1, 2, C3, [32]]", "[-1, 1, Shuffle_Block, [64, 1]]", 6, "half of the input"),
    ("[-1, 2, C3, [32]]", "[-1, 1, ShuffleUnit, [48, 1, 3]]", 6, "groups"),
    ("[-1, 2, C3, [32]]", "[-1, 1, GhostBottleneck, [64]]", 6, "different shapes"),
    ("[-1, 2, C3, [32]]", "[-1, 1, nn.Upsample, [None, 2, bilinear]]", 6, "nearest"),
    ("[[-1, 2], 1, Concat, [1]]", "[[-1, 0], 1, Concat, [1]]", 10, "different sizes"),
    ("[[-1, 2], 1, Concat, [1]]", "[[-1, 2], 1, Concat, [2]]", 10, "dimension"),
    ("[[-1, 2], 1, Concat, [1]]", "[[], 1, Concat, [1]]", 10, "empty"),
    ("[-1, 1, C3, [32, False]]", "[[6, 3], 1, Detect, [nc, anchors]]", 11, "does not stand before it"),
    ("[-1, 1, C3, [32, False]]", "[[5, 3], 1, Detect, [nc, anchors]]", 11, "last layer"),
    ("[6, 3], 1, Detect", "[7, 3], 1, Detect", 12, "does not stand before it"),
    ("[6, 3], 1, Detect", "[6], 1, Detect", 12, "anchors for 2"),
    ("[6, 3], 1, Detect", "[6, 3], 1, Segment", 12, "Detect"),
    ("Detect, [nc, anchors]", "Detect, [80, anchors]", 12, "‘nc’"),
    ("[[4, 6, 8, 8], [16, 12, 20, 24]]", "3", 2, "sizes"),
    ("[[4, 6, 8, 8], [16, 12, 20, 24]]", "[[4, 6, 8], [16, 12, 20, 24]]", 2, "pairs"),
    ("[[4, 6, 8, 8], [16, 12, 20, 24]]", "[[4, 6, 8, -8], [16, 12, 20, 24]]", 2, "-8"),
    ("[[4, 6, 8, 8], [16, 12, 20, 24]]", "[[4, 6], [16, 12, 20, 24]]", 2, "as many"),
    ("nc: 3", "nc: 0", 1, "nc"), ("nc: 3", "width_multiple: 1e9", 1, "width_multiple"),
    ("nc: 3", "depth_mutliple: 1", 1, "depth_multiple"), ("nc: 3", "ch: 4", 1, "3 channels"),
    ("nc: 3", "activation: nn.ReLU()", 1, "nn.SiLU()"), ("nc: 3", "nc: *later", 1, "later"),
  ])
  func refusesWithTheLine(_ part: String, _ replacement: String, _ line: Int, _ reason: String) throws {
    #expect(Self.small.contains(part))
    let error = #expect(throws: NetworkError.self) { try build(Self.small.replacing(part, with: replacement)) }
    let message = error?.message ?? ""
    #expect(message.contains("model.yaml:\(line): ") && message.contains(reason), "\(message)")
  }

  @Test func growthWithoutEndIsRefused() throws {
    var rows = (0..<40).map { _ in "  - [[-1, -1, -1, -1], 1, Concat, [1]]" }
    #expect(throws: NetworkError.self) { try build(Self.around(rows)) }
    rows = (0..<900).map { _ in "  - [-1, 100, C3, [1024, True, 1, 1]]" }
    let error = #expect(throws: NetworkError.self) { try build(Self.around(rows)) }
    #expect(error?.message.contains("model.yaml:5:") == true && error?.message.contains("parameters") == true)
    rows = (0..<1001).map { _ in "  - [-1, 1, nn.MaxPool2d, [1]]" }
    #expect(throws: NetworkError.self) { try build(Self.around(rows)) }
  }

  /// Nothing that a damaged file says traps, hangs or passes for a network that cannot be.
  @Test func damagedFilesAreRefusedOrSound() throws {
    var random = SplitMix64(seed: 11)
    let words = ["-1", "0", "2", "99", "65536", "1e9", "[", "]", ",", "nc", "None", "Concat", "C3", "\n", "[[0, 1]]"]
    let modules = ["GhostBottleneck", "ShuffleUnit", "Shuffle_Block", "MobileNetV3", "SPP", "BottleneckCSP", "DWConv"]
    var built = 0
    for _ in 0..<1500 {
      var text = Array(Self.small)
      for _ in 0...(random.next() % 3) {
        let place = Int(random.next() % UInt64(text.count))
        switch random.next() % 4 {
        case 0: text.remove(at: place)
        case 1: text[place] = Character("\(random.next() % 10)")
        case 2: text.insert(contentsOf: words[Int(random.next() % UInt64(words.count))], at: place)
        default:
          let module = modules[Int(random.next() % UInt64(modules.count))]
          text = Array(String(text).replacing(["Conv", "C3"][place % 2], with: module, maxReplacements: 1 + place % 3))
        }
      }
      do {
        let network = try build(String(text))
        try network.check()
        built += 1
      } catch {
        #expect(error is NetworkError)
      }
    }
    #expect(built > 50 && built < 1450)
  }

  static func around(_ rows: [String]) -> String {
    """
    nc: 1
    anchors: [[8, 8]]
    backbone:
      - [-1, 1, Conv, [16, 3, 2]]
    \(rows.joined(separator: "\n"))
    head:
      - [[-1], 1, Detect, [nc, anchors]]
    """
  }

  @Test func aMissingFileIsNamed() {
    let error = #expect(throws: NetworkError.self) { try Architecture(.modelFile("no/such.yaml")).network() }
    #expect(error?.message.contains("no/such.yaml") == true)
  }

  private func build(_ text: String) throws -> Network {
    let folder = FileManager.default.temporaryDirectory.appending(path: "models-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(path: "model.yaml")
    try Data(text.utf8).write(to: file)
    return try Architecture(.modelFile(file.path)).network()
  }
}
