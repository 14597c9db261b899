import Compute
import Dataset
import Evaluation
import Foundation
import JSON
import Pipeline
import Settings
import Sweep
import Training
import Wording

/// The time that a sweep's stages take on this machine, estimated from timings of its own training steps.
struct SweepEstimate {
  /// The time that a job takes besides its stage: starting its process and bringing its files there and back.
  static let secondsPerJob = 0.7
  /// How long each network is timed.
  static let secondsPerTiming = 2.0

  private let paces: [String: BackbonePace]
  private let trainingImages: Int
  private let validationImages: Int
  let workers: Int
  let threads: Int
  /// The power of the whole host while it trains; nil where that cannot be known.
  let watts: Double?

  /// Times the networks of a sweep, whole and most pruned, as many at once as there are workers.
  /// - Parameter machine: that of each worker.
  init(_ preparation: SweepPreparation, _ tree: StageTree, machine: Machine, workers: Int) throws {
    let data = TrainingData(
      training: preparation.contents[.train]?.images ?? [], validation: preparation.contents[.val]?.images ?? [],
      classNames: preparation.classNames, workers: max(1, machine.threads / 2))
    (trainingImages, validationImages) = (data.training.count, data.validation.count)
    self.workers = workers
    threads = machine.threads
    var energy = EnergyWindow(HostPower.source)
    let line = LiveLine()
    defer { line.clear() }
    let clock = ContinuousClock.now
    var paces: [String: BackbonePace] = [:]
    for backbone in preparation.spec.grid.backbone {
      line.show("timing \(backbone)")
      let nodes = tree.nodes.indices.filter { tree.trials[tree.nodes[$0].trial].backbone == backbone }
      guard let first = nodes.first(where: { tree.nodes[$0].stage == .train }),
        let request = try tree.trainRequest(of: first, preparation, machine: machine)
      else { continue }
      paces[backbone] = try BackbonePace(
        of: request.adapted(imageCount: trainingImages), on: data,
        amounts: Set(nodes.compactMap { tree.amount(ofNode: $0) }),
        passMachine: Machine(threads: preparation.spec.benchmark.threads, backend: machine.backend), copies: workers,
        seconds: Self.secondsPerTiming)
    }
    self.paces = paces
    watts = energy.joules().map { $0 / ((ContinuousClock.now - clock) / .seconds(1)) }
  }

  /// The jobs of a sweep of the same data, backbones and sizes, and their time.
  func forecast(_ tree: StageTree) -> SweepForecast {
    let speeds = paces.values.map(\.speedAlone)
    return SweepForecast(
      tree, seconds: tree.nodes.indices.map { seconds(of: $0, in: tree) }, workers: workers,
      speedAlone: speeds.isEmpty ? 1 : speeds.reduce(0, +) / Double(speeds.count))
  }

  private func seconds(of node: Int, in tree: StageTree) -> Double {
    guard let pace = paces[tree.trials[tree.nodes[node].trial].backbone] else { return 0 }
    let amount = tree.amount(ofNode: node)
    let training = pace.training(prunedBy: amount)
    func run(_ choices: Choices<some EpochStage>) -> Double {
      training.seconds(
        epochs: choices.epochs, batches: batches(trainingImages, choices.batchSize), validationImages: validationImages)
    }
    let own =
      switch tree.configuration(of: node) {
      case .train(let choices): run(choices)
      case .sparsify(let choices): run(choices)
      case .finetune(let choices):
        // The teacher takes no more than a validation of the whole network on every training image.
        run(choices)
          + (choices.distill == FinetuneStage.noTeacher
            ? 0
            : Double(choices.epochs * trainingImages) * pace.training(prunedBy: nil).secondsPerValidationImage)
      case .prune: pace.secondsToPrune
      case .evaluate: Double(validationImages) * training.secondsPerValidationImage
      case .benchmark(let choices):
        Double(choices.iterations + Self.warmUpPasses) * pace.secondsPerPass(prunedBy: amount)
      }
    return own + Self.secondsPerJob
  }

  private static let warmUpPasses = 10

  /// The assumptions behind the figures, a sentence each.
  var assumptions: [String] {
    var sentences = [
      "steps, validation and checkpoints were timed here and now, in \(counted(workers, "run")) at once on some of "
        + "the images",
      "pruned networks were timed with channels cut at random; between the whole and the smallest network time goes by "
        + "GFLOPs",
      "no run stops early, nothing of the sweep is done yet, the workers have the machine to themselves, and each job "
        + "takes \(Self.secondsPerJob) s besides its stage",
    ]
    if let obstacle = HostPower.source.obstacle { sentences.append("joules are unknown: \(obstacle)") }
    return sentences
  }
}

func batches(_ images: Int, _ batchSize: Int) -> Int { max(1, (images + batchSize - 1) / batchSize) }

extension StageTree {
  /// The run of a node with epochs, with the configuration as the sweep file says; nil for other nodes.
  func trainRequest(of node: Int, _ preparation: SweepPreparation, machine: Machine) throws -> TrainRequest? {
    let spec = submission.spec
    let backbone = trials[nodes[node].trial].backbone
    var inputs: [InputRole: String] = [.model: "the parent's model", .teacher: "the teacher's model"]
    if let weights = spec.train.weights[backbone] { inputs[.weights] = preparation.path(weights) }
    if SettingRule.isYAML(backbone) { inputs[.network] = preparation.path(backbone) }
    let configuration = configuration(of: node)
    if let hyp = spec.stages[configuration.stage].values["hyp"]?.string, SettingRule.isFile(hyp) {
      inputs[.hyp] = preparation.path(hyp)
    }
    let request = StageRequest(
      job: nodes[node].key, configuration: configuration, inputs: inputs, directory: "", threads: machine.threads,
      backend: machine.backend?.rawValue)
    return try request.trainRequest(on: preparation.path(spec.dataset))
  }

  /// How much has been pruned of the network that a node computes with; nil: nothing.
  func amount(ofNode node: Int) -> PruneAmount? {
    let (stage, trial) = (nodes[node].stage, trials[nodes[node].trial])
    guard trial.pruneRatio > 0, stage > .sparsify else { return nil }
    let prune = submission.spec.prune
    if let count = prune.targetParameters { return .target(.parameters(count)) }
    if let limit = prune.targetGFLOPs { return .target(.gflops(limit)) }
    let round = stage > .finetune ? prune.rounds : nodes[node].round
    return .ratio(trial.pruneRatio * Double(round) / Double(prune.rounds))
  }
}
