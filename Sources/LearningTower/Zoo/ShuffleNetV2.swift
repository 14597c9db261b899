extension LayerTable {
  /// ShuffleNetV2 (Ma et al. 2018, table 5, with the study's widths) under a PANet head (`ShuffleNet.yaml`).
  static let shuffleNetV2 = LayerTable(
    name: "shufflenetv2",
    rows: [
      layer(.maxPoolStem(32)),  // 0  P2/4
      layer(.shuffleBlock(128, stride: 2)),  // 1  P3/8
      layer(.shuffleBlock(128, stride: 1), repeats: 3),
      layer(.shuffleBlock(256, stride: 2)),  // 3  P4/16
      layer(.shuffleBlock(256, stride: 1), repeats: 7),
      layer(.shuffleBlock(512, stride: 2)),  // 5  P5/32
      layer(.shuffleBlock(512, stride: 1), repeats: 3),

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
