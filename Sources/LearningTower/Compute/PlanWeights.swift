import Network

/// One convolution's weights and bias as a plan's kernels want them.
@safe final class PlanWeights {
  /// Weights in one layout: the parameter memory's own, or a copy that is made anew in every step.
  @safe final class Operand {
    let pointer: UnsafeMutablePointer<Float>
    /// Kept alive here; nil when `pointer` is into the parameter memory.
    private let copy: AlignedBuffer?
    private let source: UnsafeMutablePointer<Float>
    private let convert: WeightConverter?
    /// Work of making the copy.
    let count: Int

    init(_ slot: ParameterSlot, _ layout: any WeightLayout, memory: ParameterMemory) throws(ComputeError) {
      unsafe source = memory.values.pointer + slot.range.lowerBound
      if let own = slot.layout, own.identity != layout.identity {
        let copy = AlignedBuffer(count: layout.count)
        unsafe pointer = copy.pointer
        self.copy = copy
        unsafe convert = try layout.converter(from: own)
        count = layout.count
      } else {
        unsafe pointer = source
        copy = nil
        unsafe convert = nil
        count = 0
      }
    }

    var isCopy: Bool { copy != nil }

    func refresh() {
      guard let convert = unsafe convert else { return }
      unsafe convert(source, pointer)
    }
  }

  let slot: ParameterSlot
  let biasRange: Range<Int>?
  private let memory: ParameterMemory
  private(set) var operands: [Operand] = []

  init(node: String, hasBias: Bool, memory: ParameterMemory) throws(ComputeError) {
    guard let slot = memory.slot("\(node).weight") else {
      throw ComputeError("\(node).weight is not in the parameter memory")
    }
    self.slot = slot
    self.memory = memory
    biasRange = hasBias ? memory.range(of: "\(node).bias") : nil
  }

  var bias: UnsafePointer<Float>? {
    unsafe biasRange.map { unsafe UnsafePointer(memory.values.pointer + $0.lowerBound) }
  }

  func operand(_ layout: any WeightLayout) throws(ComputeError) -> Operand {
    if let known = operands.first(where: { !$0.isCopy }), slot.layout?.identity == layout.identity { return known }
    let operand = try Operand(slot, layout, memory: memory)
    operands.append(operand)
    return operand
  }
}
