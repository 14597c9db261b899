/// YOLOv5's head: from P5 down to P3 and up again (path aggregation, Liu et al. 2018). Channels are counted before the
/// width multiple.
struct PANHead {
  /// 1 × 1 convolutions before the map is enlarged.
  var lateral5: Int
  var lateral4: Int
  /// The channels of the joined maps, on the way down and on the way up. The detection layer reads those of P3, P4 and
  /// P5 on the way up; P3 is both.
  var down4: Int
  var p3: Int
  var p4: Int
  var p5: Int
  var repeats = 1
  /// Whether the convolutions are ghost convolutions, those from P3 up included.
  var isGhost = false
}

extension PANHead {
  /// Doubling from level to level, as most families have it.
  init(p3: Int, repeats: Int = 1, isGhost: Bool = false) {
    self.init(
      lateral5: 2 * p3, lateral4: p3, down4: 2 * p3, p3: p3, p4: 2 * p3, p5: 4 * p3, repeats: repeats, isGhost: isGhost)
  }

  fileprivate func rows(p3 backboneP3: Int, p4 backboneP4: Int, below start: Int) -> [LayerTable.Row] {
    func conv(_ channels: Int, kernel: Int = 1, stride: Int = 1) -> LayerTable.Row {
      layer(
        isGhost
          ? .ghostConv(channels, kernel: kernel, stride: stride) : .conv(channels, kernel: kernel, stride: stride))
    }
    func merge(_ channels: Int) -> LayerTable.Row {
      layer(isGhost ? .c3Ghost(channels) : .c3(channels, shortcut: false), repeats: repeats)
    }
    let (laterally5, laterally4) = (start, start + 4)
    return [
      conv(lateral5), layer(.upsample()), layer(.concat, from: [-1, backboneP4]), merge(down4),
      conv(lateral4), layer(.upsample()), layer(.concat, from: [-1, backboneP3]), merge(p3),
      conv(p3, kernel: 3, stride: 2), layer(.concat, from: [-1, laterally4]), merge(p4),
      conv(p4, kernel: 3, stride: 2), layer(.concat, from: [-1, laterally5]), merge(p5),
    ]
  }
}

extension LayerTable {
  /// A backbone, whose last row is P5, under the head.
  /// - Parameters:
  ///   - p3: the backbone's row at stride 8.
  ///   - p4: the backbone's row at stride 16.
  init(
    name: String, depthMultiple: Double = 1, widthMultiple: Double = 1, backbone: [Row], p3: Int, p4: Int, head: PANHead
  ) {
    let start = backbone.count
    self.init(
      name: name, depthMultiple: depthMultiple, widthMultiple: widthMultiple,
      rows: backbone + head.rows(p3: p3, p4: p4, below: start), detect: [start + 7, start + 10, start + 13])
  }
}
