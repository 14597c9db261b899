import Synchronization

/// Decoded images fitted to one size, kept in memory as long as a bound allows; what does not fit is read again each
/// time. Which images are kept may depend on the order of reading, what they hold does not.
final class ImageCache: Sendable {
  private struct State {
    var images: [Image?]
    var freeBytes: Int
  }

  private let paths: [String]
  private let longSide: Int
  private let isTraining: Bool
  private let state: Mutex<State>

  /// - Parameters:
  ///   - longSide: pixels of the longer side.
  ///   - isTraining: says how images are shrunk, see `Image.fitted`.
  init(paths: [String], longSide: Int, isTraining: Bool, maximumBytes: Int) {
    self.paths = paths
    self.longSide = longSide
    self.isTraining = isTraining
    state = Mutex(State(images: Array(repeating: nil, count: paths.count), freeBytes: maximumBytes))
  }

  func image(_ index: Int) throws(DatasetError) -> Image {
    if let image = state.withLock({ $0.images[index] }) { return image }
    let image = try ImageFile.read(paths[index]).fitted(longSide: longSide, isTraining: isTraining)
    state.withLock { state in
      guard state.images[index] == nil, image.pixels.count <= state.freeBytes else { return }
      state.images[index] = image
      state.freeBytes -= image.pixels.count
    }
    return image
  }
}
