/// One pass of one convolution for the chunk sizes of a plan, in every lane.
final class ConvolutionRunner {
  let pass: ConvolutionPass
  let shape: ConvolutionShape
  let weightLayout: any WeightLayout
  /// A backend's kernels may share scratch memory, so each lane has a backend object of its own.
  private let backends: [any Backend]
  private let threads: Int
  /// `[lane][images]`.
  private var kernels: [[(any ConvolutionKernel)?]]

  /// - Parameter shape: of one image.
  init(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape, backends: [any Backend], threads: Int
  ) throws(ComputeError) {
    self.pass = pass
    self.shape = shape
    self.backends = backends
    self.threads = threads
    kernels = Array(repeating: [], count: backends.count)
    weightLayout = try backends[0].convolution(pass, shape.with(images: 1), threads: threads).weightLayout
  }

  func prepare(lane: Int, images: Int) throws(ComputeError) {
    while kernels[lane].count <= images { kernels[lane].append(nil) }
    guard kernels[lane][images] == nil else { return }
    let kernel = try backends[lane].convolution(pass, shape.with(images: images), threads: threads)
    guard kernel.weightLayout.identity == weightLayout.identity else {
      throw ComputeError("the backend lays out the weights of \(shape) differently for \(images) images")
    }
    kernels[lane][images] = kernel
  }

  func kernel(_ chunk: Chunk) -> any ConvolutionKernel {
    kernels[chunk.lane][chunk.count]!  // Prepared for every chunk of the stage.
  }
}
