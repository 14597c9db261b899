import Network

// The blocks of YOLOv5 itself (`models/common.py`, v6.0).
extension NetworkBuilder {
  /// Convolution, batch norm, activation (none: `nil`).
  mutating func conv(
    _ path: String, of input: Int, to channels: Int, kernel: Int = 1, stride: Int = 1, padding: Int? = nil,
    groups: Int = 1, activation: Activation? = .silu, type: String = "Conv"
  ) -> Int {
    module(path, type)
    let map = convolution(
      "\(path).conv", of: input, to: channels, kernel: kernel, stride: stride, padding: padding, groups: groups)
    return self.activation("\(path).act", activation, of: batchNorm("\(path).bn", of: map))
  }

  /// A convolution in as many groups as its channels allow.
  mutating func depthwiseConv(
    _ path: String, of input: Int, to channels: Int, kernel: Int, stride: Int, activation: Activation? = .silu
  ) -> Int {
    conv(
      path, of: input, to: channels, kernel: kernel, stride: stride,
      groups: greatestCommonDivisor(self.channels(input), channels), activation: activation, type: "DWConv")
  }

  /// 1×1 and 3×3 convolution, added to the input where a shortcut is wanted and the channels agree.
  mutating func bottleneck(
    _ path: String, of input: Int, to channels: Int, hidden: Int, shortcut: Bool, groups: Int = 1
  ) -> Int {
    module(path, "Bottleneck")
    let inner = conv("\(path).cv1", of: input, to: hidden)
    let map = conv("\(path).cv2", of: inner, to: channels, kernel: 3, groups: groups)
    return shortcut && self.channels(input) == channels ? add("\(path).add", of: [input, map]) : map
  }

  /// A cross-stage partial block of three convolutions: `cv3(concat(m(cv1(x)), cv2(x)))`.
  mutating func c3(
    _ path: String, of input: Int, to channels: Int, repeats: Int, shortcut: Bool, groups: Int = 1,
    expansion: Double = 0.5
  ) -> Int {
    crossStage(path, "C3", of: input, to: channels, expansion) { builder, map, hidden in
      (0..<repeats).reduce(map) {
        builder.bottleneck(
          "\(path).m.\($1)", of: $0, to: hidden, hidden: hidden, shortcut: shortcut, groups: groups)
      }
    }
  }

  /// C3 with ghost bottlenecks.
  mutating func c3Ghost(
    _ path: String, of input: Int, to channels: Int, repeats: Int, expansion: Double = 0.5
  ) -> Int {
    crossStage(path, "C3Ghost", of: input, to: channels, expansion) { builder, map, hidden in
      (0..<repeats).reduce(map) { builder.ghostBottleneck("\(path).m.\($1)", of: $0, to: hidden) }
    }
  }

  private mutating func crossStage(
    _ path: String, _ type: String, of input: Int, to channels: Int, _ expansion: Double,
    _ inner: (inout NetworkBuilder, _ map: Int, _ hidden: Int) -> Int
  ) -> Int {
    let hidden = Int(Double(channels) * expansion)
    module(path, type, children: ["cv1", "cv2", "cv3", "m"])
    let entry = conv("\(path).cv1", of: input, to: hidden)
    module("\(path).m", "Sequential")
    let path1 = inner(&self, entry, hidden)
    let path2 = conv("\(path).cv2", of: input, to: hidden)
    return conv("\(path).cv3", of: concat("\(path).concat", of: [path1, path2]), to: channels)
  }

  /// The cross-stage partial block of earlier versions: both paths end in a bare convolution and are normalised
  /// together.
  mutating func bottleneckCSP(
    _ path: String, of input: Int, to channels: Int, repeats: Int, shortcut: Bool, groups: Int, expansion: Double
  ) -> Int {
    module(path, "BottleneckCSP", children: ["cv1", "cv2", "cv3", "cv4", "bn", "act", "m"])
    let hidden = Int(Double(channels) * expansion)
    let entry = conv("\(path).cv1", of: input, to: hidden)
    module("\(path).m", "Sequential")
    let inner = (0..<repeats).reduce(entry) {
      bottleneck("\(path).m.\($1)", of: $0, to: hidden, hidden: hidden, shortcut: shortcut, groups: groups)
    }
    let path1 = convolution("\(path).cv3", of: inner, to: hidden)
    let path2 = convolution("\(path).cv2", of: input, to: hidden)
    let joined = batchNorm("\(path).bn", of: concat("\(path).concat", of: [path1, path2]))
    return conv("\(path).cv4", of: activation("\(path).act", .silu, of: joined), to: channels)
  }

  /// Spatial pyramid pooling: max pools of several sizes and the map itself, concatenated.
  mutating func spp(_ path: String, of input: Int, to channels: Int, kernels: [Int]) -> Int {
    module(path, "SPP", children: ["cv1", "cv2", "m"])
    module("\(path).m", "ModuleList")
    let map = conv("\(path).cv1", of: input, to: self.channels(input) / 2)
    let pools = kernels.enumerated().map { index, kernel in
      module("\(path).m.\(index)", "MaxPool2d")
      return maxPool("\(path).m.\(index)", of: map, kernel: kernel)
    }
    return conv("\(path).cv2", of: concat("\(path).concat", of: [map] + pools), to: channels)
  }

  /// The same faster: three max pools in a row, all four maps concatenated.
  mutating func sppf(_ path: String, of input: Int, to channels: Int, kernel: Int = 5) -> Int {
    module(path, "SPPF", children: ["cv1", "cv2", "m"])
    module("\(path).m", "MaxPool2d")
    var maps = [conv("\(path).cv1", of: input, to: self.channels(input) / 2)]
    for run in 0..<3 { maps.append(maxPool("\(path).m.\(run)", of: maps[run], kernel: kernel)) }
    return conv("\(path).cv2", of: concat("\(path).concat", of: maps), to: channels)
  }

  /// Half of the channels by a convolution, half by a 5×5 depthwise one on these (Han et al. 2020, figure 1b).
  mutating func ghostConv(
    _ path: String, of input: Int, to channels: Int, kernel: Int = 1, stride: Int = 1, groups: Int = 1,
    activation: Activation? = .silu
  ) -> Int {
    module(path, "GhostConv")
    let half = channels / 2
    let own = conv(
      "\(path).cv1", of: input, to: half, kernel: kernel, stride: stride, groups: groups, activation: activation)
    let ghost = conv("\(path).cv2", of: own, to: half, kernel: 5, groups: half, activation: activation)
    return concat("\(path).concat", of: [own, ghost])
  }

  /// Two ghost convolutions, the second linear, added to the input; at stride 2 with a depthwise convolution between
  /// them and another in the shortcut (Han et al. 2020, figure 3).
  mutating func ghostBottleneck(
    _ path: String, of input: Int, to channels: Int, kernel: Int = 3, stride: Int = 1
  ) -> Int {
    module(path, "GhostBottleneck")
    module("\(path).conv", "Sequential")
    var map = ghostConv("\(path).conv.0", of: input, to: channels / 2)
    if stride == 1 {
      module("\(path).conv.1", "Identity")
    } else {
      map = depthwiseConv(
        "\(path).conv.1", of: map, to: self.channels(map), kernel: kernel, stride: stride, activation: nil)
    }
    map = ghostConv("\(path).conv.2", of: map, to: channels, activation: nil)
    var shortcut = input
    if stride == 1 {
      module("\(path).shortcut", "Identity")
    } else {
      module("\(path).shortcut", "Sequential")
      shortcut = depthwiseConv(
        "\(path).shortcut.0", of: input, to: self.channels(input), kernel: kernel, stride: stride, activation: nil)
      shortcut = conv("\(path).shortcut.1", of: shortcut, to: channels, activation: nil)
    }
    return add("\(path).add", of: [map, shortcut])
  }
}

/// Euclid's; of positive numbers.
private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }
