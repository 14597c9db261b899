import Network
import Testing
import Zoo

/// The two families whose counts no reference program has printed, against their papers' tables: each row's parameters,
/// the sum, and the cost of classification that the papers report.
@Suite struct PaperTableTests {
  static let classCount = 14

  // MARK: - MobileNet (1704.04861, table 1)

  /// Stride, filter shape (height, width, input channels, filters) and side of the input at 224 pixels. A depthwise
  /// convolution has one filter per channel.
  static let mobileNet: [(stride: Int, filter: [Int], isDepthwise: Bool, input: Int)] = [
    (2, [3, 3, 3, 32], false, 224),
    (1, [3, 3, 32], true, 112), (1, [1, 1, 32, 64], false, 112),
    (2, [3, 3, 64], true, 112), (1, [1, 1, 64, 128], false, 56),
    (1, [3, 3, 128], true, 56), (1, [1, 1, 128, 128], false, 56),
    (2, [3, 3, 128], true, 56), (1, [1, 1, 128, 256], false, 28),
    (1, [3, 3, 256], true, 28), (1, [1, 1, 256, 256], false, 28),
    (2, [3, 3, 256], true, 28), (1, [1, 1, 256, 512], false, 14),
    (1, [3, 3, 512], true, 14), (1, [1, 1, 512, 512], false, 14),
    (1, [3, 3, 512], true, 14), (1, [1, 1, 512, 512], false, 14),
    (1, [3, 3, 512], true, 14), (1, [1, 1, 512, 512], false, 14),
    (1, [3, 3, 512], true, 14), (1, [1, 1, 512, 512], false, 14),
    (1, [3, 3, 512], true, 14), (1, [1, 1, 512, 512], false, 14),
    (2, [3, 3, 512], true, 14), (1, [1, 1, 512, 1024], false, 7),
    (1, [3, 3, 1024], true, 7), (1, [1, 1, 1024, 1024], false, 7),
  ]

  @Test func mobileNetHasItsTablesParameters() throws {
    let rows = Self.mobileNet.map { row in row.filter.reduce(1, *) + 2 * row.filter.last! }
    // The stem; then pairs of a depthwise and a pointwise convolution; the five equal pairs are one layer.
    let pairs = stride(from: 1, to: rows.count, by: 2).map { rows[$0] + rows[$0 + 1] }
    let expected = [rows[0]] + pairs[..<6] + [pairs[6..<11].reduce(0, +)] + pairs[11...]
    let network = try Zoo.network(named: "mobilenetv1", classCount: Self.classCount)
    try check(network, backbone: Array(expected), levels: (256, 512, 1024))
  }

  /// Table 8: 569 million multiply-adds and 4.2 million parameters, the classifier of 1000 classes included.
  @Test func mobileNetCostsWhatItsPaperSays() throws {
    let classifier = 1024 * 1000
    let table = Self.mobileNet.reduce(classifier) { sum, row in
      let side = row.input / row.stride
      return sum + side * side * row.filter.reduce(1, *)
    }
    #expect(Double(table) / 1e6 - 569 < 0.5 && 569 - Double(table) / 1e6 < 0.5)
    let network = try Zoo.network(named: "mobilenetv1", classCount: Self.classCount)
    #expect(try convolutionProducts(of: network, layers: 10) + classifier == table)
    let parameters = Self.mobileNet.reduce(classifier + 1000) { $0 + $1.filter.reduce(1, *) + 2 * $1.filter.last! }
    #expect((parameters + 50_000) / 100_000 == 42)
  }

  // MARK: - ShuffleNet (1707.01083, table 1, g = 3)

  /// Output channels, units (the first of stride 2) and side of the output at 224 pixels of stages 2, 3 and 4.
  static let shuffleNet: [(channels: Int, units: Int, side: Int)] = [(240, 4, 28), (480, 8, 14), (960, 4, 7)]
  static let stem = (channels: 24, convolutionSide: 112, side: 56)
  static let groups = 3

  /// Weights and outputs of a unit's three convolutions (figure 2): a grouped 1×1 to a quarter, a 3×3 depthwise, a
  /// grouped 1×1 to what the pooled input does not fill. In stage 2 the first is not grouped (section 3.2).
  static func unit(
    input: Int, output: Int, isFirst: Bool, isDense: Bool
  ) -> [(weights: Int, outputs: Int)] {
    let quarter = output / 4
    let own = isFirst ? output - input : output
    return [
      (input * quarter / (isDense ? 1 : groups), quarter), (9 * quarter, quarter), (quarter * own / groups, own),
    ]
  }

  /// For each unit its convolutions and the sides of their outputs.
  static let units: [(stage: Int, convolutions: [(weights: Int, outputs: Int, side: Int)])] = {
    var units: [(Int, [(Int, Int, Int)])] = []
    var (input, side) = (stem.channels, stem.side)
    for (stage, row) in shuffleNet.enumerated() {
      for index in 0..<row.units {
        let isFirst = index == 0
        let three = unit(input: input, output: row.channels, isFirst: isFirst, isDense: stage == 0 && isFirst)
        let sides = [side, row.side, row.side]
        units.append((stage, zip(three, sides).map { ($0.0.weights, $0.0.outputs, $0.1) }))
        (input, side) = (row.channels, row.side)
      }
    }
    return units
  }()

  @Test func shuffleNetHasItsTablesParameters() throws {
    let stem = 3 * 9 * Self.stem.channels + 2 * Self.stem.channels
    let units = Self.units.map { $0.convolutions.reduce(0) { $0 + $1.weights + 2 * $1.outputs } }
    // A stage is two layers: the unit of stride 2, and the others in a row.
    var expected = [stem]
    var first = 0
    for row in Self.shuffleNet {
      expected += [units[first], units[(first + 1)..<(first + row.units)].reduce(0, +)]
      first += row.units
    }
    let network = try Zoo.network(named: "shufflenetv1", classCount: Self.classCount)
    try check(network, backbone: expected, levels: (240, 480, 960))
  }

  /// Table 1: 137 million multiply-adds. The paper does not count the classifier's million apart: with it, it is 138.
  @Test func shuffleNetCostsWhatItsPaperSays() throws {
    let stem = Self.stem.convolutionSide * Self.stem.convolutionSide * 27 * Self.stem.channels
    let table = Self.units.reduce(stem) { sum, unit in
      unit.convolutions.reduce(sum) { $0 + $1.side * $1.side * $1.weights }
    }
    #expect((136_500_000..<137_500_000).contains(table))
    let network = try Zoo.network(named: "shufflenetv1", classCount: Self.classCount)
    #expect(try convolutionProducts(of: network, layers: 7) == table)
  }

  // MARK: - Helpers

  /// Rows of the backbone, then those of YOLOv5s' head over maps of `levels` channels at strides 8, 16 and 32.
  private func check(_ network: Network, backbone: [Int], levels: (p3: Int, p4: Int, p5: Int)) throws {
    func conv(_ input: Int, _ output: Int, _ kernel: Int = 1) -> Int { input * output * kernel * kernel + 2 * output }
    func c3(_ input: Int, _ output: Int) -> Int {
      let half = output / 2
      return 2 * conv(input, half) + conv(half, half) + conv(half, half, 3) + conv(2 * half, output)
    }
    let perCell = 3 * (5 + Self.classCount)
    let head = [
      conv(levels.p5, 256), 0, 0, c3(256 + levels.p4, 256),
      conv(256, 128), 0, 0, c3(128 + levels.p3, 128),
      conv(128, 128, 3), 0, c3(256, 256),
      conv(256, 256, 3), 0, c3(512, 512),
      (128 + 256 + 512 + 3) * perCell,
    ]
    let layers = try network.layers(height: 640, width: 640)
    #expect(layers.map(\.parameterCount) == backbone + head)
    #expect(network.parameterCount == backbone.reduce(0, +) + head.reduce(0, +))
    #expect(network.detect.strides == [8, 16, 32])
    #expect(layers.last?.outputs.map(\.height) == [80, 40, 20])
    try network.check()
  }

  /// Multiply-adds of the convolutions of the first layers, for an image of 224 × 224.
  private func convolutionProducts(of network: Network, layers: Int) throws -> Int {
    let shapes = try network.shapes(height: 224, width: 224)
    return network.nodes.indices.reduce(0) { sum, index in
      guard case .convolution(let c) = network.nodes[index].operation,
        (0..<layers).contains(where: { network.nodes[index].name.hasPrefix("model.\($0).") })
      else { return sum }
      return sum + shapes[index].count * (c.inputChannels / c.groups) * c.kernel * c.kernel
    }
  }
}
