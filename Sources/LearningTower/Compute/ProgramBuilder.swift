import Network

/// Collects steps with what they read and write, then lays out memory and divides the batch.
final class ProgramBuilder {
  private enum Size {
    case perImage(Int)
    case perLane(Int)
  }

  private struct Buffer {
    var size: Size
    /// The first stage in which its contents are complete so far.
    var ready = 0
    var firstStage = Int.max
    var lastStage = Int.min
    var steps: [Int] = []
    /// Read from outside between stages.
    var isPinned = false

    mutating func use(in stage: Int) {
      firstStage = min(firstStage, stage)
      lastStage = max(lastStage, stage)
    }
  }

  private struct Step {
    var stage: Int
    var body: (Program, Chunk) -> Void
    var buffers: [Int]
    var convolution: ConvolutionRunner?
  }

  let images: Int
  let lanes: Int
  let threadsPerLane: Int
  private var buffers: [Buffer] = []
  private var steps: [Step] = []
  private var prologues: [Int: [(Program, Int) -> Void]] = [:]
  private var epilogues: [Int: [(Program) -> Void]] = [:]
  private(set) var stageCount = 1

  /// Bytes that a chunk's maps may take: about what a core has of the last-level cache.
  private static let chunkBytes = 2 << 20

  init(images: Int, threads: Int) {
    self.images = images
    lanes = min(threads, images)
    // A single image is divided inside each convolution instead.
    threadsPerLane = lanes == 1 ? threads : 1
  }

  // MARK: Buffers

  func map(_ shape: MapShape) -> MapView {
    buffers.append(Buffer(size: .perImage(shape.count)))
    return MapView(buffer: buffers.count - 1, stride: shape.channels, shape: shape)
  }

  /// A buffer of `count` floats for every lane, kept across stages.
  func laneBuffer(count: Int) -> Int {
    buffers.append(Buffer(size: .perLane(count)))
    return buffers.count - 1
  }

  func ready(_ view: MapView) -> Int { buffers[view.buffer].ready }

  /// Keeps a map alive in `stage` and stored for the whole batch.
  func pin(_ view: MapView, stage: Int) {
    buffers[view.buffer].isPinned = true
    buffers[view.buffer].use(in: stage)
  }

  /// Declares that a map is written from outside before `stage`.
  func provide(_ view: MapView, stage: Int) {
    pin(view, stage: stage)
    buffers[view.buffer].ready = stage
  }

  func use(laneBuffer: Int, stage: Int) { buffers[laneBuffer].use(in: stage) }

  // MARK: Steps

  /// - Parameters:
  ///   - stage: not before the stage in which each of `reads` is ready.
  ///   - writes: also what the step adds to, which then stands in `reads` too.
  func step(
    _ stage: Int, reads: [MapView], writes: [MapView], laneBuffers: [Int] = [], convolution: ConvolutionRunner? = nil,
    _ body: @escaping (Program, Chunk) -> Void
  ) {
    for view in reads {
      precondition(buffers[view.buffer].ready <= stage, "a step of stage \(stage) reads what is not there yet")
    }
    for view in writes { buffers[view.buffer].ready = max(buffers[view.buffer].ready, stage) }
    let touched = Set(reads.map(\.buffer) + writes.map(\.buffer) + laneBuffers).sorted()
    for buffer in touched {
      buffers[buffer].use(in: stage)
      buffers[buffer].steps.append(steps.count)
    }
    steps.append(Step(stage: stage, body: body, buffers: touched, convolution: convolution))
    stageCount = max(stageCount, stage + 1)
  }

  func prologue(_ stage: Int, _ body: @escaping (Program, _ lane: Int) -> Void) {
    prologues[stage, default: []].append(body)
    stageCount = max(stageCount, stage + 1)
  }

  func epilogue(_ stage: Int, _ body: @escaping (Program) -> Void) {
    epilogues[stage, default: []].append(body)
    stageCount = max(stageCount, stage + 1)
  }

  // MARK: Layout

  func build() throws(ComputeError) -> Program {
    // Stable: within a stage steps run in the order in which they were added.
    let order = steps.indices.sorted { (steps[$0].stage, $0) < (steps[$1].stage, $1) }
    var position = Array(repeating: 0, count: steps.count)
    for (place, step) in order.enumerated() { position[step] = place }

    let laneImages = (0..<lanes).map { images * $0 / lanes..<images * ($0 + 1) / lanes }
    let chunkImages = (0..<stageCount).map(chunkImages)
    var locations = Array(repeating: Program.Location.scratch(offset: 0, imageStride: 0), count: buffers.count)
    var stored = MemoryLayoutPlanner()
    var scratch = MemoryLayoutPlanner()
    for (index, buffer) in buffers.enumerated() where buffer.firstStage <= buffer.lastStage {
      switch buffer.size {
      case .perLane(let count):
        stored.add(index, count: count.paddedToLine * lanes, buffer.firstStage...buffer.lastStage)
      case .perImage(let count) where buffer.isPinned || buffer.firstStage < buffer.lastStage:
        stored.add(index, count: count * images, buffer.firstStage...buffer.lastStage)
      case .perImage(let count):
        let places = buffer.steps.map { position[$0] }
        scratch.add(index, count: count * chunkImages[buffer.firstStage], places.min()!...places.max()!)
      }
    }
    for (index, offset) in stored.offsets() {
      switch buffers[index].size {
      case .perLane(let count): locations[index] = .perLane(offset: offset, laneStride: count.paddedToLine)
      case .perImage(let count): locations[index] = .stored(offset: offset, imageStride: count)
      }
    }
    for (index, offset) in scratch.offsets() {
      guard case .perImage(let count) = buffers[index].size else { continue }
      locations[index] = .scratch(offset: offset, imageStride: count)
    }

    var stages = Array(repeating: Program.Stage(), count: stageCount)
    for index in stages.indices {
      stages[index].prologue = prologues[index] ?? []
      stages[index].epilogue = epilogues[index] ?? []
      stages[index].chunks = laneImages.enumerated().map { lane, range in
        Self.chunks(of: range, lane: lane, size: chunkImages[index])
      }
    }
    for index in order {
      let step = steps[index]
      stages[step.stage].steps.append(step.body)
      if let convolution = step.convolution {
        for chunk in stages[step.stage].chunks.joined() {
          try convolution.prepare(lane: chunk.lane, images: chunk.count)
        }
      }
    }
    return Program(
      lanes: lanes, threadsPerLane: threadsPerLane, stages: stages, locations: locations, arenaCount: stored.count,
      scratchCount: scratch.count)
  }

  private func chunkImages(_ stage: Int) -> Int {
    let touched = Set(steps.filter { $0.stage == stage }.flatMap(\.buffers))
    let bytes = touched.reduce(0) { sum, index in
      if case .perImage(let count) = buffers[index].size { sum + count * MemoryLayout<Float>.stride } else { sum }
    }
    let perLane = (images + lanes - 1) / lanes
    return min(max(Self.chunkBytes / max(bytes, 1), 1), perLane)
  }

  /// As few chunks of at most `size` images as there can be, as equal as they can be.
  private static func chunks(of range: Range<Int>, lane: Int, size: Int) -> [Chunk] {
    let count = (range.count + size - 1) / size
    return (0..<count).map { index in
      let first = range.lowerBound + range.count * index / count
      let end = range.lowerBound + range.count * (index + 1) / count
      return Chunk(lane: lane, first: first, count: end - first, isFirst: index == 0)
    }
  }
}

extension Int {
  /// Up to the next multiple of a cache line's 16 floats.
  var paddedToLine: Int { (self + 15) / 16 * 16 }
}

/// Offsets for buffers such that those alive at the same time do not overlap: largest first, each at the lowest place
/// that is free for all of its life.
struct MemoryLayoutPlanner {
  private struct Request {
    var id: Int
    var count: Int
    var life: ClosedRange<Int>
    var offset = 0

    var end: Int { offset + count }
  }

  private var requests: [Request] = []
  /// Floats needed in all; known after `offsets()`.
  private(set) var count = 0

  mutating func add(_ id: Int, count: Int, _ life: ClosedRange<Int>) {
    requests.append(Request(id: id, count: max(count, 1).paddedToLine, life: life))
  }

  mutating func offsets() -> [(id: Int, offset: Int)] {
    var placed: [Request] = []
    for var request in requests.sorted(by: { ($1.count, $0.id) < ($0.count, $1.id) }) {
      for other in placed where other.life.overlaps(request.life) {
        // `placed` is in order of offset: the first gap that is wide enough ends the search.
        if other.offset >= request.offset + request.count { break }
        request.offset = max(request.offset, other.end)
      }
      let place = placed.firstIndex { $0.offset > request.offset } ?? placed.count
      placed.insert(request, at: place)
      count = max(count, request.end)
    }
    return placed.map { ($0.id, $0.offset) }
  }
}
