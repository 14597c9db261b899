extension LayerTable {
  /// YOLOv5 v6.0 (`models/yolov5s.yaml`): CSP backbone, PANet head.
  static func yolov5(_ name: String, depthMultiple: Double, widthMultiple: Double) -> LayerTable {
    LayerTable(
      name: name, depthMultiple: depthMultiple, widthMultiple: widthMultiple,
      backbone: [
        layer(.conv(64, kernel: 6, stride: 2, padding: 2)),  // 0  P1/2
        layer(.conv(128, kernel: 3, stride: 2)),  // 1  P2/4
        layer(.c3(128), repeats: 3),
        layer(.conv(256, kernel: 3, stride: 2)),  // 3  P3/8
        layer(.c3(256), repeats: 6),
        layer(.conv(512, kernel: 3, stride: 2)),  // 5  P4/16
        layer(.c3(512), repeats: 9),
        layer(.conv(1024, kernel: 3, stride: 2)),  // 7  P5/32
        layer(.c3(1024), repeats: 3),
        layer(.sppf(1024)),  // 9
      ], p3: 4, p4: 6, head: PANHead(p3: 256, repeats: 3))
  }
}
