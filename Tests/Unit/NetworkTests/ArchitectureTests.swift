import Network
import Testing
import Zoo

/// Width and depth multiples of every family.
@Suite struct ArchitectureTests {
  @Test(arguments: Zoo.names) func oneIsTheFamilyItself(_ name: String) throws {
    #expect(try Architecture(.family(name)).network(classCount: 5) == Zoo.network(named: name, classCount: 5))
  }

  @Test(arguments: Zoo.names, [0.25, 0.5, 1.5]) func widthScalesEveryLayer(_ name: String, _ width: Double) throws {
    let whole = try Zoo.network(named: name, classCount: 5)
    let scaled = try Architecture(.family(name), width: width).network(classCount: 5)
    #expect(scaled.detect.strides == [8, 16, 32] && scaled.name == "\(name)-w\(width)")
    let layers = zip(try scaled.layers(height: 64, width: 64), try whole.layers(height: 64, width: 64))
    for (small, large) in layers where large.type != "Detect" {
      #expect(small.type == large.type && small.path == large.path)
      let expected = Double(large.outputs[0].channels) * width
      // Rounded up to 8 channels, to 24 where three groups follow; joined maps are rounded each.
      let slack = name == "shufflenetv1" ? 48.0 : 16
      let channels = Double(small.outputs[0].channels)
      #expect(channels >= expected && channels < expected + slack, "\(small.path): \(channels) of \(expected)")
      #expect(small.outputs[0].height == large.outputs[0].height)
    }
    // Weights go with the square of the width, depthwise ones and the head's with the width.
    let ratio = Double(scaled.parameterCount) / Double(whole.parameterCount)
    #expect(ratio > 0.8 * width * width && ratio < 1.4 * max(width, width * width))
  }

  /// `width_multiple` 0.25 and 0.5 of one table.
  @Test func halfOfTheSmallIsTheNano() throws {
    var halved = try Architecture(.family("yolov5s"), width: 0.5).network(classCount: 14)
    halved.name = "yolov5n"
    #expect(try halved == Zoo.network(named: "yolov5n", classCount: 14))
    var large = try Architecture(.family("yolov5l"), width: 0.5, depth: 0.33).network(classCount: 14)
    #expect(large.name == "yolov5l-w0.5-d0.33")
    large.name = "yolov5s"
    #expect(try large == Zoo.network(named: "yolov5s", classCount: 14))
  }

  @Test func namesCarryTheMultiples() throws {
    for architecture in [
      Architecture(.family("mobilenetv3-small"), width: 0.5), Architecture(.family("yolov5n"), width: 1.25, depth: 2),
      Architecture(.family("ghostnet"), depth: 0.33), Architecture(.family("shufflenetv1")),
    ] {
      #expect(try Architecture(named: architecture.network().name) == architecture)
    }
    for name in ["yolov5", "yolov5s-w", "yolov5s-wide", "yolov5s-w0", "yolov5s-d2-w2", "-w2", ""] {
      #expect(throws: NetworkError.self, "\(name)") { try Architecture(named: name) }
    }
  }

  /// The paper's smaller models: 32 → 16 channels, 96 → 48, 320 → 160.
  @Test func mobileNetV2OfHalfTheWidth() throws {
    let network = try Architecture(.family("mobilenetv2"), width: 0.5).network(classCount: 14)
    let channels = try network.layers(height: 64, width: 64).map(\.outputs[0].channels)
    // 24 · 0.5 = 12 is rounded up to 16.
    #expect(channels[..<18] == [16, 8, 16, 16, 16, 16, 16, 32, 32, 32, 32, 48, 48, 48, 80, 80, 80, 160])
    #expect(channels[31] == 160)
    let hidden = network.nodes.first { $0.name == "model.11.conv.0.0" }?.operation
    #expect(hidden == .convolution(Convolution(32, 192)))
  }

  @Test func hiddenChannelsOfMobileNetV3Scale() throws {
    let network = try Architecture(.family("mobilenetv3-small"), width: 0.5).network(classCount: 14)
    let expansions = [2: 40, 3: 48, 4: 48, 5: 120, 11: 288]
    for (layer, hidden) in expansions {
      guard case .convolution(let c) = network.nodes.first(where: { $0.name == "model.\(layer).conv.0" })?.operation
      else {
        Issue.record("model.\(layer) has no expansion")
        continue
      }
      #expect(c.outputChannels == hidden)
    }
    // The block without an expansion stays without.
    #expect(
      network.nodes.first { $0.name == "model.1.conv.0" }?.operation
        == .convolution(Convolution(8, 8, kernel: 3, stride: 2, groups: 8)))
  }

  @Test(arguments: Zoo.names, [0.5, 2]) func depthKeepsShapes(_ name: String, _ depth: Double) throws {
    let whole = try Zoo.network(named: name, classCount: 5)
    let scaled = try Architecture(.family(name), depth: depth).network(classCount: 5)
    try scaled.check()
    #expect(depth > 1 ? scaled.parameterCount > whole.parameterCount : scaled.parameterCount < whole.parameterCount)
    let shapes = (try scaled.shapes(height: 64, width: 64), try whole.shapes(height: 64, width: 64))
    #expect(scaled.detect.outputs.map { shapes.0[$0] } == whole.detect.outputs.map { shapes.1[$0] })
  }

  /// Rows that stand alike below each other count as repeats: the three blocks of 96 channels become six, and who reads
  /// the last of them still does.
  @Test func depthOfRowsWithoutRepeats() throws {
    let network = try Architecture(.family("mobilenetv2"), depth: 2).network(classCount: 5)
    let layers = try network.layers(height: 64, width: 64)
    let counts = Dictionary(grouping: layers.filter { $0.type == "InvertedResidual" }) { $0.outputs[0].channels }
      .mapValues(\.count)
    // The first block of each size, of another stride, stands alone; so do sizes of one block.
    #expect(counts == [16: 1, 24: 2, 32: 1 + 4, 64: 1 + 6, 96: 6, 160: 1 + 4, 320: 1])
    let concat = network.nodes.first { $0.name == "model.30" }
    let reads = try #require(concat).inputs.map { network.nodes[$0].name }
    #expect(reads.contains { $0.hasPrefix("model.21.") })
    let half = try Architecture(.family("mobilenetv1"), depth: 0.5).network(classCount: 5)
    #expect(half.modules.count { $0.path.hasPrefix("model.7.") && $0.type == "DepthwiseSeparable" } == 2)
  }

  @Test(arguments: [0, -1, 1e9, .nan, .infinity]) func absurdMultiplesAreRefused(_ multiple: Double) {
    for architecture in [
      Architecture(.family("yolov5n"), width: multiple), Architecture(.family("yolov5n"), depth: multiple),
    ] {
      #expect(throws: NetworkError.self) { try architecture.network(classCount: 5) }
    }
    #expect(throws: NetworkError.self) { try Architecture(.family("yolov5x"), width: 16, depth: 16).network() }
  }
}
