import Network

/// A row of the paper's tables: output channels, hidden channels, kernel, stride, squeeze-excite, activation.
private func bneck(
  _ channels: Int, _ hidden: Int, _ kernel: Int, stride: Int = 1, squeezeExcite: Bool = false, _ activation: Activation
) -> LayerTable.Row {
  layer(
    .mobileNetV3(
      channels, hidden: hidden, kernel: kernel, stride: stride, squeezeExcite: squeezeExcite, activation: activation))
}

extension LayerTable {
  /// MobileNetV3-Small (Howard et al. 2019, table 2) under a wide PANet head, as in the study
  /// (`MobileNetv3_small.yaml`).
  static let mobileNetV3Small = LayerTable(
    name: "mobilenetv3-small",
    backbone: [
      layer(.hardSwishConv(16, stride: 2)),  // 0  P1/2
      bneck(16, 16, 3, stride: 2, squeezeExcite: true, .relu),  // 1  P2/4
      bneck(24, 72, 3, stride: 2, .relu),  // 2  P3/8
      bneck(24, 88, 3, .relu),
      bneck(40, 96, 5, stride: 2, squeezeExcite: true, .hardSwish),  // 4  P4/16
      bneck(40, 240, 5, squeezeExcite: true, .hardSwish),
      bneck(40, 240, 5, squeezeExcite: true, .hardSwish),
      bneck(48, 120, 5, squeezeExcite: true, .hardSwish),
      bneck(48, 144, 5, squeezeExcite: true, .hardSwish),
      bneck(96, 288, 5, stride: 2, squeezeExcite: true, .hardSwish),  // 9  P5/32
      bneck(96, 576, 5, squeezeExcite: true, .hardSwish),
      bneck(96, 576, 5, squeezeExcite: true, .hardSwish),  // 11
    ], p3: 3, p4: 8, head: PANHead(lateral5: 96, lateral4: 144, down4: 144, p3: 168, p4: 312, p5: 408, repeats: 3))

  /// MobileNetV3-Large (Howard et al. 2019, table 1) under a PANet head, as in the study (`MobileNetv3_large.yaml`).
  static let mobileNetV3Large = LayerTable(
    name: "mobilenetv3-large",
    backbone: [
      layer(.hardSwishConv(16, stride: 2)),  // 0  P1/2
      bneck(16, 16, 3, .relu),
      bneck(24, 64, 3, stride: 2, .relu),  // 2  P2/4
      bneck(24, 72, 3, .relu),
      bneck(40, 72, 5, stride: 2, squeezeExcite: true, .relu),  // 4  P3/8
      bneck(40, 120, 5, squeezeExcite: true, .relu),
      bneck(40, 120, 5, squeezeExcite: true, .relu),
      bneck(80, 240, 3, stride: 2, .hardSwish),  // 7  P4/16
      bneck(80, 200, 3, .hardSwish),
      bneck(80, 184, 3, .hardSwish),
      bneck(80, 184, 3, .hardSwish),
      bneck(112, 480, 3, squeezeExcite: true, .hardSwish),
      bneck(112, 672, 3, squeezeExcite: true, .hardSwish),
      bneck(160, 672, 5, squeezeExcite: true, .hardSwish),
      bneck(160, 960, 5, stride: 2, squeezeExcite: true, .hardSwish),  // 14 P5/32
      bneck(160, 960, 5, squeezeExcite: true, .hardSwish),
    ], p3: 6, p4: 13, head: PANHead(p3: 128))
}
