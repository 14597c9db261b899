import Network

/// A network as YOLOv5's YAML writes it: one row per layer, depth and width scaled. Row `i` becomes the module
/// `model.i`.
struct LayerTable: Sendable {
  var name: String
  /// Repeats `n > 1` become `max(round(n · depthMultiple), 1)`, halves to even.
  var depthMultiple = 1.0
  /// Channels become `⌈c · widthMultiple / 8⌉ · 8`.
  var widthMultiple = 1.0
  var rows: [Row]
  /// The layers (P3, P4, P5) that the detection head reads.
  var detect: [Int]
  var anchors = Self.cocoAnchors
  /// The number of classes that a model file gives, unless it is overridden.
  var classCount: Int?

  struct Row: Sendable {
    var block: Block
    /// −1 is the layer before.
    var from: [Int]
    var repeats: Int
    /// File and line, for errors.
    var place: String?
  }

  /// Sizes in pixels of the three anchors at strides 8, 16 and 32: YOLOv5's, found on COCO.
  static let cocoAnchors: [[Anchor]] = [
    [(10, 13), (16, 30), (33, 23)], [(30, 61), (62, 45), (59, 119)], [(116, 90), (156, 198), (373, 326)],
  ].map { $0.map { Anchor(width: $0.0, height: $0.1) } }
}

func layer(_ block: Block, from: [Int] = [-1], repeats: Int = 1) -> LayerTable.Row {
  LayerTable.Row(block: block, from: from, repeats: repeats)
}

extension LayerTable {
  /// More is taken for a mistake: YOLOv5x has 86 million.
  private static let parameterLimit = 1_000_000_000
  private static let operationLimit = 50_000

  /// - Throws: `NetworkError` naming the row, with file and line if it has one, that cannot be built.
  func network(classCount: Int) throws(NetworkError) -> Network {
    guard 1...100_000 ~= classCount else {
      throw NetworkError("\(name): \(classCount) classes is not a number of classes")
    }
    var blocks = BlockBuilder(
      widthMultiple: widthMultiple, unscaledChannels: anchors[0].count * (5 + classCount))
    var outputs: [Int] = []
    for (index, row) in rows.enumerated() {
      let inputs = row.from.map { $0 < 0 ? outputs.last ?? 0 : outputs[$0] }
      do throws(NetworkError) {
        outputs.append(
          try blocks.add(row.block, "model.\(index)", of: inputs, repeats: scaled(repeats: row.repeats)))
        guard blocks.builder.parameterCount <= Self.parameterLimit, outputs[index] < Self.operationLimit else {
          throw NetworkError(
            "a network of more than \(Self.parameterLimit) parameters or \(Self.operationLimit) operations")
        }
      } catch {
        throw NetworkError("\(row.place ?? name): \(error)")
      }
    }
    let levels = detect.map { outputs[$0] }
    let strides = levels.map { NetworkBuilder.probeSide / blocks.builder.shape(of: $0).height }
    let network = blocks.builder.network(
      name: name, detectPath: "model.\(rows.count)", levels: levels, classCount: classCount,
      anchors: anchorsInOrder(of: strides), strides: strides)
    do { try network.check() } catch { throw NetworkError("\(name): \(error)") }
    return network
  }

  /// Returns the network for as many classes as the detection head in `parameters` has, or nil without such a head.
  func network(headOf parameters: Parameters) throws(NetworkError) -> Network? {
    let probe = try network(classCount: 1)
    // The head's rows are anchors × (5 + classes).
    let head = "\(probe.nodes[probe.detect.outputs[0]].name).bias"
    let anchorCount = probe.detect.anchors[0].count
    guard let rows = parameters[head]?.shape.first, rows % anchorCount == 0,
      1...100_000 ~= rows / anchorCount - 5
    else { return nil }
    return try network(classCount: rows / anchorCount - 5)
  }

  private func scaled(repeats: Int) -> Int {
    repeats > 1 ? max(Int((Double(repeats) * depthMultiple).rounded(.toNearestOrEven)), 1) : 1
  }

  /// Small anchors belong to small strides; a file that has them the other way round is turned (`check_anchor_order`).
  private func anchorsInOrder(of strides: [Int]) -> [[Anchor]] {
    let areas = anchors.map { level in level.reduce(0) { $0 + $1.width * $1.height } }
    let isReversed = (areas.last! - areas[0]) * Float(strides.last! - strides[0]) < 0
    return isReversed ? anchors.reversed() : anchors
  }
}

// MARK: - Multiples

extension LayerTable {
  /// The table for a wider or narrower, deeper or shallower network than its own multiples make.
  ///
  /// Width scales every channel count, hidden ones included. Depth scales repeats as `depthMultiple` does, and rows
  /// that stand alike one below the other as if they were one repeated row.
  /// - Throws: `NetworkError` for multiples beyond reason.
  func scaled(width: Double, depth: Double) throws(NetworkError) -> LayerTable {
    for (multiple, word) in [(width, "width"), (depth, "depth")] where !(0.01...16).contains(multiple) {
      throw NetworkError("\(name): a \(word) of \(multiple) is not in 0.01 … 16")
    }
    var table = self
    table.name += Self.suffix(width: width, depth: depth)
    if width != 1 {
      table.widthMultiple *= width
      for index in rows.indices { table.rows[index].block = rows[index].block.withHidden(scaledBy: width) }
    }
    if depth != 1 {
      table.depthMultiple *= depth
      table.scaleRuns(by: depth)
    }
    return table
  }

  /// Returns the ending that the multiples add to a name.
  static func suffix(width: Double, depth: Double) -> String {
    // `2` rather than `2.0`.
    func shortest(_ value: Double) -> String { value == value.rounded() ? "\(Int(value))" : "\(value)" }
    return (width == 1 ? "" : "-w\(shortest(width))") + (depth == 1 ? "" : "-d\(shortest(depth))")
  }

  private mutating func scaleRuns(by depth: Double) {
    var scaled: [Row] = []
    var newIndex: [Int] = []
    var start = 0
    while start < rows.count {
      let end = rows[(start + 1)...].firstIndex { !$0.isRepetition(of: rows[start]) } ?? rows.count
      let count = end - start
      let kept = count > 1 ? max(Int((Double(count) * depth).rounded(.toNearestOrEven)), 1) : 1
      // Rows that referred to the run's last row now refer to the last row of the new run.
      newIndex += (0..<count).map { scaled.count + ($0 == count - 1 ? kept - 1 : min($0, kept - 1)) }
      scaled += (0..<kept).map { rows[start + min($0, count - 1)] }
      start = end
    }
    for index in scaled.indices { scaled[index].from = scaled[index].from.map { $0 < 0 ? $0 : newIndex[$0] } }
    rows = scaled
    detect = detect.map { newIndex[$0] }
  }
}

extension LayerTable.Row {
  /// Rows with repeats of their own are scaled by these.
  fileprivate func isRepetition(of first: LayerTable.Row) -> Bool {
    block == first.block && from == [-1] && first.from == [-1] && repeats == 1 && first.repeats == 1
  }
}

extension Block {
  fileprivate func withHidden(scaledBy width: Double) -> Block {
    guard case .mobileNetV3(let channels, let hidden, let kernel, let stride, let squeezeExcite, let activation) = self
    else { return self }
    return .mobileNetV3(
      channels, hidden: Int((Double(hidden) * width / 8).rounded(.up)) * 8, kernel: kernel, stride: stride,
      squeezeExcite: squeezeExcite, activation: activation)
  }
}
