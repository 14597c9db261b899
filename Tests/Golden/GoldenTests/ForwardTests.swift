import Compute
import Detection
import Interchange
import Network
import TestSupport
import Testing
import Zoo

/// Names of the fixtures and of the networks they belong to.
let goldenNetworks = [
  "yolov5n": "yolov5n", "MobileNetv2": "mobilenetv2", "MobileNetv3_small": "mobilenetv3-small",
  "MobileNetv3_large": "mobilenetv3-large", "ShuffleNet": "shufflenetv2", "yolov5s-ghost": "ghostnet",
]

/// The fixtures' network of 14 classes with the weights that follow from its tensors' names.
func goldenNetwork(_ fixture: String) throws -> (network: Network, parameters: Parameters) {
  let network = try Zoo.network(named: try #require(goldenNetworks[fixture]), classCount: 14)
  return (network, network.goldenParameters)
}

/// A head of the fixtures, `N × A × H × W × V`, in the plans' order `N × H × W × A × V`.
func plansOrder(_ head: Tensor) -> [Float] {
  let s = head.shape
  var result = [Float]()
  result.reserveCapacity(head.values.count)
  for image in 0..<s[0] {
    for cell in 0..<s[2] * s[3] {
      for anchor in 0..<s[1] {
        let start = ((image * s[1] + anchor) * s[2] * s[3] + cell) * s[4]
        result += head.values[start..<start + s[4]]
      }
    }
  }
  return result
}

@Suite("Golden: forward")
struct ForwardTests {
  static let cases = Runtime.availableBackends.flatMap { backend in
    goldenNetworks.keys.sorted().map { (backend, $0) }
  }

  @Test("Heads from batch statistics, and the statistics they leave", arguments: cases)
  func training(backend: Runtime.Backend, fixture: String) throws {
    let expected = try Fixtures.safetensors("forward/\(fixture).safetensors")
    let (network, parameters) = try goldenNetwork(fixture)
    let memory = try ParameterMemory(network, parameters, runtime: Runtime(backend: backend, threads: 2))
    let plan = try TrainingPlan(memory, batchSize: 2, imageHeight: 64, imageWidth: 64)
    plan.forward(nhwc(DeterministicValues.images()).values)
    for level in 0..<3 {
      let head = plansOrder(try #require(expected.tensors["train.head\(level)"]).tensor)
      let actual = plan.withHead(level) { span in span.indices.map { span[$0] } }
      let isShuffleNet = fixture == "ShuffleNet"
      expectClose(actual, head, absolute: isShuffleNet ? 2e-3 : 5e-4, "head \(level)")
      #expect(relativeL2(actual, head) <= (isShuffleNet ? 1e-3 : 5e-4))
    }
    let statistics = memory.parameters()
    let layers = try Fixtures.json("forward/\(fixture).json")["bn_layers"].strings
    for (index, layer) in layers.enumerated() {
      for name in ["\(layer).running_mean", "\(layer).running_var"] {
        expectClose(
          try #require(statistics[name]).values, try #require(expected.tensors["train.\(name)"]).floats,
          absolute: index == 0 ? 1e-6 : 1.5e-5, name)
      }
      #expect(statistics["\(layer).num_batches_tracked"]?.values == [1])
    }
  }

  @Test("Heads from running statistics", arguments: cases)
  func inference(backend: Runtime.Backend, fixture: String) throws {
    let expected = try Fixtures.safetensors("forward/\(fixture).safetensors")
    let (network, parameters) = try goldenNetwork(fixture)
    let plan = try InferencePlan(
      network, parameters, batchSize: 2, imageHeight: 64, imageWidth: 64,
      runtime: Runtime(backend: backend, threads: 2))
    plan.run(nhwc(DeterministicValues.images()).values)
    for level in 0..<3 {
      let head = plansOrder(try #require(expected.tensors["eval.head\(level)"]).tensor)
      expectClose(
        plan.withHead(level) { span in span.indices.map { span[$0] } }, head, absolute: 1e-6, "head \(level)")
    }
  }
}

/// The families that have no fixture, against the plain network in double. Tolerances are those of the fixtures: in
/// evaluation 1e-6 where the largest logit of a head is 0.3. These reach 1.2, and the rounding of a sum is in
/// proportion to its terms, so the largest logit sets the scale for the whole head.
@Suite("Golden: forward of the families the reference lacks")
struct PaperFamilyForwardTests {
  static let names = ZooTests.families.filter { ZooTests.fixtureNames[$0] == nil }

  @Test(arguments: Runtime.availableBackends, names)
  func heads(backend: Runtime.Backend, name: String) throws {
    let network = try Zoo.network(named: name, classCount: 14)
    let parameters = network.goldenParameters
    let images = DeterministicValues.images()
    let runtime = try Runtime(backend: backend, threads: 2)
    var reference = try ReferenceExecutor(network, parameters)
    let inference = try InferencePlan(
      network, parameters, batchSize: 2, imageHeight: 64, imageWidth: 64, runtime: runtime)
    inference.run(nhwc(images).values)
    for (level, head) in try reference.heads(images).enumerated() {
      let expected = plansOrder(Tensor(shape: head.shape, values: head.floats))
      let largest = expected.map { Double(abs($0)) }.max() ?? 0
      expectClose(
        inference.withHead(level) { span in span.indices.map { span[$0] } }, expected,
        absolute: 1e-6 * max(1, largest / 0.3), "evaluation, head \(level)")
    }
    let memory = try ParameterMemory(network, parameters, runtime: runtime)
    let training = try TrainingPlan(memory, batchSize: 2, imageHeight: 64, imageWidth: 64)
    training.forward(nhwc(images).values)
    for (level, head) in try reference.heads(images, mode: .training).enumerated() {
      let expected = plansOrder(Tensor(shape: head.shape, values: head.floats))
      let actual = training.withHead(level) { span in span.indices.map { span[$0] } }
      expectClose(actual, expected, absolute: 5e-4, "training, head \(level)")
      #expect(relativeL2(actual, expected) <= 5e-4)
    }
    let statistics = memory.parameters()
    for (name, expected) in reference.runningStatistics.sorted(by: { $0.key < $1.key }) {
      expectClose(try #require(statistics[name]).values, expected.map(Float.init), absolute: 1.5e-5, name)
    }
  }
}
