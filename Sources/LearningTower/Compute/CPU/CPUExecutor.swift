internal import CKernels
import Network

/// Runs a program on the processor's cores, a lane on each: the only caller of the kernels and of a convolution
/// library.
///
/// All that it needs is allocated when it is made. Another executor (for a GPU, say) takes the same programs.
@safe final class CPUExecutor {
  let program: Program
  private let memory: ParameterMemory
  private let arena: AlignedBuffer
  private let scratch: [AlignedBuffer]
  /// The starts of the parameter memory's buffers. A program without backward pass has no gradients.
  private let values: UnsafeMutableRawPointer
  private let gradients: UnsafeMutableRawPointer?
  private let statistics: UnsafeMutableRawPointer
  /// `[convolution][lane][images]`.
  private let kernels: [[[(any ConvolutionKernel)?]]]
  private let converters: [WeightConverter]

  /// The images of the current run, borrowed for its duration.
  private var input = Input.none
  /// Whether the current run adds to the gradients.
  private var accumulates = false
  private var current = 0
  /// Set while runs are timed.
  var stopwatch: Stopwatch?

  @safe enum Input {
    case none
    case bytes(UnsafePointer<UInt8>)
    case floats(UnsafePointer<Float>)
  }

  init(_ program: Program, _ memory: ParameterMemory) throws(ComputeError) {
    self.program = program
    self.memory = memory
    arena = AlignedBuffer(bytes: program.arenaBytes)
    scratch = program.lanes.map { _ in AlignedBuffer(bytes: program.scratchBytes) }
    unsafe values = UnsafeMutableRawPointer(memory.values.pointer)
    unsafe statistics = UnsafeMutableRawPointer(memory.statistics.pointer)
    let hasGradients = program.steps.contains { step in
      step.instruction.operands.writes.contains { $0.buffer == ProgramBuilder.gradients }
    }
    unsafe gradients = hasGradients ? UnsafeMutableRawPointer(memory.gradients.pointer) : nil
    kernels = try Self.kernels(of: program, memory.runtime)
    converters = program.conversions.map { $1.converter(from: $0) }
  }

  private static func kernels(
    of program: Program, _ runtime: Runtime
  ) throws(ComputeError) -> [[[(any ConvolutionKernel)?]]] {
    // Kernels of a library may share scratch memory, so each lane has a library object of its own.
    let libraries = program.lanes.map { _ in runtime.makeConvolutionLibrary() }
    let none = [(any ConvolutionKernel)?](repeating: nil, count: program.images + 1)
    var kernels = program.convolutions.map { _ in libraries.map { _ in none } }
    for stage in program.stages {
      for index in Set(program.steps[stage.steps].compactMap(\.instruction.convolution)) {
        let planned = program.convolutions[index]
        for chunk in stage.chunks.joined() where kernels[index][chunk.lane][chunk.count] == nil {
          let shape = planned.shape.with(images: chunk.count)
          let kernel = try libraries[chunk.lane].convolution(
            planned.pass, shape, threads: program.threadsPerLane, weights: planned.weightLayout)
          guard kernel.weightLayout.identity == planned.weightLayout.identity else {
            throw ComputeError("the weights of \(shape) are laid out differently for \(chunk.count) images")
          }
          kernels[index][chunk.lane][chunk.count] = kernel
        }
      }
    }
    return kernels
  }

  // MARK: Running

  /// Runs some stages.
  /// - Parameters:
  ///   - input: must outlive the call.
  ///   - accumulates: add to the gradients instead of overwriting them.
  func run(_ stages: Range<Int>, _ input: Input = .none, accumulates: Bool = false) {
    self.input = input
    self.accumulates = accumulates
    let before = ck_thread_count()
    ck_set_thread_count(Int32(program.threadsPerLane))
    for index in stages {
      current = index
      stopwatch?.begin()
      // The executor outlives the call, which returns when all lanes have.
      unsafe ck_parallel(Int32(program.lanes.count), Unmanaged.passUnretained(self).toOpaque()) { context, lane in
        unsafe Unmanaged<CPUExecutor>.fromOpaque(context!).takeUnretainedValue().runLane(Int(lane))
      }
      stopwatch?.join()
      runSteps(program.stages[index].after, ImageChunk(lane: 0))
      stopwatch?.join()
    }
    ck_set_thread_count(before)
    self.input = .none
  }

  private func runLane(_ lane: Int) {
    let stage = program.stages[current]
    stopwatch?.lap(lane, nil)
    runSteps(stage.before, ImageChunk(lane: lane))
    for chunk in stage.chunks[lane] { runSteps(stage.steps, chunk) }
  }

  private func runSteps(_ range: Range<Int>, _ chunk: ImageChunk) {
    for index in range {
      run(program.steps[index].instruction, chunk)
      stopwatch?.lap(chunk.lane, index)
    }
  }

  private func run(_ instruction: Instruction, _ chunk: ImageChunk) {
    let images = chunk.count
    func map(_ view: View) -> ck_map {
      unsafe ck_map(data: pointer(view, chunk), stride: view.stride, element: view.element.kernel)
    }
    func mapIfAny(_ view: View?) -> ck_map { unsafe view.map { unsafe map($0) } ?? ck_map() }
    func floats(_ view: View) -> UnsafeMutablePointer<Float> { unsafe self.floats(view, chunk) }
    func raw(_ view: View) -> UnsafeMutableRawPointer { unsafe pointer(view, chunk) }
    switch instruction {
    case .input(let to):
      let first = chunk.first * to.shape.count
      switch input {
      case .bytes(let bytes): unsafe ck_unit_from_bytes(map(to), bytes + first, chunk.rows(to), to.channels)
      case .floats(let values):
        let from = unsafe UnsafeMutablePointer(mutating: values + first)  // Only read.
        unsafe ck_copy(
          map(to), ck_map(data: from, stride: to.channels, element: .CK_FLOAT32), chunk.rows(to), to.channels)
      case .none: preconditionFailure("a program's first stage needs images")
      }
    case .convolve(let index, let x, let weights, let bias, let to):
      unsafe kernel(index, chunk).run(
        input: raw(x), weights: raw(weights), bias: bias.map { unsafe UnsafePointer(floats($0)) }, output: raw(to))
    case .convolveBackward(let index, let gradient, let weights, let to):
      unsafe kernel(index, chunk).run(input: raw(to), weights: raw(weights), bias: nil, output: raw(gradient))
    case .weightGradient(let index, let x, let gradient, let sum, let addend):
      let part = chunk.isFirst ? sum : addend
      unsafe kernel(index, chunk).run(input: raw(x), weights: raw(part), bias: nil, output: raw(gradient))
      if !chunk.isFirst { unsafe ck_join_parts(floats(sum), floats(addend), 0, 1, sum.channels, true) }
    case .biasGradient(let gradient, let sum):
      unsafe ck_sum_rows(floats(sum), map(gradient), chunk.rows(gradient), gradient.channels, !chunk.isFirst)
    case .activate(let x, let activation, let to):
      unsafe ck_activate(map(to), map(x), chunk.rows(x), x.channels, activation.kernel)
    case .activateBackward(let gradient, let x, let activation, let to, let adds):
      unsafe ck_activate_backward(
        map(to), map(gradient), map(x), chunk.rows(x), x.channels, activation.kernel, adds)
    case .copy(let x, let to): unsafe ck_copy(map(to), map(x), chunk.rows(x), x.channels)
    case .add(let a, let b, let to): unsafe ck_add(map(to), map(a), map(b), chunk.rows(a), a.channels)
    case .zero(let view): unsafe ck_fill(map(view), chunk.rows(view), view.channels, 0)
    case .upsample(let x, let factor, let to):
      unsafe ck_upsample(map(to), map(x), images * x.shape.height, x.shape.width, x.channels, factor)
    case .upsampleBackward(let gradient, let factor, let to, let adds):
      unsafe ck_upsample_backward(
        map(to), map(gradient), images * to.shape.height, to.shape.width, to.channels, factor, adds)
    case .shuffle(let x, let groups, let to): unsafe ck_shuffle(map(to), map(x), chunk.rows(x), x.channels, groups)
    case .shuffleBackward(let gradient, let groups, let to, let adds):
      unsafe ck_shuffle_backward(map(to), map(gradient), chunk.rows(to), to.channels, groups, adds)
    case .maxPool(let x, let pool, let winner, let to):
      unsafe ck_max_pool(map(to), winner.map { unsafe bytes($0, chunk) }, map(x), pool.window(x, to, images))
    case .maxPoolBackward(let gradient, let winner, let pool, let to, let adds):
      unsafe ck_max_pool_backward(
        map(to), map(gradient), bytes(winner, chunk), pool.window(to, gradient, images), adds)
    case .averagePool(let x, let pool, let to): unsafe ck_average_windows(map(to), map(x), pool.window(x, to, images))
    case .averagePoolBackward(let gradient, let pool, let to, let adds):
      unsafe ck_average_windows_backward(map(to), map(gradient), pool.window(to, gradient, images), adds)
    case .globalAveragePool(let x, let to): unsafe ck_average_pool(map(to), map(x), images, x.pixels, x.channels)
    case .globalAveragePoolBackward(let gradient, let to, let adds):
      unsafe ck_average_pool_backward(map(to), map(gradient), images, to.pixels, to.channels, adds)
    case .scale(let x, let factors, let to):
      unsafe ck_scale_channels(map(to), map(x), map(factors), images, x.pixels, x.channels)
    case .factorGradient(let gradient, let x, let to):
      unsafe ck_sum_products(map(to), map(gradient), map(x), images, x.pixels, x.channels)

    case .statistics(let x, let norm):
      unsafe ck_statistics(
        moments(norm, chunk.lane, images: chunk.first - program.lanes[chunk.lane].lowerBound, x.pixels), map(x),
        chunk.rows(x), x.channels)
    case .normalize(let x, let norm, let activation, let residual, let to):
      unsafe ck_normalize_activate(
        ck_normalize_args(
          dst: map(to), src: map(x), residual: mapIfAny(residual), mean: coefficient(.mean, norm),
          scale: coefficient(.scale, norm), shift: coefficient(.shift, norm), rows: chunk.rows(x),
          channels: x.channels, activation: activation.kernel))
    case .normalizeBackward(let gradient, let z, let norm, let activation, let du, let activated):
      let sums = unsafe doubles(norm.sums, chunk)
      if chunk.isFirst { unsafe sums.update(repeating: 0, count: norm.sums.channels) }
      unsafe ck_batch_norm_backward_reduce(
        ck_batch_norm_reduce_args(
          du: mapIfAny(du), activated: mapIfAny(activated), sum_du: sums, sum_du_centred: sums + z.channels,
          gradient: map(gradient), z: map(z), mean: coefficient(.mean, norm), scale: coefficient(.scale, norm),
          shift: coefficient(.shift, norm), rows: chunk.rows(z), channels: z.channels, activation: activation.kernel))
    case .normalizeBackwardApply(let du, let z, let norm, let to):
      unsafe ck_batch_norm_backward_apply(
        ck_batch_norm_apply_args(
          dst: map(to), du: map(du), z: map(z), mean: coefficient(.mean, norm), by_du: factor(.byGradient, norm),
          by_z: factor(.byValue, norm), constant: factor(.constant, norm), rows: chunk.rows(z),
          channels: z.channels))

    case .convertWeights(let index, let weights, let to, let lane):
      if chunk.lane == lane { unsafe converters[index].run(floats(weights), raw(to)) }
    case .joinLanes(let sums, let to): joinLanes(sums, into: to, part: chunk.lane)
    case .joinLanesConverting(let index, let sums, let total, let converted, let to):
      guard chunk.lane == 0 else { return }
      let lanes = Int32(program.lanes.count)
      unsafe ck_join_parts(floats(total), floats(sums), laneStride(sums), lanes, total.channels, false)
      unsafe converters[index].run(floats(total), floats(converted))
      unsafe ck_join_parts(floats(to), floats(converted), 0, 1, converted.channels, accumulates)
    case .fixBatchNorm(let norm):
      if chunk.lane == 0 { fix(norm) }
    case .finishStatistics(let norm, let pixels): finishStatistics(norm, pixels)
    case .finishNormalizeBackward(let norm, let pixels): finishBackward(norm, pixels)
    }
  }

  private func kernel(_ index: Int, _ chunk: ImageChunk) -> any ConvolutionKernel {
    kernels[index][chunk.lane][chunk.count]!  // Made for every chunk of the stage.
  }

  /// One of as many nearly equal parts as there are lanes, cut on cache lines.
  private func joinLanes(_ sums: View, into gradient: View, part: Int) {
    let (count, lanes) = (sums.channels, program.lanes.count)
    func cut(_ index: Int) -> Int { index == lanes ? count : count * index / lanes / 16 * 16 }
    let (first, end) = (cut(part), cut(part + 1))
    unsafe ck_join_parts(
      floats(gradient, ImageChunk(lane: 0)) + first, floats(sums, ImageChunk(lane: 0)) + first, laneStride(sums),
      Int32(lanes),
      end - first, accumulates)
  }

  private func laneStride(_ view: View) -> Int { program.buffers[view.buffer].stride / view.element.bytes }
}

// MARK: Batch norms

extension CPUExecutor {
  private func coefficient(
    _ row: BatchNormViews.Coefficient, _ norm: BatchNormViews
  ) -> UnsafeMutablePointer<Float> {
    unsafe floats(norm.coefficients, ImageChunk(lane: 0)) + row.rawValue * norm.operation.channels
  }

  private func factor(_ row: BatchNormViews.Factor, _ norm: BatchNormViews) -> UnsafeMutablePointer<Float> {
    unsafe floats(norm.factors, ImageChunk(lane: 0)) + row.rawValue * norm.operation.channels
  }

  /// A lane's statistics of `images` images.
  private func moments(_ norm: BatchNormViews, _ lane: Int, images: Int, _ pixels: Int) -> ck_moments {
    let sums = unsafe doubles(norm.sums, ImageChunk(lane: lane))
    return unsafe ck_moments(mean: sums, deviation: sums + norm.operation.channels, count: images * pixels)
  }

  private func finishStatistics(_ norm: BatchNormViews, _ pixels: Int) {
    var total = unsafe moments(norm, 0, images: program.lanes[0].count, pixels)
    for lane in program.lanes.indices.dropFirst() {
      let other = unsafe moments(norm, lane, images: program.lanes[lane].count, pixels)
      unsafe ck_merge_statistics(total, other, norm.operation.channels)
      unsafe total.count += other.count
    }
    let here = ImageChunk(lane: 0)
    unsafe ck_batch_norm_finish(
      ck_batch_norm_finish_args(
        batch_mean: coefficient(.mean, norm), inverse_deviation: coefficient(.inverseDeviation, norm),
        scale: coefficient(.scale, norm), shift: coefficient(.shift, norm), running_mean: floats(norm.mean, here),
        running_variance: floats(norm.variance, here), moments: total, gamma: floats(norm.gamma, here),
        beta: floats(norm.beta, here), epsilon: norm.operation.epsilon, momentum: norm.operation.momentum,
        channels: norm.operation.channels))
  }

  private func finishBackward(_ norm: BatchNormViews, _ pixels: Int) {
    let (sums, channels, here) = unsafe (
      doubles(norm.sums, ImageChunk(lane: 0)), norm.operation.channels, ImageChunk(lane: 0)
    )
    for lane in program.lanes.indices.dropFirst() {
      let other = unsafe doubles(norm.sums, ImageChunk(lane: lane))
      for c in 0..<2 * channels { unsafe sums[c] += other[c] }
    }
    unsafe ck_batch_norm_backward_finish(
      ck_batch_norm_backward_finish_args(
        gamma_gradient: floats(norm.gamma.gradient, here), beta_gradient: floats(norm.beta.gradient, here),
        by_du: factor(.byGradient, norm), by_z: factor(.byValue, norm),
        constant: factor(.constant, norm), sum_du: sums, sum_du_centred: sums + channels,
        count: program.images * pixels, gamma: floats(norm.gamma, here),
        inverse_deviation: coefficient(.inverseDeviation, norm), channels: channels, accumulate: accumulates))
  }

  private func fix(_ norm: BatchNormViews) {
    let here = ImageChunk(lane: 0)
    let (gamma, beta) = unsafe (floats(norm.gamma, here), floats(norm.beta, here))
    let (mean, variance) = unsafe (floats(norm.mean, here), floats(norm.variance, here))
    for c in 0..<norm.operation.channels {
      let scale = unsafe Double(gamma[c]) / (Double(variance[c]) + Double(norm.operation.epsilon)).squareRoot()
      unsafe coefficient(.mean, norm)[c] = 0
      unsafe coefficient(.scale, norm)[c] = Float(scale)
      unsafe coefficient(.shift, norm)[c] = Float(Double(beta[c]) - Double(mean[c]) * scale)
    }
  }
}

// MARK: Memory

extension CPUExecutor {
  /// The first value of a view for the first image of a chunk, or of its lane.
  private func pointer(_ view: View, _ chunk: ImageChunk) -> UnsafeMutableRawPointer {
    let buffer = program.buffers[view.buffer]
    let base: UnsafeMutableRawPointer =
      switch buffer.home {
      case .values: unsafe values
      case .gradients: unsafe gradients!  // There whenever a step writes them.
      case .statistics: unsafe statistics
      case .arena: unsafe UnsafeMutableRawPointer(arena.pointer)
      case .scratch: unsafe UnsafeMutableRawPointer(scratch[chunk.lane].pointer)
      }
    let index =
      switch buffer.scope {
      // A lane's scratch starts with the chunk.
      case .image: buffer.home == .scratch ? 0 : chunk.first
      case .lane: chunk.lane
      case .plan: 0
      }
    return unsafe base + (buffer.offset + index * buffer.stride + view.offset * view.element.bytes)
  }

  private func floats(_ view: View, _ chunk: ImageChunk) -> UnsafeMutablePointer<Float> {
    assert(view.element == .float32)
    return unsafe pointer(view, chunk).assumingMemoryBound(to: Float.self)
  }

  private func doubles(_ view: View, _ chunk: ImageChunk) -> UnsafeMutablePointer<Double> {
    assert(view.element == .float64)
    return unsafe pointer(view, chunk).assumingMemoryBound(to: Double.self)
  }

  private func bytes(_ view: View, _ chunk: ImageChunk) -> UnsafeMutablePointer<UInt8> {
    assert(view.element == .uint8)
    return unsafe pointer(view, chunk).assumingMemoryBound(to: UInt8.self)
  }

  /// A dense map of the whole batch that outlives its stage.
  func storedMap(_ view: View) -> UnsafeMutableBufferPointer<Float> {
    let buffer = program.buffers[view.buffer]
    precondition(buffer.home == .arena && view.isDense, "buffer \(view.buffer) is not stored densely")
    return unsafe UnsafeMutableBufferPointer(
      start: floats(view, ImageChunk(lane: 0)), count: program.images * view.shape.count)
  }
}

extension Activation? {
  var kernel: ck_activation {
    switch self {
    case nil: .CK_IDENTITY
    case .silu: .CK_SILU
    case .relu: .CK_RELU
    case .relu6: .CK_RELU6
    case .hardSwish: .CK_HARD_SWISH
    case .hardSigmoid: .CK_HARD_SIGMOID
    case .sigmoid: .CK_SIGMOID
    }
  }
}

extension Activation {
  fileprivate var kernel: ck_activation { Optional(self).kernel }
}

extension Element {
  /// That of a map; the others are no maps of a plan.
  var kernel: ck_element { self == .bfloat16 ? .CK_BFLOAT16 : .CK_FLOAT32 }
}

extension Pool {
  fileprivate func window(_ input: View, _ output: View, _ images: Int) -> ck_window {
    ck_window(
      images: images, height: input.shape.height, width: input.shape.width, channels: input.channels,
      out_height: output.shape.height, out_width: output.shape.width, kernel: kernel, stride: stride,
      padding: padding)
  }
}
