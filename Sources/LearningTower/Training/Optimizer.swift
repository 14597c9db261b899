import Compute
import Network

/// The rule by which gradients change parameters; the names are those of PyTorch.
public enum OptimizerKind: String, Sendable, Hashable, Codable, CaseIterable {
  case sgd = "SGD"
  case adam = "Adam"
  case adamW = "AdamW"
}

/// Updates the parameters of a `ParameterMemory` from its gradients, exactly as PyTorch's SGD (Nesterov), Adam and
/// AdamW.
public final class Optimizer {
  public let kind: OptimizerKind
  /// Weight decay; YOLOv5 decays weights only. Adam adds it to the gradient, AdamW to the step.
  public let decay: PerGroup
  /// The decay of the gradients' mean in Adam and AdamW; YOLOv5 takes the hyper-parameter `momentum`. beta2 is 0.999
  /// and epsilon 1e-8.
  public let beta1: Double
  /// How many updates were made.
  public private(set) var updateCount = 0

  private let memory: ParameterMemory
  private let elementwise: Elementwise
  private let segments: [Segment]
  /// SGD: the momenta. Adam: the means of the gradients and of their squares.
  private let state: [(name: String, buffer: AlignedBuffer)]

  /// A range of the memory that is updated with one learning rate and one decay.
  struct Segment {
    var range: Range<Int>
    var group: KeyPath<PerGroup, Double>
  }

  /// - Parameter frozen: ranges of the memory that are left as they are.
  public init(
    _ kind: OptimizerKind, _ memory: ParameterMemory, decay: PerGroup, beta1: Double = 0.937,
    frozen: [Range<Int>] = []
  ) {
    self.kind = kind
    self.memory = memory
    elementwise = Elementwise(memory.runtime)
    self.decay = decay
    self.beta1 = beta1
    let groups: [(Range<Int>, KeyPath<PerGroup, Double>)] = [
      (memory.gammas, \.gammas), (memory.decayedWeights, \.weights), (memory.biasesAndBetas, \.biases),
    ]
    segments = groups.flatMap { range, group in
      range.subtracting(frozen).map { Segment(range: $0, group: group) }
    }
    let names = kind == .sgd ? ["momentum"] : ["mean", "square"]
    state = names.map { ($0, AlignedBuffer(count: memory.count)) }
  }

  /// The Euclidean norm of all gradients that are not frozen.
  public func gradientNorm() -> Double {
    segments.reduce(0.0) { sum, segment in
      let norm = elementwise.norm(memory.gradients, range: segment.range)
      return sum + norm * norm
    }.squareRoot()
  }

  /// Scales the gradients down to a norm of `limit` if they exceed it (PyTorch's `clip_grad_norm_`).
  public func clipGradients(toNorm limit: Double) {
    let factor = Float(limit / (gradientNorm() + 1e-6))
    guard factor < 1 else { return }
    elementwise.multiply(memory.gradients, range: 0..<memory.count, by: factor)
  }

  /// One update. SGD uses `momentum`, Adam its `beta1`.
  public func update(learningRates: PerGroup, momentum: Double) {
    updateCount += 1
    for segment in segments {
      let rate = learningRates[keyPath: segment.group]
      let decay = decay[keyPath: segment.group]
      switch kind {
      case .sgd:
        elementwise.sgd(
          memory.values, momenta: state[0].buffer, gradients: memory.gradients, range: segment.range, rate: rate,
          momentum: momentum, decay: decay, isFirstStep: updateCount == 1)
      case .adam, .adamW:
        elementwise.adam(
          memory.values, means: state[0].buffer, squares: state[1].buffer, gradients: memory.gradients,
          range: segment.range, rate: rate, beta1: beta1, decay: decay, isDecayDecoupled: kind == .adamW,
          step: updateCount)
      }
    }
  }
}

extension Optimizer {
  /// Returns the state that a checkpoint keeps: `optimizer.STATE.NAME` for every parameter.
  public func savedState() -> [String: Tensor] {
    var saved: [String: Tensor] = [:]
    for (name, buffer) in state {
      for (parameter, tensor) in memory.tensors(in: buffer) { saved["\(name).\(parameter)"] = tensor }
    }
    return saved
  }

  /// - Throws: `ComputeError` naming a tensor that is missing or has another shape.
  public func restore(_ saved: [String: Tensor], updateCount: Int) throws {
    for (name, buffer) in state {
      let prefix = name + "."
      let tensors = saved.filter { $0.key.hasPrefix(prefix) }
      try memory.load(
        Dictionary(uniqueKeysWithValues: tensors.map { (String($0.key.dropFirst(prefix.count)), $0.value) }),
        into: buffer)
    }
    self.updateCount = updateCount
  }
}

extension Range<Int> {
  /// Returns the parts of the range outside `holes`, in order.
  func subtracting(_ holes: [Range<Int>]) -> [Range<Int>] {
    var rest: [Range<Int>] = []
    var start = lowerBound
    for hole in holes.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      let hole = hole.clamped(to: self)
      guard !hole.isEmpty else { continue }
      if start < hole.lowerBound { rest.append(start..<hole.lowerBound) }
      start = Swift.max(start, hole.upperBound)
    }
    if start < upperBound { rest.append(start..<upperBound) }
    return rest
  }
}
