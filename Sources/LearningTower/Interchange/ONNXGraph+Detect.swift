import Network

extension ONNXGraph {
  /// The heads' maps, one output per level: `N × A × H × W × V`.
  mutating func addRaw(_ heads: [(value: String, shape: MapShape)], of detect: Detect, batch: Dimension) {
    for level in heads.indices {
      let (height, width) = (heads[level].shape.height, heads[level].shape.width)
      let sizes = [detect.anchors[level].count, height, width, detect.valuesPerAnchor]
      output(
        anchorMajor(heads[level], of: detect, level: level), as: "head\(level)", [batch] + sizes.map(Dimension.fixed))
    }
  }

  /// One output of all boxes: `N × boxes × V`.
  mutating func addDecoded(_ heads: [(value: String, shape: MapShape)], of detect: Detect, batch: Dimension) {
    let levels = heads.indices.map { decoded(heads[$0], of: detect, level: $0) }
    let boxes = heads.indices.reduce(0) { sum, level in
      sum + detect.anchors[level].count * heads[level].shape.height * heads[level].shape.width
    }
    let all = add("Concat", levels, "\(detect.path).boxes", [Attribute("axis", 1)])
    output(all, as: "output", [batch, .fixed(boxes), .fixed(detect.valuesPerAnchor)])
  }

  /// `N × (A · V) × H × W` → `N × A × H × W × V`.
  private mutating func anchorMajor(
    _ head: (value: String, shape: MapShape), of detect: Detect, level: Int
  ) -> String {
    let name = "\(detect.path).\(level)"
    let sizes = [0, detect.anchors[level].count, detect.valuesPerAnchor, head.shape.height, head.shape.width]
    return transpose(reshape(head.value, sizes, "\(name).anchors"), [0, 1, 3, 4, 2], "\(name).raw")
  }

  /// `xy = (2σ − 0.5 + cell) · stride`, `wh = (2σ)² · anchor`, scores `σ`: `N × (A · H · W) × V`.
  private mutating func decoded(_ head: (value: String, shape: MapShape), of detect: Detect, level: Int) -> String {
    let name = "\(detect.path).\(level)"
    let (height, width) = (head.shape.height, head.shape.width)
    let anchors = detect.anchors[level]
    let scores = add("Sigmoid", [anchorMajor(head, of: detect, level: level)], "\(name).sigmoid")

    var cells = Tensor(shape: [1, 1, height, width, 2])
    for cell in 0..<(height * width) {
      cells.values[2 * cell] = Float(cell % width) - 0.5
      cells.values[2 * cell + 1] = Float(cell / width) - 0.5
    }
    let grid = constant(StoredTensor(cells), "\(name).grid")
    var centres = add("Mul", [slice(scores, 0..<2, axis: 4, "\(name).xy.sigmoid"), constant(2)], "\(name).xy.doubled")
    centres = add("Add", [centres, grid], "\(name).xy.cells")
    centres = add("Mul", [centres, constant(Float(detect.strides[level]))], "\(name).xy")

    let pixels = Tensor(shape: [1, anchors.count, 1, 1, 2], values: anchors.flatMap { [$0.width, $0.height] })
    let sizes = constant(StoredTensor(pixels), "\(name).anchors.pixels")
    let doubled = add("Mul", [slice(scores, 2..<4, axis: 4, "\(name).wh.sigmoid"), constant(2)], "\(name).wh.doubled")
    let squared = add("Mul", [doubled, doubled], "\(name).wh.squared")
    let extents = add("Mul", [squared, sizes], "\(name).wh")

    let rest = slice(scores, 4..<detect.valuesPerAnchor, axis: 4, "\(name).scores")
    let rows = add("Concat", [centres, extents, rest], "\(name).rows", [Attribute("axis", 4)])
    return reshape(rows, [0, anchors.count * height * width, detect.valuesPerAnchor], "\(name).boxes")
  }
}
