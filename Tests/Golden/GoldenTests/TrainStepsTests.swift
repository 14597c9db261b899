import Compute
import Dataset
import Detection
import Foundation
import Interchange
import Network
import TestSupport
import Testing
import Training

/// `train_steps`: five whole steps (forward, loss, backward, sparsity, update, average) on networks with the weights
/// that follow from their tensors' names. The fixtures are float64; each tensor states how far two float32 runs of the
/// reference were from it, and five times that is allowed.
///
/// Known issue: in some runs a few tensors lie outside that, because five steps are not a continuous function of
/// their rounding. Four places were traced. In yolov5n, Adam's first step has the sign of the gradient: that of
/// `model.3.conv.weight[7389]` is 5e-7 of the tensor's root mean square, so its sign is rounding. In the fifth step
/// of plain SGD two values of an SPPF window tie to rounding, so the gradient goes to one pixel or the other. In
/// MobileNetV2, inputs of ReLU6s are nearer to 0 than float32 comes at that depth, so they let a gradient through
/// or not: in the first step value 1243 of `model.16.conv.0.2` (-1.25e-5 in double), in Adam's second one value
/// 1028 of `model.17.conv.1.2` (-7.1e-6). With one thread and with two, whatever the backend, the gradients of all
/// layers before these then differ by 0.3 % and by 1.4 %, those of the layers behind by 0.015 %. Which runs meet
/// this depends on the order of sums, that is on processor, threads and backend: with AVX-512 none of the 28 does on
/// two threads and four do on one, with AVX2 two and six (`GREENSWEEP_TEST_THREADS=1`, `DNNL_MAX_CPU_ISA=AVX2
/// OPENBLAS_CORETYPE=Haswell`). Therefore nineteen of twenty tensors have to be within the tolerance in every run,
/// all within ten times of it, and what lies beyond is reported as known.
@Suite("Golden: training steps")
struct TrainStepsTests {
  static let runCases = Runtime.availableBackends.flatMap { backend in
    ["yolov5n", "MobileNetv2"].flatMap { model in
      ["sgd", "adam", "adamw", "sgd_sparse_e0", "adam_sparse_e0", "adamw_sparse_e0", "sgd_sparse_e5"].map {
        (backend, "\(model)_\($0)")
      }
    }
  }

  @Test("Five steps", arguments: runCases)
  func fiveSteps(backend: Runtime.Backend, fixture: String) throws {
    let json = try Fixtures.json("train_steps/\(fixture).json")
    let setup = json["setup"]
    let model = String(try #require(fixture.split(separator: "_").first))
    let run = try Run(model, backend: backend)

    let groups = setup["groups_g0_bnweight_g1_weight_g2_bias"]
    let optimizer = Optimizer(
      try #require(OptimizerKind(rawValue: setup["optimizer"].string)), run.memory,
      decay: PerGroup(
        gammas: groups[0]["weight_decay"].double, weights: groups[1]["weight_decay"].double,
        biases: groups[2]["weight_decay"].double),
      beta1: setup["momentum_or_beta1"].double)
    let isSparse = fixture.contains("sparse")
    let update = ParameterUpdate(
      run.memory, optimizer: optimizer, gradientLimit: nil,
      sparsity: isSparse ? Sparsity(rate: setup["sparsity_rate"].double, epochs: setup["epochs"].int) : nil,
      sparing: Set(run.memory.network.sparsityExcludedBatchNorms))
    if isSparse { #expect(Set(json["ignored_bn"].strings) == Set(run.memory.network.sparsityExcludedBatchNorms)) }
    let settings = StepSettings(
      learningRates: PerGroup(
        gammas: groups[0]["lr"].double, weights: groups[1]["lr"].double, biases: groups[2]["lr"].double),
      momentum: setup["momentum_or_beta1"].double, accumulation: 1)

    for step in 0..<5 {
      let items = try run.gradients(step: step)
      let expected = json["losses"]["f64"][step].doubles
      let losses = [2 * items.sum, items.box, items.objectness, items.classification]
      let tolerance = 5 * json["losses"]["noise_per_step"][step].double + 1e-6
      let excess = zip(losses, expected).map { abs($0 - $1) / tolerance }.worst
      if step == 0 { #expect(excess <= 1, "losses of the first step") }
      check(excess, "losses of step \(step)")
      update.apply(settings, epoch: isSparse ? setup["epoch"].int : 0)
    }

    var (compared, outside) = (0, 0)
    let skipped = Set(json["parameters_with_zero_true_gradient"].strings)
    for (parameters, key) in [
      (run.memory.parameters(), "after_step5"), (update.average.parameters(), "ema_after_step5"),
    ] where json.has(key) {
      for (name, fingerprint) in json[key].object.sorted(by: { $0.key < $1.key }) {
        guard !skipped.contains(name), fingerprint.has("l2"), let tensor = parameters[name] else { continue }
        let excess = excess(tensor.values, fingerprint)
        compared += 1
        if excess > 1 { outside += 1 }
        check(excess, "\(key) \(name)")
      }
    }
    #expect(compared > 0 && outside * 20 <= compared, "\(outside) of \(compared) tensors are outside")
  }

  /// How many times the tolerance the worst of a tensor's norm and first values lies from the fixture's.
  private func excess(_ values: [Float], _ expected: Fixture) -> Double {
    let norm = values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    let l2 = expected["l2"].double
    let normTolerance = 5 * expected["noise_l2"].double + 1e-6 + 1e-6 * l2
    let tolerance = 5 * expected["noise_max"].double + 1e-6
    let off = zip(values, expected["first8"].floats).map { abs(Double($0) - Double($1)) / tolerance }
    return ([abs(norm - l2) / normTolerance] + off).worst
  }

  private func check(_ excess: Double, _ what: String) {
    #expect(excess <= 10, "\(what)")
    withKnownIssue("outside the reference's tolerance", isIntermittent: true) {
      #expect(excess <= 1, "\(what)")
    }
  }

  /// A network in training on the fixtures' images.
  private struct Run {
    private static let threads = ProcessInfo.processInfo.environment["GREENSWEEP_TEST_THREADS"].flatMap(Int.init) ?? 2
    let memory: ParameterMemory
    private let plan: TrainingPlan

    init(_ fixture: String, backend: Runtime.Backend) throws {
      let (network, parameters) = try goldenNetwork(fixture)
      memory = try ParameterMemory(network, parameters, runtime: Runtime(backend: backend, threads: Self.threads))
      plan = try TrainingPlan(memory, batchSize: 2, imageHeight: 64, imageWidth: 64)
    }

    func gradients(step: Int) throws -> LossItems {
      plan.forward(nhwc(DeterministicValues.images(name: "input.step\(step)")).values)
      let rows = try #require(
        Fixtures.safetensors("train_steps/targets.safetensors").tensors["targets.step\(step)"]
      ).tensor
      let targets = (0..<rows.shape[0]).map { row in
        let v = rows.values[(row * 6)..<(row * 6 + 6)].map { $0 }
        return Target(imageIndex: Int(v[0]), classIndex: Int(v[1]), cx: v[2], cy: v[3], w: v[4], h: v[5])
      }
      var loss = DetectionLoss(detect: memory.network.detect, imageSize: 64)
      let items = loss.evaluate(plan, targets: targets)
      plan.backward()
      return items
    }
  }
}

extension [Double] {
  /// The largest; NaN counts as infinite.
  fileprivate var worst: Double { lazy.map { $0.isNaN ? .infinity : $0 }.max() ?? 0 }
}
