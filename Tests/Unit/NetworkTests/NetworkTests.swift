import Network
import TestSupport
import Testing
import Zoo

@Suite struct NetworkTests {
  let network = try! Zoo.network(named: "yolov5n", classCount: 14)

  // MARK: - Shapes

  @Test func shapesOfEveryOperation() throws {
    var builder = NetworkBuilder()
    let conv = builder.convolution("conv", of: 0, to: 8, kernel: 6, stride: 2, padding: 2)
    let pool = builder.maxPool("pool", of: conv, kernel: 3, stride: 2)
    let up = builder.upsample("up", of: pool)
    let cat = builder.concat("cat", of: [conv, up])
    let slice = builder.slice("slice", of: cat, start: 8, count: 4)
    let mean = builder.globalAveragePool("mean", of: slice)
    let fc = builder.linear("fc", of: mean, to: 4)
    let scaled = builder.scale("scale", slice, by: fc)
    let shapes = try builder.network(
      name: "n", detectPath: "d", levels: [scaled], classCount: 3, anchors: [[Anchor(width: 1, height: 1)]],
      strides: [2]
    ).shapes(height: 16, width: 24)
    let expected = [
      [3, 16, 24], [8, 8, 12], [8, 4, 6], [8, 8, 12], [16, 8, 12], [4, 8, 12], [4, 1, 1], [4, 1, 1], [4, 8, 12],
      [8, 8, 12],
    ]
    #expect(shapes.map { [$0.channels, $0.height, $0.width] } == expected)
  }

  @Test func misfitsAreNamed() throws {
    func message(_ change: (inout Network) -> Void) -> String {
      var broken = network
      change(&broken)
      do {
        try broken.check()
        return "no error"
      } catch { return error.message }
    }
    let conv = network.nodes.firstIndex { $0.name == "model.1.conv" }!
    #expect(
      message { $0.nodes[conv].operation = .convolution(Convolution(17, 32, kernel: 3, stride: 2)) }.contains(
        "model.1.conv: expects 17"))
    #expect(message { $0.nodes[conv].inputs = [conv] }.contains("does not stand before"))
    #expect(message { $0.nodes[conv].inputs = [] }.contains("has no input"))
    #expect(message { $0.nodes[conv].inputs = [0, 0] }.contains("has 2 inputs"))
    let pool = Pool(kernel: 3, stride: 1, padding: 2)
    #expect(message { $0.nodes[conv].operation = .maxPool(pool) }.contains("beyond reason"))
    #expect(message { $0.nodes[conv].operation = .linear(Linear(16, 32)) }.contains("expects 16 × 1 × 1"))
    #expect(
      message { $0.nodes[conv].operation = .convolution(Convolution(16, 32, kernel: 3, stride: 0)) }.contains(
        "beyond reason"))
    #expect(
      message { $0.nodes[conv].operation = .convolution(Convolution(16, .max, kernel: 3)) }.contains("beyond reason"))
    #expect(message { $0.nodes[conv].name = "model.0.conv" }.contains("two nodes"))
    #expect(message { $0.modules.removeAll { $0.path == "model.1.conv" } }.contains("not among the modules"))
    #expect(message { $0.detect.outputs[0] = 9999 }.contains("model.24"))
    #expect(message { $0.detect.strides[0] = 0 }.contains("model.24"))
    #expect(message { $0.detect.anchors[0][0].width = .nan }.contains("positive"))
    #expect(message { $0.detect.classCount = 13 }.contains("expected"))
    #expect(message { $0.nodes = [] }.contains("not an image"))
    #expect(message { _ in } == "no error")
  }

  // MARK: - Names

  @Test func unknownNamesAreCorrected() {
    let error = #expect(throws: NetworkError.self) { try Zoo.network(named: "yolo5n", classCount: 2) }
    #expect(error?.message.contains("did you mean yolov5n?") == true)
    #expect(throws: NetworkError.self) { try Zoo.network(named: "yolov5n", classCount: 0) }
  }

  // MARK: - Parameters

  @Test func initialParametersFollowPyTorch() throws {
    let parameters = try network.validated(network.initialParameters(seed: 1))
    for spec in network.parameterSpecs {
      let values = parameters[spec.name]!.values
      switch spec.role {
      case .weight:
        let bound = 1 / Float(spec.shape.dropFirst().reduce(1, *)).squareRoot()
        #expect(values.allSatisfy { abs($0) <= bound * 1.000001 })
        // A uniform sample's spread, within five standard errors.
        let variance = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
        #expect(abs(variance / (bound * bound / 3) - 1) < 5 * (0.8 / Float(values.count)).squareRoot(), "\(spec.name)")
      case .gamma, .batchCount: #expect(values.allSatisfy { $0 == 1 })
      case .beta, .runningMean: #expect(values.allSatisfy { $0 == 0 })
      case .runningVariance: #expect(values.allSatisfy { $0 == 0.9 })
      case .anchors: #expect(values == network.detect.anchorsTensor.values)
      case .bias: break
      }
    }
    let detect = network.detect
    for level in 0..<3 {
      let bound = 1 / Float([64, 128, 256][level]).squareRoot()
      for (channel, value) in parameters["model.24.m.\(level).bias"]!.values.enumerated() {
        let start: Float =
          switch channel % 19 {
          case 0..<4: 0
          case 4: detect.objectnessBias(level: level)
          default: detect.classBias
          }
        #expect(abs(value - start) <= bound * 1.00001)
      }
    }
  }

  @Test func initialParametersDependOnSeedAndNameAlone() throws {
    let other = try Zoo.network(named: "yolov5n", classCount: 3)
    let (a, b) = (network.initialParameters(seed: 1), other.initialParameters(seed: 1))
    #expect(a == network.initialParameters(seed: 1))
    #expect(a["model.3.conv.weight"] == b["model.3.conv.weight"])
    #expect(a["model.3.conv.weight"] != network.initialParameters(seed: 2)["model.3.conv.weight"])
    #expect(a["model.4.cv1.conv.weight"]?.values.prefix(8) != a["model.4.cv2.conv.weight"]?.values.prefix(8))
  }

  @Test func transferTakesWhatFits() throws {
    let pretrained = try Zoo.network(named: "yolov5n", classCount: 80).goldenParameters
    let start = network.initialParameters(seed: 1)
    let result = ParameterTransfer(of: pretrained, into: network, initial: start)
    // All but the three heads' weights and biases and the anchors: YOLOv5 prints "Transferred 342/349 items".
    #expect(result.tensorCount == 342 && result.totalTensorCount == 349 && result.hasWeights)
    #expect(result.parameters["model.0.conv.weight"] == pretrained["model.0.conv.weight"])
    #expect(result.parameters["model.24.m.0.weight"] == start["model.24.m.0.weight"])
    _ = try network.validated(result.parameters)
  }

  /// From another network only counters and tensors of the same shape by chance are left, which is no beginning.
  @Test func transferTellsHowMuchFits() throws {
    let start = network.initialParameters(seed: 1)
    let small = try Zoo.network(named: "yolov5s", classCount: 14)
    let other = ParameterTransfer(of: small.goldenParameters, into: network, initial: start)
    #expect(!other.hasWeights && other.tensorCount > 0 && other.learnedShare < 0.001)
    #expect(other.misshapen.first?.name == "model.0.conv.weight")
    #expect(other.description.contains("model.0.conv.weight is 32×3×6×6, not 16×3×6×6"))

    var pretrained = try Zoo.network(named: "yolov5n", classCount: 80).goldenParameters
    pretrained["model.0.bn.weight"] = nil
    pretrained["extra"] = Tensor(shape: [1])
    let result = ParameterTransfer(of: pretrained, into: network, initial: start)
    #expect(result.missing == ["model.0.bn.weight"] && result.misshapen.count == 6 && result.leftOverCount == 1)
    let learned = network.parameterSpecs.filter {
      $0.isLearned && !$0.name.hasPrefix("model.24.") && $0.name != "model.0.bn.weight"
    }
    #expect(result.learnedCount == learned.reduce(0) { $0 + $1.count })
    #expect(
      result.description.hasPrefix("341 of 349 tensors fit, with 98.") && result.description.contains("1 are missing"))
  }

  @Test func validationNamesWhatDoesNotFit() throws {
    var parameters = network.goldenParameters
    parameters["model.0.bn.weight"] = Tensor(shape: [15])
    parameters["model.1.bn.weight"] = nil
    parameters["extra"] = Tensor(shape: [1])
    let error = #expect(throws: NetworkError.self) { try network.validated(parameters) }
    for part in ["model.0.bn.weight has shape [15], expected [16]", "model.1.bn.weight is missing", "extra belongs"] {
      #expect(error?.message.contains(part) == true)
    }
  }

  @Test func anchorsOfAForeignModel() throws {
    var parameters = network.goldenParameters
    parameters["model.24.anchors"]!.values[2] = 4
    let adopted = try network.adoptingAnchors(of: parameters)
    #expect(adopted.detect.anchors[0][1] == Anchor(width: 32, height: 30))
    #expect(adopted.detect.anchorsTensor == parameters["model.24.anchors"])
    parameters["model.24.anchors"]!.values[2] = -1
    #expect(throws: NetworkError.self) { try network.adoptingAnchors(of: parameters) }
  }
}
