import Network

// The blocks of the other backbones.
extension NetworkBuilder {
  /// Convolution and batch norm as neighbours `first` and `first + 1` of a `Sequential`.
  private mutating func convolutionNorm(
    _ path: String, _ first: Int, of input: Int, to channels: Int, kernel: Int = 1, stride: Int = 1, groups: Int = 1
  ) -> Int {
    let map = convolution(
      "\(path).\(first)", of: input, to: channels, kernel: kernel, stride: stride, groups: groups)
    return batchNorm("\(path).\(first + 1)", of: map)
  }

  // MARK: - MobileNet

  /// 3×3 depthwise and 1×1 convolution, each with batch norm and ReLU (Howard et al. 2017, figure 3).
  mutating func depthwiseSeparable(_ path: String, of input: Int, to channels: Int, stride: Int) -> Int {
    module(path, "DepthwiseSeparable")
    let map = conv(
      "\(path).depthwise", of: input, to: self.channels(input), kernel: 3, stride: stride,
      groups: self.channels(input), activation: .relu, type: "DWConv")
    return conv("\(path).pointwise", of: map, to: channels, activation: .relu)
  }

  // MARK: - MobileNetV2

  /// Expansion, 3×3 depthwise convolution, linear projection; added to the input where the shapes agree (Sandler et al.
  /// 2018, table 1).
  mutating func invertedResidual(_ path: String, of input: Int, to channels: Int, stride: Int, expansion: Int) -> Int {
    module(path, "InvertedResidual")
    module("\(path).conv", "Sequential")
    let hidden = self.channels(input) * expansion
    var map = input
    var next = 0
    func clipped(_ builder: inout NetworkBuilder, kernel: Int, stride: Int, groups: Int) {
      let block = "\(path).conv.\(next)"
      builder.module(block, "ConvBNReLU")
      map = builder.convolutionNorm(
        block, 0, of: map, to: hidden, kernel: kernel, stride: stride, groups: groups)
      map = builder.activation("\(block).2", .relu6, of: map)
      next += 1
    }
    if expansion != 1 { clipped(&self, kernel: 1, stride: 1, groups: 1) }
    clipped(&self, kernel: 3, stride: stride, groups: hidden)
    map = convolutionNorm("\(path).conv", next, of: map, to: channels)
    return stride == 1 && self.channels(input) == channels ? add("\(path).add", of: [input, map]) : map
  }

  // MARK: - MobileNetV3

  /// The stem: 3×3 convolution, batch norm, hard swish.
  mutating func hardSwishConv(_ path: String, of input: Int, to channels: Int, stride: Int) -> Int {
    module(path, "conv_bn_hswish")
    let map = convolution("\(path).conv", of: input, to: channels, kernel: 3, stride: stride)
    return activation("\(path).act", .hardSwish, of: batchNorm("\(path).bn", of: map))
  }

  /// Expansion, depthwise convolution, squeeze-excite, linear projection (Howard et al. 2019, figure 4). Without an
  /// expansion (`hidden` equal to the input's channels) the activation stands before squeeze-excite, otherwise after
  /// it, as in the study.
  mutating func mobileNetV3(
    _ path: String, of input: Int, to channels: Int, hidden: Int, kernel: Int, stride: Int, squeezeExcite: Bool,
    activation: Activation
  ) -> Int {
    module(path, "MobileNetV3")
    let conv = "\(path).conv"
    module(conv, "Sequential")
    var map = input
    if self.channels(input) == hidden {
      map = convolutionNorm(conv, 0, of: map, to: hidden, kernel: kernel, stride: stride, groups: hidden)
      map = self.activation("\(conv).2", activation, of: map)
      map = squeezeExciteOrNothing("\(conv).3", of: map, squeezeExcite)
      map = convolutionNorm(conv, 4, of: map, to: channels)
    } else {
      map = convolutionNorm(conv, 0, of: map, to: hidden)
      map = self.activation("\(conv).2", activation, of: map)
      map = convolutionNorm(conv, 3, of: map, to: hidden, kernel: kernel, stride: stride, groups: hidden)
      map = squeezeExciteOrNothing("\(conv).5", of: map, squeezeExcite)
      map = self.activation("\(conv).6", activation, of: map)
      map = convolutionNorm(conv, 7, of: map, to: channels)
    }
    return stride == 1 && self.channels(input) == channels ? add("\(path).add", of: [input, map]) : map
  }

  /// One factor in [0, 1] per channel, from the channels' means through a bottleneck of a quarter (Hu et al. 2018).
  private mutating func squeezeExciteOrNothing(_ path: String, of input: Int, _ wanted: Bool) -> Int {
    guard wanted else {
      module(path, "Sequential")
      return input
    }
    module(path, "SELayer")
    let means = globalAveragePool("\(path).avg_pool", of: input)
    module("\(path).fc", "Sequential")
    let squeezed = linear("\(path).fc.0", of: means, to: channels(input) / 4)
    let hidden = activation("\(path).fc.1", .relu, of: squeezed)
    let excited = linear("\(path).fc.2", of: hidden, to: channels(input))
    return scale("\(path).scale", input, by: activation("\(path).fc.3", .hardSigmoid, of: excited))
  }

  // MARK: - ShuffleNet

  /// Grouped 1×1 convolution to a quarter of the channels, shuffle, 3×3 depthwise and grouped 1×1 convolution (Zhang et
  /// al. 2018, figure 2 b and c). At stride 1 the input is added; at stride 2 its 3×3 average pool is concatenated, so
  /// that the branch makes only the channels which are new.
  mutating func shuffleUnit(
    _ path: String, of input: Int, to channels: Int, stride: Int, groups: Int, entryGroups: Int
  ) -> Int {
    module(path, "ShuffleUnit")
    let branch = "\(path).branch"
    module(branch, "Sequential")
    let (inputChannels, hidden) = (self.channels(input), channels / 4)
    var map = convolutionNorm(branch, 0, of: input, to: hidden, groups: entryGroups)
    map = shuffle("\(branch).shuffle", of: activation("\(branch).2", .relu, of: map), groups: groups)
    map = convolutionNorm(branch, 3, of: map, to: hidden, kernel: 3, stride: stride, groups: hidden)
    let own = stride == 1 ? channels : channels - inputChannels
    map = convolutionNorm(branch, 5, of: map, to: own, groups: groups)
    if stride == 1 {
      map = add("\(path).add", of: [input, map])
    } else {
      let pooled = averagePool("\(path).pool", of: input, kernel: 3, stride: stride)
      map = concat("\(path).concat", of: [pooled, map])
    }
    return activation("\(path).relu", .relu, of: map)
  }

  // MARK: - ShuffleNetV2

  /// The stem: 3×3 convolution of stride 2, batch norm, ReLU, 3×3 max pool of stride 2.
  mutating func maxPoolStem(_ path: String, of input: Int, to channels: Int) -> Int {
    module(path, "conv_bn_relu_maxpool")
    module("\(path).conv", "Sequential")
    let map = convolutionNorm("\(path).conv", 0, of: input, to: channels, kernel: 3, stride: 2)
    let activated = activation("\(path).conv.2", .relu, of: map)
    module("\(path).maxpool", "MaxPool2d")
    return maxPool("\(path).maxpool", of: activated, kernel: 3, stride: 2)
  }

  /// Two branches, concatenated and shuffled (Ma et al. 2018, figure 3 c and d): at stride 1 half of the channels pass
  /// untouched, at stride 2 both branches see all of them.
  mutating func shuffleBlock(_ path: String, of input: Int, to channels: Int, stride: Int) -> Int {
    module(path, "Shuffle_Block")
    let half = channels / 2
    let left: Int
    var right = input
    if stride == 1 {
      left = slice("\(path).chunk.0", of: input, start: 0, count: half)
      right = slice("\(path).chunk.1", of: input, start: half, count: half)
    } else {
      let branch = "\(path).branch1"
      module(branch, "Sequential")
      let inputChannels = self.channels(input)
      let map = convolutionNorm(
        branch, 0, of: input, to: inputChannels, kernel: 3, stride: stride, groups: inputChannels)
      left = activation("\(branch).4", .relu, of: convolutionNorm(branch, 2, of: map, to: half))
    }
    let branch = "\(path).branch2"
    module(branch, "Sequential")
    right = activation("\(branch).2", .relu, of: convolutionNorm(branch, 0, of: right, to: half))
    right = convolutionNorm(branch, 3, of: right, to: half, kernel: 3, stride: stride, groups: half)
    right = activation("\(branch).7", .relu, of: convolutionNorm(branch, 5, of: right, to: half))
    return shuffle("\(path).shuffle", of: concat("\(path).concat", of: [left, right]), groups: 2)
  }
}
