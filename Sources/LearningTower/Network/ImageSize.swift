/// Returns why the side of square images is wrong, with the nearest sides that are right; nil if it is right.
/// - Parameters:
///   - size: pixels.
///   - stride: the network's coarsest one, in pixels.
public func imageSizeProblem(_ size: Int, stride: Int) -> String? {
  let largest = 8192 / stride * stride
  guard !(stride...largest).contains(size) || size % stride != 0 else { return nil }
  let below = min(max(size / stride * stride, stride), largest)
  let above = min(below == size / stride * stride ? below + stride : below, largest)
  let sizes = below == above ? "\(below)" : "\(below) or \(above)"
  return "image size \(size) is not a multiple of \(stride) pixels up to \(largest): use \(sizes)"
}
