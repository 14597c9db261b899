import Network

extension LayerTable {
  /// MobileNet (Howard et al. 2017, table 1) under YOLOv5s' PANet head. The table's last stride of 2 is a misprint: its
  /// input and output are both 7 × 7.
  static let mobileNetV1 = LayerTable(
    name: "mobilenetv1",
    rows: [
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

      layer(.conv(256)),
      layer(.upsample()),
      layer(.concat, from: [-1, 7]),  // backbone P4
      layer(.c3(256, shortcut: false)),  // 13

      layer(.conv(128)),
      layer(.upsample()),
      layer(.concat, from: [-1, 5]),  // backbone P3
      layer(.c3(128, shortcut: false)),  // 17 P3/8

      layer(.conv(128, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 14]),  // head P4
      layer(.c3(256, shortcut: false)),  // 20 P4/16

      layer(.conv(256, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 10]),  // head P5
      layer(.c3(512, shortcut: false)),  // 23 P5/32
    ], detect: [17, 20, 23])
}
