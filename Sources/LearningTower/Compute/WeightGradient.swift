internal import CKernels
import Network

/// Sums one convolution's weight (and bias) gradient: over a lane's chunks into the lane's own memory, then over the
/// lanes, in their order, into the parameter memory.
final class WeightGradient {
  private let weights: PlanWeights
  private let layout: any WeightLayout
  private let memory: ParameterMemory
  private let builder: ProgramBuilder
  private let sum: Int
  private let addend: Int
  private let bias: Int?

  init(_ weights: PlanWeights, layout: any WeightLayout, memory: ParameterMemory, builder: ProgramBuilder) {
    self.weights = weights
    self.layout = layout
    self.memory = memory
    self.builder = builder
    sum = builder.laneBuffer(count: layout.count)
    addend = builder.laneBuffer(count: layout.count)
    bias = weights.biasRange.map { builder.laneBuffer(count: $0.count) }
  }

  var laneBuffers: [Int] { [sum, addend] + (bias.map { [$0] } ?? []) }

  /// - Parameter compute: overwrites its argument with the chunk's gradient.
  func add(_ program: Program, _ chunk: Chunk, _ compute: (UnsafeMutablePointer<Float>) -> Void) {
    let total = unsafe program.pointer(laneBuffer: sum, lane: chunk.lane)
    if chunk.isFirst { return unsafe compute(total) }
    let part = unsafe program.pointer(laneBuffer: addend, lane: chunk.lane)
    unsafe compute(part)
    unsafe ck_join_parts(total, part, 0, 1, layout.count, true)
  }

  func addBias(_ program: Program, _ chunk: Chunk, output: UnsafePointer<Float>, rows: Int) {
    guard let bias, let range = weights.biasRange else { return }
    unsafe ck_sum_rows(
      program.pointer(laneBuffer: bias, lane: chunk.lane), output, range.count, rows, range.count, !chunk.isFirst)
  }

  /// Joins the lanes in the stage after `stage`, each lane an equal part.
  func finish(after stage: Int) throws(ComputeError) {
    builder.use(laneBuffer: sum, stage: stage + 1)
    if let own = weights.slot.layout, own.identity != layout.identity {
      try convertAndAdd(own, stage: stage + 1)
    } else {
      join(sum, into: weights.slot.range, stage: stage + 1)
    }
    if let bias, let range = weights.biasRange {
      builder.use(laneBuffer: bias, stage: stage + 1)
      join(bias, into: range, stage: stage + 1)
    }
  }

  private func join(_ buffer: Int, into range: Range<Int>, stage: Int) {
    let stride = range.count.paddedToLine
    let memory = memory
    builder.prologue(stage) { program, lane in
      let part = range.part(lane, of: program.lanes)
      unsafe ck_join_parts(
        memory.gradients.pointer + range.lowerBound + part.lowerBound,
        program.pointer(laneBuffer: buffer, lane: 0) + part.lowerBound, stride, Int32(program.lanes), part.count,
        program.accumulates)
    }
  }

  /// Where the kernel's layout is not the parameter memory's: one lane does it all.
  private func convertAndAdd(_ own: any WeightLayout, stage: Int) throws(ComputeError) {
    let convert = unsafe try own.converter(from: layout)
    let (total, converted) = (AlignedBuffer(count: layout.count), AlignedBuffer(count: own.count))
    let (buffer, memory, range, count) = (sum, memory, weights.slot.range, layout.count)
    builder.prologue(stage) { program, lane in
      guard lane == 0 else { return }
      unsafe ck_join_parts(
        total.pointer, program.pointer(laneBuffer: buffer, lane: 0), count.paddedToLine, Int32(program.lanes), count,
        false)
      unsafe convert(total.pointer, converted.pointer)
      unsafe ck_join_parts(
        memory.gradients.pointer + range.lowerBound, converted.pointer, 0, 1, converted.count, program.accumulates)
    }
  }
}

extension Range<Int> {
  /// One of `parts` nearly equal parts, from 0 on, cut on cache lines.
  fileprivate func part(_ index: Int, of parts: Int) -> Range<Int> {
    let cut = { (index: Int) in index == parts ? count : count * index / parts / 16 * 16 }
    return cut(index)..<cut(index + 1)
  }
}
