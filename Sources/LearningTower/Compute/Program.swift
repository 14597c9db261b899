internal import CKernels
import Network

/// Channels of a planned map: `shape.channels` floats of every pixel, `stride` floats from one pixel to the next,
/// starting `offset` floats into the buffer's first pixel.
struct MapView: Hashable {
  var buffer: Int
  var offset = 0
  var stride: Int
  var shape: MapShape

  var isDense: Bool { stride == shape.channels }
  /// Per image.
  var pixels: Int { shape.height * shape.width }

  func channels(_ range: Range<Int>) -> MapView {
    var part = self
    part.offset += range.lowerBound
    part.shape.channels = range.count
    return part
  }
}

/// The images that one lane takes through a stage at a time.
struct Chunk {
  let lane: Int
  let first: Int
  let count: Int
  /// Of the lane, in this stage.
  let isFirst: Bool
  /// How many images of the lane's chunk stand before `first`: only `images` makes chunks where it is not zero.
  var skipped = 0

  /// One by one.
  var images: some Sequence<Chunk> {
    (0..<count).lazy.map { Chunk(lane: lane, first: first + $0, count: 1, isFirst: isFirst && $0 == 0, skipped: $0) }
  }

  func rows(_ view: MapView) -> Int { count * view.pixels }
}

/// What a plan runs: stages of steps over planned memory.
///
/// The batch is divided among *lanes*, one thread each, once and for all. Within a stage a lane takes its images in
/// chunks that stay in cache, each through all steps of the stage; lanes meet only at the end of a stage, which is
/// where sums over the whole batch (batch-norm statistics) become known. So a map that lives within one stage is a
/// lane's scratch of chunk size, and only what a later stage reads is stored for the whole batch.
@safe final class Program {
  struct Stage {
    /// Runs before the chunks, in every lane: work on parameters, divided among the lanes.
    var prologue: [(Program, _ lane: Int) -> Void] = []
    var steps: [(Program, Chunk) -> Void] = []
    /// By lane.
    var chunks: [[Chunk]] = []
    /// Runs after all lanes have finished.
    var epilogue: [(Program) -> Void] = []
  }

  enum Location {
    /// For the whole batch: floats from the arena's start and from one image to the next.
    case stored(offset: Int, imageStride: Int)
    /// For a chunk: floats from the start of the lane's scratch.
    case scratch(offset: Int, imageStride: Int)
    /// One for every lane.
    case perLane(offset: Int, laneStride: Int)
  }

  let lanes: Int
  let threadsPerLane: Int
  let stages: [Stage]
  private let locations: [Location]
  private let arena: AlignedBuffer
  private let scratch: [AlignedBuffer]

  /// The images of the current run: one of the two is set. Borrowed for its duration.
  var inputBytes: UnsafePointer<UInt8>?
  var inputFloats: UnsafePointer<Float>?
  /// Whether the current run adds to the gradients.
  var accumulates = false
  private var current = 0

  init(
    lanes: Int, threadsPerLane: Int, stages: [Stage], locations: [Location], arenaCount: Int, scratchCount: Int
  ) {
    self.lanes = lanes
    self.threadsPerLane = threadsPerLane
    self.stages = stages
    self.locations = locations
    arena = AlignedBuffer(count: arenaCount)
    scratch = (0..<lanes).map { _ in AlignedBuffer(count: scratchCount) }
    unsafe inputBytes = nil
    unsafe inputFloats = nil
  }

  func run(_ range: Range<Int>) {
    let before = ck_thread_count()
    ck_set_thread_count(Int32(threadsPerLane))
    for index in range {
      current = index
      // The program outlives the call, which returns when all lanes have.
      unsafe ck_parallel(Int32(lanes), Unmanaged.passUnretained(self).toOpaque()) { context, lane in
        unsafe Unmanaged<Program>.fromOpaque(context!).takeUnretainedValue().runLane(Int(lane))
      }
      for task in stages[index].epilogue { task(self) }
    }
    ck_set_thread_count(before)
  }

  private func runLane(_ lane: Int) {
    let stage = stages[current]
    for task in stage.prologue { task(self, lane) }
    for chunk in stage.chunks[lane] {
      for step in stage.steps { step(self, chunk) }
    }
  }

  /// The first value of a view for the first image of a chunk.
  func pointer(_ view: MapView, _ chunk: Chunk) -> UnsafeMutablePointer<Float> {
    switch locations[view.buffer] {
    case .stored(let offset, let imageStride):
      unsafe arena.pointer + (offset + chunk.first * imageStride + view.offset)
    case .scratch(let offset, let imageStride):
      unsafe scratch[chunk.lane].pointer + (offset + chunk.skipped * imageStride + view.offset)
    case .perLane(let offset, let laneStride): unsafe arena.pointer + (offset + chunk.lane * laneStride + view.offset)
    }
  }

  func pointer(laneBuffer: Int, lane: Int) -> UnsafeMutablePointer<Float> {
    guard case .perLane(let offset, let laneStride) = locations[laneBuffer] else {
      preconditionFailure("buffer \(laneBuffer) is not one per lane")
    }
    return unsafe arena.pointer + (offset + lane * laneStride)
  }

  /// A dense map of the whole batch that outlives its stage.
  func storedMap(_ view: MapView, images: Int) -> UnsafeMutableBufferPointer<Float> {
    guard case .stored(let offset, let imageStride) = locations[view.buffer], view.isDense else {
      preconditionFailure("buffer \(view.buffer) is not stored densely")
    }
    return unsafe UnsafeMutableBufferPointer(start: arena.pointer + offset, count: images * imageStride)
  }
}
