import Compute
import Dataset
import Detection
import Interchange
import Network
import TestSupport
import Testing

@Suite("Golden: gradients of the first step")
struct GradientTests {
  @Test("Loss and every parameter's gradient", arguments: ForwardTests.cases)
  func firstStep(backend: Runtime.Backend, fixture: String) throws {
    let expected = try Fixtures.json("train_steps/grad1_\(fixture).json")
    let (network, parameters) = try goldenNetwork(fixture)
    let memory = try ParameterMemory(network, parameters, runtime: Runtime(backend: backend, threads: 2))
    let plan = try TrainingPlan(memory, batchSize: 2, imageHeight: 64, imageWidth: 64)
    var loss = DetectionLoss(detect: network.detect, imageSize: 64)
    let images = nhwc(DeterministicValues.images(name: "input.step0")).values
    let targets = try targets(step: 0)
    func step(accumulate: Bool) -> LossItems {
      plan.forward(images)
      var items = LossItems()
      for (level, shape) in plan.heads.enumerated() {
        items += plan.withHead(level) { values in
          plan.withHeadGradient(level) { gradient in
            loss.evaluate(level: level, shape: shape, head: values, targets: targets, gradient: &gradient)
          }
        }
      }
      plan.backward(accumulate: accumulate)
      return items
    }
    let items = step(accumulate: false)
    let losses = expected["losses"]["f64"].doubles
    expectClose(
      [items.sum * 2, items.box, items.objectness, items.classification], losses, absolute: 0, relative: 1e-5, "loss")

    let gradients = memory.tensors(in: memory.gradients)
    for (name, reference) in expected["gradients"].object.sorted(by: { $0.key < $1.key }) where name != "(input image)"
    {
      let values = try #require(gradients[name]).values
      compare(values, reference, name)
    }

    // Accumulating the same again doubles every gradient, exactly.
    _ = step(accumulate: true)
    let doubled = memory.tensors(in: memory.gradients)
    for (name, tensor) in gradients { #expect(doubled[name]?.values == tensor.values.map { 2 * $0 }, "\(name)") }
  }

  private func compare(_ values: [Float], _ reference: Fixture, _ name: String) {
    let norm = values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    let l2 = reference["l2"].double
    expectClose(norm, l2, absolute: 5 * reference["noise_l2"].double + 1e-6 * l2, "norm of \(name)")
    let first = reference["first8"].floats
    let noise = 5 * reference["noise_max"].double
    expectClose(Array(values.prefix(first.count)), first, absolute: noise, "start of \(name)")
  }

  private func targets(step: Int) throws -> [Target] {
    let rows = try #require(Fixtures.safetensors("train_steps/targets.safetensors").tensors["targets.step\(step)"])
    let values = rows.floats
    return stride(from: 0, to: values.count, by: 6).map { at in
      Target(
        imageIndex: Int(values[at]), classIndex: Int(values[at + 1]), cx: values[at + 2], cy: values[at + 3],
        w: values[at + 4], h: values[at + 5])
    }
  }
}
