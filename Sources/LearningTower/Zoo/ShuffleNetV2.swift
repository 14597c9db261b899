extension LayerTable {
  /// ShuffleNetV2 (Ma et al. 2018, table 5, with the study's widths) under a PANet head (`ShuffleNet.yaml`).
  static let shuffleNetV2 = LayerTable(
    name: "shufflenetv2",
    backbone: [
      layer(.maxPoolStem(32)),  // 0  P2/4
      layer(.shuffleBlock(128, stride: 2)),  // 1  P3/8
      layer(.shuffleBlock(128, stride: 1), repeats: 3),
      layer(.shuffleBlock(256, stride: 2)),  // 3  P4/16
      layer(.shuffleBlock(256, stride: 1), repeats: 7),
      layer(.shuffleBlock(512, stride: 2)),  // 5  P5/32
      layer(.shuffleBlock(512, stride: 1), repeats: 3),
    ], p3: 2, p4: 4, head: PANHead(p3: 128))
}
