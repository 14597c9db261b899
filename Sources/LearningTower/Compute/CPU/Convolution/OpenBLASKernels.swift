internal import CKernels
internal import COpenBLAS
import Network

/// A depthwise convolution, directly.
final class DepthwiseKernel: ConvolutionKernel {
  let weightLayout: WeightLayout
  private let pass: ConvolutionPass
  private let shape: ConvolutionShape
  private let threads: Int

  init(_ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int) {
    weightLayout = .matrix(shape)
    self.pass = pass
    self.shape = shape
    self.threads = threads
  }

  func run(
    input: UnsafeMutableRawPointer, weights: UnsafeMutableRawPointer, bias: UnsafePointer<Float>?,
    output: UnsafeMutableRawPointer
  ) {
    let (input, output) = unsafe (
      input.assumingMemoryBound(to: Float.self), output.assumingMemoryBound(to: Float.self)
    )
    let weights = unsafe weights.assumingMemoryBound(to: Float.self)
    ck_set_thread_count(Int32(threads))
    let channels = shape.inputChannels
    let window = shape.window(channels: channels)
    let (x, y) = unsafe (map(input, stride: channels), map(output, stride: channels))
    // Sound: the caller's memory has the shapes that the protocol states.
    switch pass {
    case .forward(_, let activation):
      unsafe ck_depthwise(y, x, weights, bias, window)
      if activation != nil {
        let rows = shape.images * shape.outputHeight * shape.outputWidth
        unsafe ck_activate(y, y, rows, channels, activation.kernel)
      }
    case .backwardData:
      unsafe ck_depthwise_backward_input(x, y, weights, window)
    case .backwardWeights:
      unsafe ck_depthwise_backward_weights(weights, y, x, window)
    }
  }
}

/// Any other convolution, as products of matrices: `M` output pixels, `K` = kernel·kernel·I/groups values a window, `O`
/// output channels. Of X (`M × K`, the windows), W (`O × K`) and Y (`M × O`): forward Y = X·Wᵀ, backward data X = Y·W,
/// backward weights W = Yᵀ·X, each per group.
final class ProductKernel: ConvolutionKernel {
  let weightLayout: WeightLayout
  private let pass: ConvolutionPass
  private let shape: ConvolutionShape
  private let threads: Int
  private let scratch: Scratch

  private let pixels: Int
  private let windowSize: Int
  private let groupInputs: Int
  private let groupOutputs: Int
  /// The input already is the matrix of windows.
  private let isPointwise: Bool
  /// Rows gathered at a time: enough for `sgemm` to earn back its packing, few enough to stay in a cache.
  private let rowsAtOnce: Int
  /// Threads share out output channels instead of pixels: for few pixels and many channels.
  private let sharesChannels: Bool
  private var scratchPerThread: Int {
    (isPointwise ? 0 : rowsAtOnce * windowSize) + (sumsPerThread ? shape.weightCount : 0)
  }
  /// Backward weights: each thread sums over its own pixels, and the sums are joined afterwards.
  private var sumsPerThread: Bool { pass == .backwardWeights && !sharesChannels && threads > 1 }

  init(_ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int, scratch: Scratch) {
    weightLayout = .matrix(shape)
    self.pass = pass
    self.shape = shape
    self.threads = threads
    self.scratch = scratch
    pixels = shape.images * shape.outputHeight * shape.outputWidth
    groupInputs = shape.inputChannels / shape.groups
    groupOutputs = shape.outputChannels / shape.groups
    windowSize = shape.kernel * shape.kernel * groupInputs
    isPointwise = shape.kernel == 1 && shape.stride == 1 && shape.padding == 0
    let fitting = min(max(131_072 / windowSize, 192), 4096)
    switch pass {
    case .forward:
      rowsAtOnce = min(fitting, pixels)
      sharesChannels = shape.groups == 1 && pixels < 64 * threads && groupOutputs >= 16 * threads
    case .backwardData:
      // Whole lines of windows.
      rowsAtOnce = max(fitting / shape.outputWidth, 1) * shape.outputWidth
      sharesChannels = isPointwise && shape.groups == 1 && pixels < 64 * threads && groupInputs >= 16 * threads
    case .backwardWeights:
      rowsAtOnce = min(fitting, pixels)
      sharesChannels = shape.groups == 1 && groupOutputs >= 16 * threads && pixels < 2 * groupOutputs * threads
    }
    scratch.reserve(threads * scratchPerThread)
  }

  func run(
    input: UnsafeMutableRawPointer, weights: UnsafeMutableRawPointer, bias: UnsafePointer<Float>?,
    output: UnsafeMutableRawPointer
  ) {
    let (input, output) = unsafe (
      input.assumingMemoryBound(to: Float.self), output.assumingMemoryBound(to: Float.self)
    )
    let weights = unsafe weights.assumingMemoryBound(to: Float.self)
    let scratch = unsafe self.scratch.buffer.pointer
    parallel(threads) { part in
      // Sound: each part has scratch of its own and writes its own pixels, lines or channels.
      let own = unsafe scratch + part * scratchPerThread
      let rows = sharesChannels ? 0..<pixels : share(part, of: threads, pixels)
      switch pass {
      case .forward(_, let activation):
        let channels = sharesChannels ? share(part, of: threads, groupOutputs) : 0..<groupOutputs
        unsafe forward(rows, channels, input, weights, bias, activation, output, own)
      case .backwardData:
        if isPointwise {
          let channels = sharesChannels ? share(part, of: threads, groupInputs) : 0..<groupInputs
          unsafe backwardPoints(rows, channels, input, weights, output)
        } else {
          let lines = share(part, of: threads, shape.images * shape.inputHeight)
          unsafe backwardLines(lines, input, weights, output, own)
        }
      case .backwardWeights:
        let channels = sharesChannels ? share(part, of: threads, groupOutputs) : 0..<groupOutputs
        let sums = unsafe sumsPerThread ? own + (scratchPerThread - shape.weightCount) : weights
        unsafe backwardWeights(rows, channels, input, sums, output, own)
      }
    }
    if sumsPerThread { unsafe joinSums(scratch, into: weights) }
  }

  private func joinSums(_ scratch: UnsafeMutablePointer<Float>, into weights: UnsafeMutablePointer<Float>) {
    let count = shape.weightCount
    ck_set_thread_count(Int32(threads))
    for thread in 0..<threads {
      let sums = unsafe scratch + (thread + 1) * scratchPerThread - count
      let (total, part) = unsafe (map(weights, stride: count), map(sums, stride: count))
      if thread == 0 {
        unsafe ck_copy(total, part, 1, count)
      } else {
        unsafe ck_add(total, total, part, 1, count)
      }
    }
  }

  /// The windows of `rows` of a group as a matrix, and the distance between its rows.
  private func windows(
    _ rows: Range<Int>, group: Int, _ input: UnsafeMutablePointer<Float>, _ own: UnsafeMutablePointer<Float>
  ) -> (UnsafeMutablePointer<Float>, stride: Int) {
    let groupInput = unsafe input + group * groupInputs
    if isPointwise { return unsafe (groupInput + rows.lowerBound * shape.inputChannels, shape.inputChannels) }
    unsafe ck_gather_windows(
      own, map(groupInput, stride: shape.inputChannels), shape.window(channels: groupInputs), rows.lowerBound,
      rows.upperBound)
    return unsafe (own, windowSize)
  }

  private func forEachChunk(_ rows: Range<Int>, _ body: (Range<Int>) -> Void) {
    var first = rows.lowerBound
    while first < rows.upperBound {
      let end = min(first + rowsAtOnce, rows.upperBound)
      body(first..<end)
      first = end
    }
  }

  private func forward(
    _ rows: Range<Int>, _ channels: Range<Int>, _ input: UnsafeMutablePointer<Float>,
    _ weights: UnsafeMutablePointer<Float>, _ bias: UnsafePointer<Float>?, _ activation: Activation?,
    _ output: UnsafeMutablePointer<Float>, _ own: UnsafeMutablePointer<Float>
  ) {
    let stride = shape.outputChannels
    forEachChunk(rows) { rows in
      for group in 0..<shape.groups {
        let (x, xStride) = unsafe windows(rows, group: group, input, own)
        let channel = group * groupOutputs + channels.lowerBound
        unsafe multiply(
          x, xStride, .asIs, weights + channel * windowSize, windowSize, .transposed,
          into: output + rows.lowerBound * stride + channel, stride, accumulate: false,
          rows: rows.count, columns: channels.count, inner: windowSize)
      }
      guard unsafe bias != nil || activation != nil else { return }
      // All groups' channels, or this thread's share where there is one group.
      let (first, count) = sharesChannels ? (channels.lowerBound, channels.count) : (0, stride)
      let y = unsafe map(output + rows.lowerBound * stride + first, stride: stride)
      unsafe ck_normalize_activate(
        ck_normalize_args(
          dst: y, src: y, residual: ck_map(), mean: nil, scale: nil, shift: bias.map { unsafe $0 + first },
          rows: rows.count, channels: count, activation: activation.kernel))
    }
  }

  private func backwardPoints(
    _ rows: Range<Int>, _ channels: Range<Int>, _ input: UnsafeMutablePointer<Float>,
    _ weights: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>
  ) {
    for group in 0..<shape.groups {
      let channel = group * groupInputs + channels.lowerBound
      unsafe multiply(
        output + rows.lowerBound * shape.outputChannels + group * groupOutputs, shape.outputChannels, .asIs,
        weights + group * groupOutputs * windowSize + channels.lowerBound, windowSize, .asIs,
        into: input + rows.lowerBound * shape.inputChannels + channel, shape.inputChannels, accumulate: false,
        rows: rows.count, columns: channels.count, inner: groupOutputs)
    }
  }

  /// Writes input lines `lines` (counted over the images), from every output line whose windows touch them. Output
  /// lines near a border between two threads are multiplied by both, so that nobody adds to another's lines.
  private func backwardLines(
    _ lines: Range<Int>, _ input: UnsafeMutablePointer<Float>, _ weights: UnsafeMutablePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, _ own: UnsafeMutablePointer<Float>
  ) {
    let lineSize = shape.inputWidth * shape.inputChannels
    unsafe (input + lines.lowerBound * lineSize).update(repeating: 0, count: lines.count * lineSize)
    let (height, outHeight, outWidth) = (shape.inputHeight, shape.outputHeight, shape.outputWidth)
    let linesAtOnce = rowsAtOnce / outWidth
    var line = lines.lowerBound
    while line < lines.upperBound {
      let image = line / height
      let end = min((image + 1) * height, lines.upperBound)
      // Output line o reads input lines o·stride − padding ..< o·stride − padding + kernel.
      let (top, bottom) = (line - image * height + shape.padding, end - 1 - image * height + shape.padding)
      let first = top < shape.kernel ? 0 : (top - shape.kernel) / shape.stride + 1
      let last = min(bottom / shape.stride + 1, outHeight)
      for start in stride(from: min(first, last), to: last, by: linesAtOnce) {
        let outLines = (image * outHeight + start)..<(image * outHeight + min(start + linesAtOnce, last))
        for group in 0..<shape.groups {
          unsafe multiply(
            output + outLines.lowerBound * outWidth * shape.outputChannels + group * groupOutputs,
            shape.outputChannels, .asIs, weights + group * groupOutputs * windowSize, windowSize, .asIs,
            into: own, windowSize, accumulate: false,
            rows: outLines.count * outWidth, columns: windowSize, inner: groupOutputs)
          for outLine in outLines {
            unsafe ck_scatter_windows(
              map(input + group * groupInputs, stride: shape.inputChannels),
              own + (outLine - outLines.lowerBound) * outWidth * windowSize, shape.window(channels: groupInputs),
              outLine, line, end)
          }
        }
      }
      line = end
    }
  }

  private func backwardWeights(
    _ rows: Range<Int>, _ channels: Range<Int>, _ input: UnsafeMutablePointer<Float>,
    _ sums: UnsafeMutablePointer<Float>, _ output: UnsafeMutablePointer<Float>, _ own: UnsafeMutablePointer<Float>
  ) {
    if rows.isEmpty { unsafe sums.update(repeating: 0, count: shape.weightCount) }
    forEachChunk(rows) { chunk in
      for group in 0..<shape.groups {
        let (x, xStride) = unsafe windows(chunk, group: group, input, own)
        let channel = group * groupOutputs + channels.lowerBound
        unsafe multiply(
          output + chunk.lowerBound * shape.outputChannels + channel, shape.outputChannels, .transposed, x, xStride,
          .asIs, into: sums + channel * windowSize, windowSize, accumulate: chunk.lowerBound > rows.lowerBound,
          rows: channels.count, columns: windowSize, inner: chunk.count)
      }
    }
  }
}

private func map(_ values: UnsafeMutablePointer<Float>, stride: Int) -> ck_map {
  unsafe ck_map(data: values, stride: stride, element: .CK_FLOAT32)
}

private enum Orientation {
  case asIs, transposed
  var blas: CBLAS_TRANSPOSE { self == .asIs ? CblasNoTrans : CblasTrans }
}

/// C = A·B or C += A·B, each row-major with its distance between rows.
private func multiply(
  _ a: UnsafePointer<Float>, _ aStride: Int, _ aOrientation: Orientation, _ b: UnsafePointer<Float>, _ bStride: Int,
  _ bOrientation: Orientation, into c: UnsafeMutablePointer<Float>, _ cStride: Int, accumulate: Bool, rows: Int,
  columns: Int, inner: Int
) {
  guard rows > 0, columns > 0 else { return }
  unsafe cblas_sgemm(
    CblasRowMajor, aOrientation.blas, bOrientation.blas, Int32(rows), Int32(columns), Int32(inner), 1, a,
    Int32(aStride), b, Int32(bStride), accumulate ? 1 : 0, c, Int32(cStride))
}
