extension LayerTable {
  /// ShuffleNet 1× (Zhang et al. 2018, table 1) under YOLOv5s' PANet head. Of the table's group counts it has 3, which
  /// the paper compares with other networks. The first unit's first convolution, which reads few channels, is not
  /// grouped (section 3.2).
  static let shuffleNetV1 = LayerTable(
    name: "shufflenetv1",
    backbone: [
      layer(.maxPoolStem(24, multiple: 24)),  // 0  P2/4
      layer(.shuffleUnit(240, stride: 2, groups: 3, entryGroups: 1)),  // 1  P3/8
      layer(.shuffleUnit(240, stride: 1, groups: 3), repeats: 3),
      layer(.shuffleUnit(480, stride: 2, groups: 3)),  // 3  P4/16
      layer(.shuffleUnit(480, stride: 1, groups: 3), repeats: 7),
      layer(.shuffleUnit(960, stride: 2, groups: 3)),  // 5  P5/32
      layer(.shuffleUnit(960, stride: 1, groups: 3), repeats: 3),
    ], p3: 2, p4: 4, head: PANHead(p3: 128))
}
