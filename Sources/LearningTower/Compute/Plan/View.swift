import Network

/// The type of the values of a view. It stands here and nowhere else: a plan of another precision has other views, for
/// which an executor has other kernels.
enum Element: String, Hashable, Sendable {
  case float32, float64, uint8, bfloat16

  var bytes: Int {
    switch self {
    case .float32: 4
    case .float64: 8
    case .uint8: 1
    case .bfloat16: 2
    }
  }
}

/// An operand of a step: `shape.channels` values of every pixel of a map, `stride` values from one pixel to the next,
/// starting `offset` values into the buffer. Parameters and sums are maps of one pixel.
struct View: Hashable, Sendable {
  var buffer: Int
  var offset = 0
  var stride: Int
  /// The shape for one image, where the buffer holds one map per image.
  var shape: MapShape
  var element = Element.float32

  var isDense: Bool { stride == shape.channels }
  /// Per image.
  var pixels: Int { shape.height * shape.width }
  var channels: Int { shape.channels }

  func channels(_ range: Range<Int>) -> View {
    var part = self
    part.offset += range.lowerBound
    part.shape.channels = range.count
    return part
  }
}

extension View: CustomStringConvertible {
  /// Buffer, offset and shape, and what is unlike most views.
  var description: String {
    "#\(buffer)" + (offset == 0 ? "" : "+\(offset)") + " \(shape.height)×\(shape.width)×\(channels)"
      + (isDense || pixels == 1 ? "" : " by \(stride)") + (element == .float32 ? "" : " \(element)")
  }
}

/// The place of a buffer's memory. Together with a view and the images at hand it gives the operand of a step.
struct Buffer: Hashable, Sendable {
  enum Home: String, Hashable, Sendable {
    /// The three buffers of the parameter memory.
    case values, gradients, statistics
    /// The plan's memory for the whole batch.
    case arena
    /// A lane's memory for the images of a chunk.
    case scratch
  }

  /// Whether there is one for each image, for each lane, or for the whole plan.
  enum Scope: String, Hashable, Sendable { case image, lane, plan }

  var home: Home
  var scope: Scope
  /// Bytes from the start of the home.
  var offset = 0
  /// Bytes from one image or lane to the next.
  var stride = 0
}
