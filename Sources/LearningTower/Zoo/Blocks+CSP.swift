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

  /// 1×1 and 3×3 convolution, added to the input where a shortcut is wanted and the channels agree.
  mutating func bottleneck(_ path: String, of input: Int, to channels: Int, shortcut: Bool) -> Int {
    module(path, "Bottleneck")
    let hidden = conv("\(path).cv1", of: input, to: channels)
    let map = conv("\(path).cv2", of: hidden, to: channels, kernel: 3)
    return shortcut && self.channels(input) == channels ? add("\(path).add", of: [input, map]) : map
  }

  /// A cross-stage partial block of three convolutions: `cv3(concat(m(cv1(x)), cv2(x)))`.
  mutating func c3(_ path: String, of input: Int, to channels: Int, repeats: Int, shortcut: Bool) -> Int {
    crossStage(path, "C3", of: input, to: channels) { builder, map in
      (0..<repeats).reduce(map) {
        builder.bottleneck("\(path).m.\($1)", of: $0, to: channels / 2, shortcut: shortcut)
      }
    }
  }

  /// C3 with ghost bottlenecks.
  mutating func c3Ghost(_ path: String, of input: Int, to channels: Int, repeats: Int) -> Int {
    crossStage(path, "C3Ghost", of: input, to: channels) { builder, map in
      (0..<repeats).reduce(map) { builder.ghostBottleneck("\(path).m.\($1)", of: $0, to: channels / 2) }
    }
  }

  private mutating func crossStage(
    _ path: String, _ type: String, of input: Int, to channels: Int, _ inner: (inout NetworkBuilder, Int) -> Int
  ) -> Int {
    module(path, type, children: ["cv1", "cv2", "cv3", "m"])
    let entry = conv("\(path).cv1", of: input, to: channels / 2)
    module("\(path).m", "Sequential")
    let path1 = inner(&self, entry)
    let path2 = conv("\(path).cv2", of: input, to: channels / 2)
    return conv("\(path).cv3", of: concat("\(path).concat", of: [path1, path2]), to: channels)
  }

  /// Spatial pyramid pooling: three 5×5 max pools in a row, all four maps concatenated.
  mutating func sppf(_ path: String, of input: Int, to channels: Int) -> Int {
    module(path, "SPPF", children: ["cv1", "cv2", "m"])
    module("\(path).m", "MaxPool2d")
    var maps = [conv("\(path).cv1", of: input, to: self.channels(input) / 2)]
    for run in 0..<3 { maps.append(maxPool("\(path).m.\(run)", of: maps[run], kernel: 5)) }
    return conv("\(path).cv2", of: concat("\(path).concat", of: maps), to: channels)
  }

  /// Half of the channels by a convolution, half by a 5×5 depthwise one on these (Han et al. 2020, figure 1b).
  mutating func ghostConv(
    _ path: String, of input: Int, to channels: Int, kernel: Int = 1, stride: Int = 1, activation: Activation? = .silu
  ) -> Int {
    module(path, "GhostConv")
    let half = channels / 2
    let own = conv("\(path).cv1", of: input, to: half, kernel: kernel, stride: stride, activation: activation)
    let ghost = conv("\(path).cv2", of: own, to: half, kernel: 5, groups: half, activation: activation)
    return concat("\(path).concat", of: [own, ghost])
  }

  /// Two ghost convolutions, the second linear, added to the input (Han et al. 2020, figure 3, stride 1).
  mutating func ghostBottleneck(_ path: String, of input: Int, to channels: Int) -> Int {
    module(path, "GhostBottleneck")
    module("\(path).conv", "Sequential")
    let hidden = ghostConv("\(path).conv.0", of: input, to: channels / 2)
    module("\(path).conv.1", "Identity")
    let map = ghostConv("\(path).conv.2", of: hidden, to: channels, activation: nil)
    module("\(path).shortcut", "Identity")
    return add("\(path).add", of: [map, input])
  }
}
