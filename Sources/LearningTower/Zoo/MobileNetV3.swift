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
    rows: [
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

      layer(.conv(96)),
      layer(.upsample()),
      layer(.concat, from: [-1, 8]),  // backbone P4
      layer(.c3(144, shortcut: false), repeats: 3),  // 15

      layer(.conv(144)),
      layer(.upsample()),
      layer(.concat, from: [-1, 3]),  // backbone P3
      layer(.c3(168, shortcut: false), repeats: 3),  // 19 P3/8

      layer(.conv(168, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 16]),  // head P4
      layer(.c3(312, shortcut: false), repeats: 3),  // 22 P4/16

      layer(.conv(312, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 12]),  // head P5
      layer(.c3(408, shortcut: false), repeats: 3),  // 25 P5/32
    ], detect: [19, 22, 25])

  /// MobileNetV3-Large (Howard et al. 2019, table 1) under a PANet head, as in the study (`MobileNetv3_large.yaml`).
  static let mobileNetV3Large = LayerTable(
    name: "mobilenetv3-large",
    rows: [
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

      layer(.conv(256)),
      layer(.upsample()),
      layer(.concat, from: [-1, 13]),  // backbone P4
      layer(.c3(256, shortcut: false)),  // 19

      layer(.conv(128)),
      layer(.upsample()),
      layer(.concat, from: [-1, 6]),  // backbone P3
      layer(.c3(128, shortcut: false)),  // 23 P3/8

      layer(.conv(128, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 20]),  // head P4
      layer(.c3(256, shortcut: false)),  // 26 P4/16

      layer(.conv(256, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 16]),  // head P5
      layer(.c3(512, shortcut: false)),  // 29 P5/32
    ], detect: [23, 26, 29])
}
