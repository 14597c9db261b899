import Network

/// One row's block. Channel counts are before scaling.
enum Block: Sendable, Hashable {
  // YOLOv5
  case conv(
    Int, kernel: Int = 1, stride: Int = 1, padding: Int? = nil, groups: Int = 1, activation: Activation? = .silu)
  /// In as many groups as input and output channels allow.
  case depthwiseConv(Int, kernel: Int = 1, stride: Int = 1, activation: Activation? = .silu)
  case bottleneck(Int, shortcut: Bool = true, groups: Int = 1, expansion: Double = 0.5)
  case c3(Int, shortcut: Bool = true, groups: Int = 1, expansion: Double = 0.5)
  case bottleneckCSP(Int, shortcut: Bool = true, groups: Int = 1, expansion: Double = 0.5)
  case spp(Int, kernels: [Int] = [5, 9, 13])
  case sppf(Int, kernel: Int = 5)
  case ghostConv(Int, kernel: Int = 1, stride: Int = 1, groups: Int = 1, activation: Activation? = .silu)
  case ghostBottleneck(Int, kernel: Int = 3, stride: Int = 1)
  case c3Ghost(Int, expansion: Double = 0.5)
  case maxPool(kernel: Int, stride: Int, padding: Int)
  case batchNorm
  case upsample(factor: Int = 2)
  case concat
  // The other backbones
  case depthwiseSeparable(Int, stride: Int)
  case invertedResidual(Int, stride: Int, expansion: Int)
  case hardSwishConv(Int, stride: Int)
  /// `hidden` is not scaled by a model file's width multiple.
  case mobileNetV3(Int, hidden: Int, kernel: Int, stride: Int, squeezeExcite: Bool, activation: Activation)
  /// Channels become a multiple of `multiple`, for the groups that follow.
  case maxPoolStem(Int, multiple: Int = 8)
  /// Channels become a multiple of `8 · groups`.
  case shuffleUnit(Int, stride: Int, groups: Int, entryGroups: Int? = nil)
  case shuffleBlock(Int, stride: Int)
}

/// Adds blocks to a network, channels scaled.
struct BlockBuilder {
  var builder = NetworkBuilder()
  let widthMultiple: Double
  /// A channel count that is not scaled: the head's anchors × (5 + classes), YOLOv5's `no`.
  let unscaledChannels: Int

  /// - Throws: `NetworkError` if the block does not fit its inputs.
  mutating func add(
    _ block: Block, _ path: String, of inputs: [Int], repeats: Int
  ) throws(NetworkError) -> Int {
    let output: Int
    switch block {
    case .c3(let channels, let shortcut, let groups, let expansion):
      output = builder.c3(
        path, of: inputs[0], to: scaled(channels), repeats: repeats, shortcut: shortcut, groups: groups,
        expansion: expansion)
    case .c3Ghost(let channels, let expansion):
      output = builder.c3Ghost(path, of: inputs[0], to: scaled(channels), repeats: repeats, expansion: expansion)
    case .bottleneckCSP(let channels, let shortcut, let groups, let expansion):
      output = builder.bottleneckCSP(
        path, of: inputs[0], to: scaled(channels), repeats: repeats, shortcut: shortcut, groups: groups,
        expansion: expansion)
    default: output = try addRepeated(block, path, of: inputs, repeats: repeats)
    }
    if let problem = builder.problem { throw problem }
    return output
  }

  /// Blocks which do not repeat inside are repeated as a whole, in a `Sequential`; each is made for the first one's
  /// input.
  private mutating func addRepeated(
    _ block: Block, _ path: String, of inputs: [Int], repeats: Int
  ) throws(NetworkError) -> Int {
    guard repeats > 1 else { return try add(block, path, of: inputs) }
    builder.module(path, "Sequential")
    var output = inputs[0]
    for index in 0..<repeats {
      output = try add(block, "\(path).\(index)", of: [output])
      guard builder.channels(output) == builder.channels(inputs[0]) else {
        throw NetworkError(
          "\(path): repeated \(repeats) times, but makes \(builder.channels(output)) channels of "
            + "\(builder.channels(inputs[0]))")
      }
    }
    return output
  }

  private func scaled(_ channels: Int, multiple: Int = 8) -> Int {
    if channels == unscaledChannels { return channels }
    return Int((Double(channels) * widthMultiple / Double(multiple)).rounded(.up)) * multiple
  }

  private mutating func add(_ block: Block, _ path: String, of inputs: [Int]) throws(NetworkError) -> Int {
    let input = inputs[0]
    switch block {
    case .c3, .c3Ghost, .bottleneckCSP: preconditionFailure("repeats inside itself")
    case .conv(let channels, let kernel, let stride, let padding, let groups, let activation):
      return builder.conv(
        path, of: input, to: scaled(channels), kernel: kernel, stride: stride, padding: padding, groups: groups,
        activation: activation)
    case .depthwiseConv(let channels, let kernel, let stride, let activation):
      return builder.depthwiseConv(
        path, of: input, to: scaled(channels), kernel: kernel, stride: stride, activation: activation)
    case .bottleneck(let channels, let shortcut, let groups, let expansion):
      let channels = scaled(channels)
      return builder.bottleneck(
        path, of: input, to: channels, hidden: Int(Double(channels) * expansion), shortcut: shortcut, groups: groups)
    case .spp(let channels, let kernels):
      return builder.spp(path, of: input, to: scaled(channels), kernels: kernels)
    case .sppf(let channels, let kernel): return builder.sppf(path, of: input, to: scaled(channels), kernel: kernel)
    case .ghostConv(let channels, let kernel, let stride, let groups, let activation):
      return builder.ghostConv(
        path, of: input, to: scaled(channels), kernel: kernel, stride: stride, groups: groups, activation: activation)
    case .ghostBottleneck(let channels, let kernel, let stride):
      return builder.ghostBottleneck(path, of: input, to: scaled(channels), kernel: kernel, stride: stride)
    case .maxPool(let kernel, let stride, let padding):
      builder.module(path, "MaxPool2d")
      return builder.maxPool(path, of: input, kernel: kernel, stride: stride, padding: padding)
    case .batchNorm: return builder.batchNorm(path, of: input)
    case .upsample(let factor): return builder.upsample(path, of: input, factor: factor)
    case .concat:
      builder.module(path, "Concat")
      return builder.concat(path, of: inputs)
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
      let channels = scaled(channels)
      guard stride > 1 || builder.channels(input) == channels else {
        throw NetworkError(
          "\(path): at stride 1 half of the input passes, so that \(channels) channels need \(channels), not "
            + "\(builder.channels(input))")
      }
      return builder.shuffleBlock(path, of: input, to: channels, stride: stride)
    }
  }
}
