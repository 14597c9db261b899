internal import CKernels
internal import COpenBLAS
import Network

/// Convolutions as matrix products. A window of the input becomes a row of a matrix, a few hundred rows at a time; each
/// thread of the pool gathers rows of its own and multiplies them with OpenBLAS's single-threaded `sgemm`, so the rows
/// stay in its cache and no second pool competes for the cores. Depthwise convolutions, which as products would be all
/// overhead, have kernels of their own.
///
/// The kernels of one object share scratch memory: run one at a time.
final class OpenBLAS: ConvolutionLibrary {
  private let scratch = Scratch()

  init() { _ = Self.singleThreaded }

  func convolution(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, threads: Int, weights: WeightLayout?
  ) throws(ComputeError) -> any ConvolutionKernel {
    guard shape.outputHeight > 0, shape.outputWidth > 0, shape.images > 0, shape.groups > 0,
      shape.inputChannels % shape.groups == 0, shape.outputChannels % shape.groups == 0
    else { throw ComputeError("OpenBLAS cannot run a convolution of shape \(shape)") }
    return shape.isDepthwise
      ? DepthwiseKernel(pass, shape, threads: threads)
      : ProductKernel(pass, shape, threads: threads, scratch: scratch)
  }

  private static let singleThreaded: Void = openblas_set_num_threads(1)
}

/// Memory for gathered rows and partial sums, as large as the most demanding kernel needs.
final class Scratch {
  private(set) var buffer = AlignedBuffer(count: 0)

  func reserve(_ count: Int) {
    if count > buffer.count { buffer = AlignedBuffer(count: count) }
  }
}

extension WeightLayout {
  /// `O × kH × kW × I/groups`, a row of a matrix per output channel; tap-major `kH × kW × C` if it is depthwise.
  static func matrix(_ shape: ConvolutionShape) -> WeightLayout {
    let (inputs, kernel) = (shape.inputChannels / shape.groups, shape.kernel)
    let strides =
      shape.isDepthwise
      ? [1, 1, kernel * shape.outputChannels, shape.outputChannels]
      : [kernel * kernel * inputs, 1, kernel * inputs, inputs]
    return WeightLayout(
      Blocking(sizes: [shape.outputChannels, inputs, kernel, kernel], strides: strides), .float32)
  }
}

extension ConvolutionShape {
  /// As the kernels take it, for `channels` of the input.
  func window(channels: Int) -> ck_window {
    ck_window(
      images: images, height: inputHeight, width: inputWidth, channels: channels, out_height: outputHeight,
      out_width: outputWidth, kernel: kernel, stride: stride, padding: padding)
  }
}
