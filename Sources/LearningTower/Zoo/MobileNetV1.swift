import Network

extension LayerTable {
  /// MobileNet (Howard et al. 2017, table 1) under YOLOv5s' PANet head. The table's last stride of 2 is a misprint: its
  /// input and output are both 7 × 7.
  static let mobileNetV1 = LayerTable(
    name: "mobilenetv1",
    backbone: [
      layer(.conv(32, kernel: 3, stride: 2, activation: .relu)),  // 0  P1/2
      layer(.depthwiseSeparable(64, stride: 1)),
      layer(.depthwiseSeparable(128, stride: 2)),  // 2  P2/4
      layer(.depthwiseSeparable(128, stride: 1)),
      layer(.depthwiseSeparable(256, stride: 2)),  // 4  P3/8
      layer(.depthwiseSeparable(256, stride: 1)),
      layer(.depthwiseSeparable(512, stride: 2)),  // 6  P4/16
      layer(.depthwiseSeparable(512, stride: 1), repeats: 5),
      layer(.depthwiseSeparable(1024, stride: 2)),  // 8  P5/32
      layer(.depthwiseSeparable(1024, stride: 1)),
    ], p3: 5, p4: 7, head: PANHead(p3: 128))
}
