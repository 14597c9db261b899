import Compute
import Interchange
import Network
import TestSupport
import Testing
import Training

/// `train_steps/optimizer_only`: the update rules alone, with weight decay, warm-up, sparsity and moving average, on a
/// convolution, two batch norms and a head, five steps each. Gradients are given by a formula.
@Suite struct OptimizerTests {
  static let cases = [
    "sgd_const", "sgd_warmup", "adam_const", "adamw_const", "adamw_warmup", "sgd_sparse_e0", "sgd_sparse_e5",
    "adam_sparse_e0", "adamw_sparse_e9",
  ]
  static let names = [
    "conv.weight", "bn.weight", "bn.bias", "keep.weight", "keep.bias", "head.weight", "head.bias",
  ]

  @Test(arguments: cases) func fiveSteps(name: String) throws {
    let json = try Fixtures.json("train_steps/optimizer_only/cases.json")[name]
    let expected = try Fixtures.safetensors("train_steps/optimizer_only/\(name).safetensors")
    func tensor(_ name: String) -> [Float] { expected.tensors[name]!.floats }

    let network = Self.network()
    var parameters = Parameters()
    for spec in network.parameterSpecs {
      parameters[spec.name] = Tensor(
        shape: spec.shape,
        values: Self.names.contains(spec.name) ? tensor("init.\(spec.name)") : Array(repeating: 1, count: spec.count))
    }
    let memory = try ParameterMemory(network, parameters, runtime: Runtime(threads: 1))

    let decay = json["weight_decay_of_groups_g0_g1_g2"].doubles
    let optimizer = Optimizer(
      try #require(OptimizerKind(rawValue: json["opt_name"].string)), memory,
      decay: PerGroup(gammas: decay[0], weights: decay[1], biases: decay[2]), beta1: json["beta1"].double)
    let update = ParameterUpdate(
      memory, optimizer: optimizer, gradientLimit: nil,
      sparsity: json.has("sr") ? Sparsity(rate: json["sr"].double, epochs: 10) : nil, sparing: ["keep"])
    let epoch = json.has("epoch") ? json["epoch"].int : 0

    for step in 0..<5 {
      var gradients: [String: Tensor] = [:]
      for name in Self.names {
        let shape = parameters[name]!.shape
        let values = DeterministicValues.uniform("grad.step\(step).\(name)", count: shape.reduce(1, *))
        gradients[name] = Tensor(shape: shape, values: values.map { 0.1 * $0 })
      }
      try memory.load(gradients, into: memory.gradients)
      let rates = json["lrs"][step].doubles
      update.apply(
        StepSettings(
          learningRates: PerGroup(gammas: rates[0], weights: rates[1], biases: rates[2]),
          momentum: json["moms"][step].double, accumulation: 1),
        epoch: epoch)
      let now = memory.parameters()
      let average = update.average.parameters()
      for name in Self.names {
        expectClose(now[name]!.values, tensor("step\(step).\(name)"), absolute: 2e-6, "step \(step) \(name)")
        expectClose(average[name]!.values, tensor("ema\(step).\(name)"), absolute: 2e-6, "average \(step) \(name)")
      }
    }
  }

  /// The fixture's parameters, as a network.
  static func network() -> Network {
    let nodes = [
      Node(name: "image", operation: .image(channels: 3), inputs: []),
      Node(name: "conv", operation: .convolution(Convolution(3, 8, kernel: 3)), inputs: [0]),
      Node(name: "bn", operation: .batchNorm(BatchNorm(8)), inputs: [1]),
      Node(name: "keep", operation: .batchNorm(BatchNorm(8)), inputs: [2]),
      Node(name: "head", operation: .convolution(Convolution(8, 4, hasBias: true)), inputs: [3]),
    ]
    let modules = [("conv", "Conv2d"), ("bn", "BatchNorm2d"), ("keep", "BatchNorm2d"), ("head", "Conv2d")]
    return Network(
      name: "four", nodes: nodes, modules: modules.map { Module(path: $0.0, type: $0.1) },
      detect: Detect(
        path: "detect", classCount: 1, anchors: [[Anchor(width: 8, height: 8)]], strides: [8], outputs: [4]))
  }
}
