import Network

/// The images that one lane takes through a stage at a time.
struct ImageChunk: Hashable, Sendable {
  var lane: Int
  var first = 0
  var count = 0
  /// Whether it is the lane's first in this stage.
  var isFirst = true

  func rows(_ view: View) -> Int { count * view.pixels }
}

/// An instruction with its stage and the node of the network that it is for.
struct Step: Hashable, Sendable {
  var instruction: Instruction
  var stage: Int
  var node: Int
}

/// One pass of a convolution of one image, and the layout of its weights, which is the library's.
struct PlannedConvolution {
  var pass: ConvolutionPass
  var shape: ConvolutionShape
  var weightLayout: WeightLayout
}

/// The steps of a plan in their order, over planned memory: a value.
///
/// The batch is divided among *lanes*, one thread each, once and for all. Within a stage a lane takes its images in
/// chunks that stay in cache, each through all steps of the stage; lanes meet only at the end of a stage, which is
/// where sums over the whole batch (batch-norm statistics) become known. So a map that lives within one stage is a
/// lane's scratch of chunk size, and only what a later stage reads is stored for the whole batch.
struct Program {
  struct Stage: Hashable, Sendable {
    /// Ranges of the program's steps, by phase.
    var before: Range<Int>
    var steps: Range<Int>
    var after: Range<Int>
    /// By lane.
    var chunks: [[ImageChunk]]
  }

  var network: Network
  var images: Int
  var threadsPerLane: Int
  /// The images of each lane.
  var lanes: [Range<Int>]
  var steps: [Step]
  var stages: [Stage]
  var buffers: [Buffer]
  var arenaBytes: Int
  var scratchBytes: Int
  var convolutions: [PlannedConvolution]
  var conversions: [(from: WeightLayout, to: WeightLayout)]
}

extension Program: CustomStringConvertible {
  /// A line for each step: its stage, its node and its instruction.
  var description: String {
    steps.map { "\($0.stage) \(network.nodes[$0.node].name): \($0.instruction)" }.joined(separator: "\n")
  }
}
