extension LayerTable {
  /// ShuffleNet 1× (Zhang et al. 2018, table 1) under YOLOv5s' PANet head. Of the table's group counts it has 3, which
  /// the paper compares with other networks. The first unit's first convolution, which reads few channels, is not
  /// grouped (section 3.2).
  static let shuffleNetV1 = LayerTable(
    name: "shufflenetv1",
    rows: [
      layer(.maxPoolStem(24, multiple: 24)),  // 0  P2/4
      layer(.shuffleUnit(240, stride: 2, groups: 3, entryGroups: 1)),  // 1  P3/8
      layer(.shuffleUnit(240, stride: 1, groups: 3), repeats: 3),
      layer(.shuffleUnit(480, stride: 2, groups: 3)),  // 3  P4/16
      layer(.shuffleUnit(480, stride: 1, groups: 3), repeats: 7),
      layer(.shuffleUnit(960, stride: 2, groups: 3)),  // 5  P5/32
      layer(.shuffleUnit(960, stride: 1, groups: 3), repeats: 3),

      layer(.conv(256)),
      layer(.upsample()),
      layer(.concat, from: [-1, 4]),  // backbone P4
      layer(.c3(256, shortcut: false)),  // 10

      layer(.conv(128)),
      layer(.upsample()),
      layer(.concat, from: [-1, 2]),  // backbone P3
      layer(.c3(128, shortcut: false)),  // 14 P3/8

      layer(.conv(128, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 11]),  // head P4
      layer(.c3(256, shortcut: false)),  // 17 P4/16

      layer(.conv(256, kernel: 3, stride: 2)),
      layer(.concat, from: [-1, 7]),  // head P5
      layer(.c3(512, shortcut: false)),  // 20 P5/32
    ], detect: [14, 17, 20])
}
