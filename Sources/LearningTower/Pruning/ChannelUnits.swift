import Network

/// The channels of a network, partitioned into units that stay or go as one.
///
/// A channel of a node's output is tied to a channel of its input wherever an operation keeps channels apart: batch
/// norm, activation, pooling, enlargement, depthwise convolution, sums and products (all inputs), concatenation, slice
/// and shuffle (by index). Dense convolutions and linear layers end a unit: each output channel reads all input
/// channels, so that one more or less is a row or column of their weights. Channels at the same place in every group of
/// a shuffle or of a grouped convolution's input and output are tied as well, so that what is left still falls into as
/// many groups of one size.
struct ChannelUnits {
  struct Unit {
    /// The batch norms' channels in the unit: `(node, channel)`, in node order.
    var members: [(batchNorm: Int, channel: Int)] = []
    var fixedReason: FixedReason?
  }

  /// Why a unit cannot be cut.
  enum FixedReason: String, Sendable, Hashable, Codable {
    case partOfInputOrHead = "part of the image or of the detection head"
    case noBatchNorm = "no batch norm scores it"
    case notZero = "not zero where its batch norm's scale and shift are: a sigmoid or a bias lies between"
    case grouped = "read or made by a convolution of one channel a group, or by a linear layer over pixels"
    case wholeLayer = "all that some layer has: it can only go with the layer"
  }

  let network: Network
  private(set) var units: [Unit] = []
  /// `[node][channel]` → index into `units`.
  private(set) var unitOf: [[Int]] = []

  init(_ network: Network) throws(NetworkError) {
    self.network = network
    let side = network.detect.strides.max() ?? 32
    let shapes = try network.shapes(height: side, width: side)
    var ties = Ties(channelCounts: shapes.map(\.channels))
    let isZero = zeroChannels(shapes)
    var fixed: [(node: Int, channels: Range<Int>, reason: FixedReason)] = []

    for (index, node) in network.nodes.enumerated() {
      let all = 0..<shapes[index].channels
      switch node.operation {
      case .image: fixed.append((index, all, .partOfInputOrHead))
      case .convolution(let c) where c.groups == 1: break
      case .convolution(let c) where c.isDepthwise: for k in all { ties.tie((index, k), (node.inputs[0], k)) }
      case .convolution(let c):
        let (inputs, outputs) = (c.inputChannels / c.groups, c.outputChannels / c.groups)
        guard inputs > 1, outputs > 1 else {
          fixed.append((index, all, .grouped))
          fixed.append((node.inputs[0], 0..<c.inputChannels, .grouped))
          break
        }
        for k in 0..<c.inputChannels { ties.tie((node.inputs[0], k), (node.inputs[0], k % inputs)) }
        for k in all { ties.tie((index, k), (index, k % outputs)) }
      case .linear(let l):
        let channels = shapes[node.inputs[0]].channels
        if l.inputCount != channels { fixed.append((node.inputs[0], 0..<channels, .grouped)) }
      case .batchNorm, .activation, .add, .upsample, .maxPool, .averagePool, .globalAveragePool, .scale:
        for input in node.inputs { for k in all { ties.tie((index, k), (input, k)) } }
      case .concat:
        var first = 0
        for input in node.inputs {
          for k in 0..<shapes[input].channels { ties.tie((index, first + k), (input, k)) }
          first += shapes[input].channels
        }
      case .slice(let start, let count): for k in 0..<count { ties.tie((index, k), (node.inputs[0], start + k)) }
      case .shuffle(let groups):
        let perGroup = all.count / groups
        for k in all {
          ties.tie((index, k), (node.inputs[0], k % groups * perGroup + k / groups))
          ties.tie((index, k), (index, k / groups * groups))
        }
      }
      // A cut input channel must have contributed nothing.
      if node.operation.readsAllChannels {
        for k in 0..<shapes[node.inputs[0]].channels where !isZero[node.inputs[0]][k] {
          fixed.append((node.inputs[0], k..<(k + 1), .notZero))
        }
      }
    }
    for output in network.detect.outputs {
      fixed.append((output, 0..<shapes[output].channels, .partOfInputOrHead))
    }

    (unitOf, units) = ties.numbered { Unit() }
    for (index, node) in network.nodes.enumerated() {
      guard case .batchNorm = node.operation else { continue }
      for (channel, unit) in unitOf[index].enumerated() { units[unit].members.append((index, channel)) }
    }
    for node in unitOf {
      if let unit = node.first, node.allSatisfy({ $0 == unit }) { units[unit].fixedReason = .wholeLayer }
    }
    for unit in units.indices where units[unit].members.isEmpty { units[unit].fixedReason = .noBatchNorm }
    // Later reasons are the more telling ones.
    for (node, channels, reason) in fixed.sorted(by: { $0.reason.weight < $1.reason.weight }) {
      for channel in channels { units[unitOf[node][channel]].fixedReason = reason }
    }

    /// `[node][channel]`: whether it is zero when all batch norms of its unit have scale and shift zero.
    func zeroChannels(_ shapes: [MapShape]) -> [[Bool]] {
      var isZero: [[Bool]] = []
      for (index, node) in network.nodes.enumerated() {
        let none = Array(repeating: false, count: shapes[index].channels)
        let inputs = node.inputs.map { isZero[$0] }
        switch node.operation {
        case .image, .linear: isZero.append(none)
        case .convolution(let c): isZero.append(c.isDepthwise && !c.hasBias ? inputs[0] : none)
        case .batchNorm: isZero.append(none.map { _ in true })
        case .activation(let activation): isZero.append(activation.keepsZero ? inputs[0] : none)
        case .add: isZero.append(none.indices.map { k in inputs.allSatisfy { $0[k] } })
        case .scale: isZero.append(none.indices.map { k in inputs.contains { $0[k] } })
        case .concat: isZero.append(inputs.flatMap { $0 })
        case .upsample, .maxPool, .averagePool, .globalAveragePool: isZero.append(inputs[0])
        case .slice(let start, let count): isZero.append(Array(inputs[0][start..<(start + count)]))
        case .shuffle(let groups):
          isZero.append(none.indices.map { k in inputs[0][k % groups * (none.count / groups) + k / groups] })
        }
      }
      return isZero
    }
  }
}

extension ChannelUnits.FixedReason {
  fileprivate var weight: Int {
    switch self {
    case .wholeLayer, .noBatchNorm: 0
    case .notZero: 1
    case .grouped: 2
    case .partOfInputOrHead: 3
    }
  }
}

extension Operation {
  /// Each output channel is a sum over all input channels.
  fileprivate var readsAllChannels: Bool {
    switch self {
    case .convolution(let c): !c.isDepthwise
    case .linear: true
    default: false
    }
  }
}

extension Activation {
  /// Whether the activation of 0 is 0: then a channel whose batch norm is zeroed stays zero.
  var keepsZero: Bool {
    switch self {
    case .silu, .relu, .relu6, .hardSwish: true
    case .hardSigmoid, .sigmoid: false
    }
  }
}

/// A union–find over `(node, channel)`.
private struct Ties {
  private let first: [Int]
  private let channelCounts: [Int]
  private var parent: [Int]

  init(channelCounts: [Int]) {
    self.channelCounts = channelCounts
    var total = 0
    first = channelCounts.map { count in
      defer { total += count }
      return total
    }
    parent = Array(0..<total)
  }

  mutating func tie(_ a: (node: Int, channel: Int), _ b: (node: Int, channel: Int)) {
    let (x, y) = (root(first[a.node] + a.channel), root(first[b.node] + b.channel))
    // The earlier channel represents both, so that units are numbered in order of appearance.
    parent[max(x, y)] = min(x, y)
  }

  private mutating func root(_ element: Int) -> Int {
    var element = element
    while parent[element] != element {
      parent[element] = parent[parent[element]]
      element = parent[element]
    }
    return element
  }

  /// Numbers the units in order of appearance.
  mutating func numbered<Unit>(_ unit: () -> Unit) -> (unitOf: [[Int]], units: [Unit]) {
    var numbers: [Int: Int] = [:]
    var units: [Unit] = []
    let unitOf = channelCounts.indices.map { node in
      (0..<channelCounts[node]).map { channel in
        let root = root(first[node] + channel)
        if let number = numbers[root] { return number }
        numbers[root] = units.count
        units.append(unit())
        return units.count - 1
      }
    }
    return (unitOf, units)
  }
}
