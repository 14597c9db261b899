import Network

/// One convolution over a fixed number of images. Input `N × H × W × I`, output `N × OH × OW × O`, both dense NHWC.
/// Gradients of maps are of the maps' elements, gradients of weights always float32.
struct ConvolutionShape: Sendable, Hashable {
  var images: Int
  var inputHeight: Int
  var inputWidth: Int
  var inputChannels: Int
  var outputChannels: Int
  var kernel: Int
  var stride: Int
  var padding: Int
  var groups: Int
  /// The element of the input and the weights.
  var element = Element.float32
  var outputElement = Element.float32

  init(_ convolution: Convolution, images: Int, inputHeight: Int, inputWidth: Int) {
    self.images = images
    self.inputHeight = inputHeight
    self.inputWidth = inputWidth
    inputChannels = convolution.inputChannels
    outputChannels = convolution.outputChannels
    kernel = convolution.kernel
    stride = convolution.stride
    padding = convolution.padding
    groups = convolution.groups
  }

  /// A matrix product is a 1×1 convolution of a 1×1 map.
  init(_ linear: Linear, images: Int) {
    self.init(
      Convolution(linear.inputCount, linear.outputCount, hasBias: linear.hasBias), images: images, inputHeight: 1,
      inputWidth: 1)
  }

  var outputHeight: Int { (inputHeight + 2 * padding - kernel) / stride + 1 }
  var outputWidth: Int { (inputWidth + 2 * padding - kernel) / stride + 1 }
  /// Values of `O × I/groups × kH × kW`, the plain layout.
  var weightCount: Int { outputChannels * (inputChannels / groups) * kernel * kernel }
  var isDepthwise: Bool { groups > 1 && groups == inputChannels && groups == outputChannels }

  func with(images: Int) -> ConvolutionShape {
    var copy = self
    copy.images = images
    return copy
  }

  /// The same with maps and weights of an element.
  func with(element: Element, output: Element? = nil) -> ConvolutionShape {
    var copy = self
    (copy.element, copy.outputElement) = (element, output ?? element)
    return copy
  }
}
