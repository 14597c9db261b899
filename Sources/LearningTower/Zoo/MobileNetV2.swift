extension LayerTable {
  /// MobileNetV2 (Sandler et al. 2018, table 2) under a narrow PANet head, as in the study (`MobileNetv2.yaml`).
  static let mobileNetV2 = LayerTable(
    name: "mobilenetv2",
    backbone: [
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
    ], p3: 6, p4: 13, head: PANHead(p3: 80))
}
