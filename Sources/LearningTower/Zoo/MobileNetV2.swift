extension LayerTable {
  /// MobileNetV2 (Sandler et al. 2018, table 2) under a narrow PANet head, as in the study (`MobileNetv2.yaml`).
  static let mobileNetV2 = LayerTable(
    name: "mobilenetv2",
    rows: [
      layer(.conv(32, kernel: 3, stride: 2)),  // 0  P1/2
      layer(.invertedResidual(16, stride: 1, expansion: 1)),
      layer(.invertedResidual(24, stride: 2, expansion: 6)),  // 2  P2/4
      layer(.invertedResidual(24, stride: 1, expansion: 6)),
      layer(.invertedResidual(32, stride: 2, expansion: 6)),  // 4  P3/8
      layer(.invertedResidual(32, stride: 1, expansion: 6)),
      layer(.invertedResidual(32, stride: 1, expansion: 6)),
      layer(.invertedResidual(64, stride: 2, expansion: 6)),  // 7  P4/16
      layer(.invertedResidual(64, stride: 1, expansion: 6)),
      layer(.invertedResidual(64, stride: 1, expansion: 6)),
      layer(.invertedResidual(64, stride: 1, expansion: 6)),
      layer(.invertedResidual(96, stride: 1, expansion: 6)),
      layer(.invertedResidual(96, stride: 1, expansion: 6)),
      layer(.invertedResidual(96, stride: 1, expansion: 6)),
      layer(.invertedResidual(160, stride: 2, expansion: 6)),  // 14 P5/32
      layer(.invertedResidual(160, stride: 1, expansion: 6)),
      layer(.invertedResidual(160, stride: 1, expansion: 6)),
      layer(.invertedResidual(320, stride: 1, expansion: 6)),  // 17

      layer(.conv(160)),
      layer(.upsample()),
      layer(.concat, from: [-1, 13]),  // backbone P4
      layer(.c3(160, shortcut: false)),  // 21

      layer(.conv(80)),
      layer(.upsample()),
      layer(.concat, from: [-1, 6]),  // backbone P3
      layer(.c3(80, shortcut: false)),  // 25 P3/8

      layer(.conv(80, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 22]),  // head P4
      layer(.c3(160, shortcut: false)),  // 28 P4/16

      layer(.conv(160, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 18]),  // head P5
      layer(.c3(320, shortcut: false)),  // 31 P5/32
    ], detect: [25, 28, 31])
}
