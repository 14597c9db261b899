import Network

/// Collects steps, then lays out the memory of their views and divides the batch.
final class ProgramBuilder {
  private struct Draft {
    var scope: Buffer.Scope
    /// The size for one image or lane.
    var bytes: Int
    /// The first stage in which its contents are complete so far.
    var ready = 0
    var firstStage = Int.max
    var lastStage = Int.min
    /// The steps that touch it.
    var steps: [Int] = []
    /// Read from outside between stages.
    var isPinned = false

    mutating func use(in stage: Int) {
      firstStage = min(firstStage, stage)
      lastStage = max(lastStage, stage)
    }
  }

  let network: Network
  let images: Int
  let lanes: Int
  let threadsPerLane: Int
  /// The element of maps and their gradients.
  let element: Element
  private let library: any ConvolutionLibrary
  /// All buffers; the first three are the parameter memory's.
  private var drafts: [Draft]
  private var steps: [Step] = []
  private var convolutions: [PlannedConvolution] = []
  private var conversions: [(from: WeightLayout, to: WeightLayout)] = []
  private(set) var stageCount = 1

  static let homes: [Buffer.Home] = [.values, .gradients, .statistics]
  static let gradients = 1

  /// Bytes that a chunk's maps may take: about what a core has of the last-level cache.
  private static let chunkBytes = 2 << 20

  init(_ network: Network, images: Int, runtime: Runtime) {
    self.network = network
    self.images = images
    lanes = min(runtime.threads, images)
    // A single image is divided inside each convolution instead.
    threadsPerLane = lanes == 1 ? runtime.threads : 1
    element = runtime.precision.element
    library = runtime.makeConvolutionLibrary()
    drafts = Self.homes.map { _ in Draft(scope: .plan, bytes: 0) }
  }

  // MARK: Views

  /// A map for every image, one behind the other without gaps. Without an element it is of the plan's.
  func map(_ shape: MapShape, _ element: Element? = nil) -> View {
    let element = element ?? self.element
    return view(shape, element, .image, bytes: shape.count * element.bytes)
  }

  /// A vector for every lane, or one for the whole plan.
  func vector(_ count: Int, _ element: Element = .float32, each scope: Buffer.Scope) -> View {
    view(
      MapShape(channels: count, height: 1, width: 1), element, scope, bytes: (count * element.bytes).paddedToLine)
  }

  private func view(_ shape: MapShape, _ element: Element, _ scope: Buffer.Scope, bytes: Int) -> View {
    drafts.append(Draft(scope: scope, bytes: bytes))
    return View(buffer: drafts.count - 1, stride: shape.channels, shape: shape, element: element)
  }

  /// A range of the parameter memory.
  func parameter(_ range: Range<Int>, in home: Buffer.Home = .values) -> View {
    View(
      buffer: Self.homes.firstIndex(of: home)!, offset: range.lowerBound, stride: range.count,
      shape: MapShape(channels: range.count, height: 1, width: 1))
  }

  func ready(_ view: View) -> Int { drafts[view.buffer].ready }

  /// Keeps a map alive in `stage` and stored for the whole batch.
  func pin(_ view: View, stage: Int) {
    drafts[view.buffer].isPinned = true
    drafts[view.buffer].use(in: stage)
  }

  /// Declares that a map is written from outside before `stage`.
  func provide(_ view: View, stage: Int) {
    pin(view, stage: stage)
    drafts[view.buffer].ready = stage
  }

  // MARK: Convolutions

  /// The number and the weights' layout of a convolution, which equal ones share.
  /// - Parameter shape: of one image.
  func convolution(
    _ pass: ConvolutionPass, _ shape: ConvolutionShape
  ) throws(ComputeError) -> (index: Int, layout: WeightLayout) {
    if let known = convolutions.firstIndex(where: { $0.pass == pass && $0.shape == shape }) {
      return (known, convolutions[known].weightLayout)
    }
    let layout = try library.convolution(pass, shape, threads: threadsPerLane).weightLayout
    convolutions.append(PlannedConvolution(pass: pass, shape: shape, weightLayout: layout))
    return (convolutions.count - 1, layout)
  }

  func conversion(from: WeightLayout, to: WeightLayout) -> Int {
    conversions.append((from, to))
    return conversions.count - 1
  }

  // MARK: Steps

  /// - Parameter stage: not before the stage in which each view that is read is ready.
  func emit(_ instruction: Instruction, stage: Int, node: Int) {
    let (reads, writes) = instruction.operands
    for view in reads {
      precondition(drafts[view.buffer].ready <= stage, "a step of stage \(stage) reads what is not there yet")
    }
    for view in writes where view.buffer >= Self.homes.count {
      drafts[view.buffer].ready = max(drafts[view.buffer].ready, stage)
    }
    for buffer in Set((reads + writes).map(\.buffer)) {
      drafts[buffer].use(in: stage)
      drafts[buffer].steps.append(steps.count)
    }
    steps.append(Step(instruction: instruction, stage: stage, node: node))
    stageCount = max(stageCount, stage + 1)
  }

  // MARK: Layout

  func build() -> Program {
    // Stable: within a stage steps run in the order in which they were added.
    let order = steps.indices.sorted {
      (steps[$0].stage, steps[$0].instruction.phase.rawValue, $0)
        < (steps[$1].stage, steps[$1].instruction.phase.rawValue, $1)
    }
    let ordered = order.map { steps[$0] }
    let laneImages = (0..<lanes).map { images * $0 / lanes..<images * ($0 + 1) / lanes }
    let chunkSizes = (0..<stageCount).map(chunkImages)
    let (buffers, arenaBytes, scratchBytes) = layOut(order, chunkSizes)
    let stages = (0..<stageCount).map { stage in
      func range(_ phase: Instruction.Phase) -> Range<Int> {
        let first = ordered.firstIndex { ($0.stage, $0.instruction.phase.rawValue) >= (stage, phase.rawValue) }
        let end = ordered.firstIndex { ($0.stage, $0.instruction.phase.rawValue) > (stage, phase.rawValue) }
        return (first ?? ordered.count)..<(end ?? ordered.count)
      }
      return Program.Stage(
        before: range(.before), steps: range(.chunks), after: range(.after),
        chunks: laneImages.enumerated().map { Self.chunks(of: $1, lane: $0, size: chunkSizes[stage]) })
    }
    return Program(
      network: network, images: images, threadsPerLane: threadsPerLane, lanes: laneImages, steps: ordered,
      stages: stages, buffers: buffers, arenaBytes: arenaBytes, scratchBytes: scratchBytes, convolutions: convolutions,
      conversions: conversions)
  }

  private func layOut(_ order: [Int], _ chunkSizes: [Int]) -> (buffers: [Buffer], arena: Int, scratch: Int) {
    var position = Array(repeating: 0, count: steps.count)
    for (place, step) in order.enumerated() { position[step] = place }
    var buffers = Self.homes.map { Buffer(home: $0, scope: .plan) }
    var arena = MemoryLayoutPlanner()
    var scratch = MemoryLayoutPlanner()
    for (index, draft) in drafts.enumerated().dropFirst(buffers.count) {
      buffers.append(Buffer(home: .arena, scope: draft.scope, stride: draft.bytes))
      guard draft.firstStage <= draft.lastStage else { continue }
      let life = draft.firstStage...draft.lastStage
      switch draft.scope {
      case .plan: arena.add(index, bytes: draft.bytes, life)
      case .lane: arena.add(index, bytes: draft.bytes * lanes, life)
      case .image where draft.isPinned || life.count > 1: arena.add(index, bytes: draft.bytes * images, life)
      case .image:
        let places = draft.steps.map { position[$0] }
        scratch.add(index, bytes: draft.bytes * chunkSizes[life.lowerBound], places.min()!...places.max()!)
        buffers[index].home = .scratch
      }
    }
    for (index, offset) in arena.offsets() + scratch.offsets() { buffers[index].offset = offset }
    return (buffers, arena.bytes, scratch.bytes)
  }

  private func chunkImages(_ stage: Int) -> Int {
    let views = steps.filter { $0.stage == stage }.flatMap {
      $0.instruction.operands.reads + $0.instruction.operands.writes
    }
    let bytes = Set(views.map(\.buffer)).reduce(0) { $0 + (drafts[$1].scope == .image ? drafts[$1].bytes : 0) }
    let perLane = (images + lanes - 1) / lanes
    return min(max(Self.chunkBytes / max(bytes, 1), 1), perLane)
  }

  /// As few chunks of at most `size` images as there can be, as equal as they can be.
  private static func chunks(of range: Range<Int>, lane: Int, size: Int) -> [ImageChunk] {
    let count = (range.count + size - 1) / size
    return (0..<count).map { index in
      let first = range.lowerBound + range.count * index / count
      let end = range.lowerBound + range.count * (index + 1) / count
      return ImageChunk(lane: lane, first: first, count: end - first, isFirst: index == 0)
    }
  }
}
