extension LayerTable {
  /// YOLOv5s with ghost convolutions and ghost C3 blocks (`models/hub/yolov5s-ghost.yaml`), the study's GhostNet.
  static let ghostNet = LayerTable(
    name: "ghostnet", depthMultiple: 0.33, widthMultiple: 0.50,
    backbone: [
      layer(.conv(64, kernel: 6, stride: 2, padding: 2)),  // 0  P1/2
      layer(.ghostConv(128, kernel: 3, stride: 2)),  // 1  P2/4
      layer(.c3Ghost(128), repeats: 3),
      layer(.ghostConv(256, kernel: 3, stride: 2)),  // 3  P3/8
      layer(.c3Ghost(256), repeats: 6),
      layer(.ghostConv(512, kernel: 3, stride: 2)),  // 5  P4/16
      layer(.c3Ghost(512), repeats: 9),
      layer(.ghostConv(1024, kernel: 3, stride: 2)),  // 7  P5/32
      layer(.c3Ghost(1024), repeats: 3),
      layer(.sppf(1024)),  // 9
    ], p3: 4, p4: 6, head: PANHead(p3: 256, repeats: 3, isGhost: true))
}
