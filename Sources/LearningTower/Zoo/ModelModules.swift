import Network
import YAML

/// The modules that a model file may name, with the order of their arguments.
struct ModelModule: Sendable {
  var name: String
  var argumentLimit: Int
  var block: @Sendable (ModuleArguments) throws(YAMLError) -> Block

  init(_ name: String, _ argumentLimit: Int, _ block: @escaping @Sendable (ModuleArguments) throws(YAMLError) -> Block)
  {
    self.name = name
    self.argumentLimit = argumentLimit
    self.block = block
  }
}

/// Arguments that follow the output channels stand in the order of the modules' initialisers in YOLOv5 (v6.0 and, where
/// it has one more, v7.0) and in the study.
let modelModules: [ModelModule] = [
  ModelModule("Conv", 7) { a throws(YAMLError) in
    .conv(
      try a.channels(), kernel: try a.kernel(1, default: 1), stride: try a.stride(2, default: 1),
      padding: try a.padding(3), groups: try a.groups(4), activation: try a.activation(5))
  },
  ModelModule("DWConv", 5) { a throws(YAMLError) in
    .depthwiseConv(
      try a.channels(), kernel: try a.kernel(1, default: 1), stride: try a.stride(2, default: 1),
      activation: try a.activation(3))
  },
  ModelModule("Bottleneck", 4) { a throws(YAMLError) in
    .bottleneck(
      try a.channels(), shortcut: try a.flag(1, "shortcut", default: true), groups: try a.groups(2),
      expansion: try a.expansion(3))
  },
  ModelModule("BottleneckCSP", 4) { a throws(YAMLError) in
    .bottleneckCSP(
      try a.channels(), shortcut: try a.flag(1, "shortcut", default: true), groups: try a.groups(2),
      expansion: try a.expansion(3))
  },
  ModelModule("C3", 4) { a throws(YAMLError) in
    .c3(
      try a.channels(), shortcut: try a.flag(1, "shortcut", default: true), groups: try a.groups(2),
      expansion: try a.expansion(3))
  },
  // Ghost bottlenecks have neither a choice of shortcut nor groups: YOLOv5 takes both and passes them on to nobody.
  ModelModule("C3Ghost", 4) { a throws(YAMLError) in
    _ = (try a.flag(1, "shortcut", default: true), try a.groups(2))
    return .c3Ghost(try a.channels(), expansion: try a.expansion(3))
  },
  ModelModule("GhostConv", 6) { a throws(YAMLError) in
    .ghostConv(
      try a.channels(), kernel: try a.kernel(1, default: 1), stride: try a.stride(2, default: 1),
      groups: try a.groups(3), activation: try a.activation(4))
  },
  ModelModule("GhostBottleneck", 3) { a throws(YAMLError) in
    .ghostBottleneck(
      try a.channels(), kernel: try a.kernel(1, default: 3), stride: try a.stride(2, default: 1, in: 1...2))
  },
  ModelModule("SPP", 2) { a throws(YAMLError) in
    .spp(try a.channels(), kernels: try a.kernels(1, default: [5, 9, 13]))
  },
  ModelModule("SPPF", 2) { a throws(YAMLError) in .sppf(try a.channels(), kernel: try a.kernel(1, default: 5)) },
  ModelModule("Concat", 1) { a throws(YAMLError) in
    _ = try a.int(0, "the dimension", default: 1, in: 1...1)
    return .concat
  },
  ModelModule("nn.Upsample", 3) { a throws(YAMLError) in
    guard try a.word(2, default: "nearest") == "nearest" else {
      throw a.node.error("nn.Upsample: only [None, 2, 'nearest'] and other whole factors are supported")
    }
    return .upsample(factor: try a.int(1, "the factor", in: 1...8))
  },
  ModelModule("nn.MaxPool2d", 3) { a throws(YAMLError) in
    let kernel = try a.kernel(0)
    return .maxPool(
      kernel: kernel, stride: try a.stride(1, default: min(kernel, 8)), padding: try a.padding(2) ?? 0)
  },
  ModelModule("nn.BatchNorm2d", 0) { _ throws(YAMLError) in .batchNorm },
  ModelModule("InvertedResidual", 3) { a throws(YAMLError) in
    .invertedResidual(
      try a.channels(), stride: try a.stride(1, in: 1...2), expansion: try a.int(2, "the expansion", in: 1...16))
  },
  ModelModule("conv_bn_hswish", 2) { a throws(YAMLError) in
    .hardSwishConv(try a.channels(), stride: try a.stride(1))
  },
  ModelModule("MobileNetV3", 6) { a throws(YAMLError) in
    .mobileNetV3(
      try a.channels(), hidden: try a.int(1, "hidden channels", in: 4...65_536), kernel: try a.kernel(2),
      stride: try a.stride(3, in: 1...2), squeezeExcite: try a.flag(4, "squeeze-excite"),
      activation: try a.flag(5, "hard swish") ? .hardSwish : .relu)
  },
  ModelModule("conv_bn_relu_maxpool", 1) { a throws(YAMLError) in .maxPoolStem(try a.channels()) },
  ModelModule("Shuffle_Block", 2) { a throws(YAMLError) in
    .shuffleBlock(try a.channels(), stride: try a.stride(1, in: 1...2))
  },
  // Ours: MobileNet's and ShuffleNet's first versions.
  ModelModule("DepthwiseSeparable", 2) { a throws(YAMLError) in
    .depthwiseSeparable(try a.channels(), stride: try a.stride(1, in: 1...2))
  },
  ModelModule("ShuffleUnit", 4) { a throws(YAMLError) in
    let groups = try a.int(2, "the groups", in: 1...64)
    return .shuffleUnit(
      try a.channels(), stride: try a.stride(1, in: 1...2), groups: groups,
      entryGroups: try a.int(3, "the first convolution's groups", default: groups, in: 1...64))
  },
]
