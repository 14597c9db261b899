import Network
import Testing
import TestSupport

@testable import Compute

/// The description that a plan gives of itself before and after it has run.
@Suite struct PlanTests {
  /// Images of 8 × 8, a convolution of stride 2 to 4 channels, batch norm, SiLU, and a head of one anchor and class.
  static let tiny: Network = {
    var b = NetworkBuilder()
    b.module("model.0", "Conv")
    let z = b.convolution("model.0.conv", of: 0, to: 4, kernel: 3, stride: 2)
    let map = b.activation("model.0.act", .silu, of: b.batchNorm("model.0.bn", of: z))
    return b.network(
      name: "tiny", detectPath: "model.1", levels: [map], classCount: 1, anchors: [[Anchor(width: 3, height: 5)]],
      strides: [2])
  }()

  private func plan<Plan: BatchPlan>(
    _ network: Network = tiny, images: Int = 2, side: Int = 8, threads: Int = 1
  ) throws -> Plan {
    let parameters = network.goldenParameters
    let runtime = try Runtime(backend: .openBLAS, threads: threads)
    let memory =
      Plan.self == InferencePlan.self
      ? try ParameterMemory(folding: network, parameters, runtime: runtime)
      : try ParameterMemory(network, parameters, runtime: runtime)
    return try Plan(memory, batchSize: images, imageHeight: side, imageWidth: side)
  }

  @Test func costsAreThoseCountedByHand() throws {
    let plan: TrainingPlan = try plan()
    func expect(_ node: String, _ operation: String, bytes: Int, operations: Int) throws {
      let line = try #require(
        plan.report(runs: 0).lines.first { $0.node == node && $0.operation == operation }, "\(node) \(operation)")
      #expect(line.bytes == bytes, "\(node) \(operation)")
      #expect(line.operations == operations, "\(node) \(operation)")
    }
    // Two images: 8·8·3 floats in, 4·4·4 out; 4·3·9 weights.
    try expect("model.0.conv", "convolution", bytes: 4 * (2 * 192 + 2 * 64 + 108), operations: 2 * 2 * 16 * 108)
    // Reads the map, keeps 2·4 doubles.
    try expect("model.0.bn", "statistics", bytes: 4 * 2 * 64 + 8 * 8, operations: 4 * 2 * 64)
    // A map in, one out, 4·4 coefficients: (z − mean)·scale + shift, exponential, sum and quotient.
    try expect("model.0.act", "normalize", bytes: 4 * (2 * 2 * 64 + 16), operations: 6 * 2 * 64)
    // 4 channels in, 6 out, 24 weights, 6 biases.
    try expect(
      "model.1.m.0", "convolution", bytes: 4 * (2 * 64 + 2 * 96 + 24 + 6), operations: 2 * (2 * 16 * 24 + 96))
    try expect(
      "model.1.m.0", "convolution: input gradient", bytes: 4 * (2 * 64 + 2 * 96 + 24), operations: 2 * 2 * 16 * 24)
    // The sum and what is added to it.
    try expect(
      "model.1.m.0", "convolution: weight gradient", bytes: 4 * (2 * 64 + 2 * 96 + 2 * 24),
      operations: 2 * 2 * 16 * 24)
    try expect("model.1.m.0", "bias gradient", bytes: 4 * (2 * 96 + 6), operations: 2 * 96)
    // Reads and writes the parameters' gradients.
    try expect("model.0.conv", "join lanes", bytes: 4 * 2 * 108, operations: 108)
  }

  @Test func equalNetworksHaveEqualPrograms() throws {
    let (one, other): (TrainingPlan, TrainingPlan) = (try plan(), try plan())
    let larger: TrainingPlan = try plan(images: 3)
    let wider: TrainingPlan = try plan(side: 16)
    let (program, text) = (one.executor.program, "\(one.executor.program)")
    #expect(text == "\(other.executor.program)" && program.stages == other.executor.program.stages)
    #expect(program.steps.elementsEqual(other.executor.program.steps))
    // Steps are told per image: another batch is another division into chunks.
    #expect(text == "\(larger.executor.program)" && program.stages != larger.executor.program.stages)
    #expect(text != "\(wider.executor.program)")
    #expect(
      text.hasPrefix("1 image: input(to: #3 8×8×3)\n1 model.0.conv: convolve(0, #3 8×8×3, weights: #0+16 1×1×108,"))
  }

  @Test func theCacheKeepsThePlansUsedLast() throws {
    let memory = try ParameterMemory(Self.tiny, Self.tiny.goldenParameters, runtime: Runtime(threads: 1))
    var cache = PlanCache<TrainingPlan>(memory)
    func plan(_ images: Int) throws -> TrainingPlan { try cache.plan(batchSize: images, height: 8, width: 8) }
    let (one, two) = (try plan(1), try plan(2))
    #expect(two.batchSize == 2)
    _ = try plan(3)
    #expect(try plan(1) === one)
    _ = try plan(4)
    #expect(try plan(1) === one)
    #expect(try plan(2) !== two)
  }

  @Test func inferenceIsFoldedAndFused() throws {
    let plan: InferencePlan = try plan()
    let names = plan.executor.program.steps.map(\.instruction.name)
    #expect(names == ["input", "convolution", "convolution"])
    #expect(plan.executor.program.convolutions[0].pass == .forward(bias: true, activation: .silu))
  }

  /// Everything that a run does is among the lines, waiting included; so they take as long as the run.
  @Test(arguments: [1, 2, 3]) func timesOfStepsSumUpToThatOfTheRun(threads: Int) throws {
    let network = NetworkGradientTests.network
    let image = DeterministicValues.images(shape: [3, 96, 96, 3]).values
    let training: TrainingPlan = try plan(network, images: 3, side: 96, threads: threads)
    for level in training.heads.indices { training.withHeadGradient(level) { $0.update(repeating: 0.01) } }
    try expectSum(training) {
      training.forward(image)
      training.backward()
    }
    let inference: InferencePlan = try plan(network, images: 3, side: 96, threads: threads)
    try expectSum(inference) { inference.run(image) }
  }

  /// A scheduler may come between the two clocks; it will not do so every time.
  private func expectSum(_ plan: ExecutionPlan, _ run: () -> Void) throws {
    run()
    let shares = (0..<5).map { _ in
      plan.startTiming()
      let seconds = ContinuousClock().measure { for _ in 0..<10 { run() } } / .seconds(10)
      let lines = plan.report(runs: 10).lines
      #expect(lines.allSatisfy { $0.seconds >= 0 })
      return lines.reduce(0) { $0 + $1.seconds } / seconds
    }
    #expect(shares.contains { abs($0 - 1) < 0.05 }, "\(shares)")
  }
}
