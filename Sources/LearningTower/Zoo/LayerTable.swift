import Network

/// A network as YOLOv5's YAML writes it: one row per layer, depth and width scaled. Row `i` becomes the module
/// `model.i`.
struct LayerTable: Sendable {
  var name: String
  /// Repeats `n > 1` become `max(round(n · depthMultiple), 1)`, halves to even.
  var depthMultiple = 1.0
  /// Channels become `⌈c · widthMultiple / 8⌉ · 8`.
  var widthMultiple = 1.0
  var rows: [Row]
  /// The layers (P3, P4, P5) that the detection head reads.
  var detect: [Int]

  struct Row: Sendable {
    var block: Block
    /// −1 is the layer before.
    var from: [Int]
    var repeats: Int
  }

  /// Sizes in pixels of the three anchors at strides 8, 16 and 32: YOLOv5's, found on COCO.
  static let anchors: [[Anchor]] = [
    [(10, 13), (16, 30), (33, 23)], [(30, 61), (62, 45), (59, 119)], [(116, 90), (156, 198), (373, 326)],
  ].map { $0.map { Anchor(width: $0.0, height: $0.1) } }
}

/// One row's block. Channel counts are before scaling.
enum Block: Sendable {
  case conv(Int, kernel: Int = 1, stride: Int = 1, padding: Int? = nil, activation: Activation? = .silu)
  case c3(Int, shortcut: Bool = true)
  case sppf(Int)
  case upsample
  case concat
  case ghostConv(Int, kernel: Int = 1, stride: Int = 1)
  case c3Ghost(Int)
  case depthwiseSeparable(Int, stride: Int)
  case invertedResidual(Int, stride: Int, expansion: Int)
  case hardSwishConv(Int, stride: Int)
  /// `hidden` is not scaled.
  case mobileNetV3(Int, hidden: Int, kernel: Int, stride: Int, squeezeExcite: Bool, activation: Activation)
  /// Channels become a multiple of `multiple`, for the groups that follow.
  case maxPoolStem(Int, multiple: Int = 8)
  /// Channels become a multiple of `8 · groups`.
  case shuffleUnit(Int, stride: Int, groups: Int, entryGroups: Int? = nil)
  case shuffleBlock(Int, stride: Int)
}

func layer(_ block: Block, from: [Int] = [-1], repeats: Int = 1) -> LayerTable.Row {
  LayerTable.Row(block: block, from: from, repeats: repeats)
}

extension LayerTable {
  func network(classCount: Int) -> Network {
    var builder = NetworkBuilder()
    var outputs: [Int] = []
    for (index, row) in rows.enumerated() {
      let inputs = row.from.map { $0 < 0 ? outputs.last ?? 0 : outputs[$0] }
      let repeats = row.repeats > 1 ? max(Int((Double(row.repeats) * depthMultiple).rounded(.toNearestOrEven)), 1) : 1
      outputs.append(add(row.block, "model.\(index)", of: inputs, repeats: repeats, to: &builder))
    }
    return builder.network(
      name: name, detectPath: "model.\(rows.count)", levels: detect.map { outputs[$0] }, classCount: classCount,
      anchors: Self.anchors, strides: [8, 16, 32])
  }

  private func scaled(_ channels: Int, multiple: Int = 8) -> Int {
    Int((Double(channels) * widthMultiple / Double(multiple)).rounded(.up)) * multiple
  }

  /// C3 and its kind repeat inside; other blocks are repeated as a whole, in a `Sequential`.
  private func add(
    _ block: Block, _ path: String, of inputs: [Int], repeats: Int, to builder: inout NetworkBuilder
  ) -> Int {
    switch block {
    case .c3(let channels, let shortcut):
      return builder.c3(path, of: inputs[0], to: scaled(channels), repeats: repeats, shortcut: shortcut)
    case .c3Ghost(let channels):
      return builder.c3Ghost(path, of: inputs[0], to: scaled(channels), repeats: repeats)
    default: break
    }
    guard repeats > 1 else { return add(block, path, of: inputs, to: &builder) }
    builder.module(path, "Sequential")
    return (0..<repeats).reduce(inputs[0]) { add(block, "\(path).\($1)", of: [$0], to: &builder) }
  }

  private func add(_ block: Block, _ path: String, of inputs: [Int], to builder: inout NetworkBuilder) -> Int {
    let input = inputs[0]
    switch block {
    case .conv(let channels, let kernel, let stride, let padding, let activation):
      return builder.conv(
        path, of: input, to: scaled(channels), kernel: kernel, stride: stride, padding: padding, activation: activation)
    case .c3, .c3Ghost: preconditionFailure("repeats inside itself")
    case .sppf(let channels): return builder.sppf(path, of: input, to: scaled(channels))
    case .upsample: return builder.upsample(path, of: input)
    case .concat:
      builder.module(path, "Concat")
      return builder.concat(path, of: inputs)
    case .ghostConv(let channels, let kernel, let stride):
      return builder.ghostConv(path, of: input, to: scaled(channels), kernel: kernel, stride: stride)
    case .depthwiseSeparable(let channels, let stride):
      return builder.depthwiseSeparable(path, of: input, to: scaled(channels), stride: stride)
    case .invertedResidual(let channels, let stride, let expansion):
      return builder.invertedResidual(path, of: input, to: scaled(channels), stride: stride, expansion: expansion)
    case .hardSwishConv(let channels, let stride):
      return builder.hardSwishConv(path, of: input, to: scaled(channels), stride: stride)
    case .mobileNetV3(let channels, let hidden, let kernel, let stride, let squeezeExcite, let activation):
      return builder.mobileNetV3(
        path, of: input, to: scaled(channels), hidden: hidden, kernel: kernel, stride: stride,
        squeezeExcite: squeezeExcite, activation: activation)
    case .maxPoolStem(let channels, let multiple):
      return builder.maxPoolStem(path, of: input, to: scaled(channels, multiple: multiple))
    case .shuffleUnit(let channels, let stride, let groups, let entryGroups):
      return builder.shuffleUnit(
        path, of: input, to: scaled(channels, multiple: 8 * groups), stride: stride, groups: groups,
        entryGroups: entryGroups ?? groups)
    case .shuffleBlock(let channels, let stride):
      return builder.shuffleBlock(path, of: input, to: scaled(channels), stride: stride)
    }
  }
}
