public import Network

extension PruningPlan {
  /// The smaller network and its parameters. Kept values are copied, so the result computes what the original computes
  /// with the cut channels' scales and shifts at zero (`masked`).
  /// - Throws: `PruningError` when the plan was made for another network.
  public func apply(
    to network: Network, _ parameters: Parameters
  ) throws -> (network: Network, parameters: Parameters) {
    let parameters = try network.validated(parameters)
    guard before.parameterCount == network.parameterCount else {
      throw misfit(network, "that one has \(before.parameterCount) parameters, this one \(network.parameterCount)")
    }
    let units = try ChannelUnits(network)
    let isCut = try unitsCut(units)
    let pruned = units.network(without: isCut)
    return (pruned, try pruned.validated(units.parameters(parameters, without: isCut)))
  }

  /// `parameters` with scale and shift zero on the cut channels: what the pruned network must agree with.
  public func masked(_ parameters: Parameters) -> Parameters {
    var result = parameters
    for (name, channels) in cutChannels {
      for tensor in ["\(name).weight", "\(name).bias"] {
        for channel in channels where channel < result[tensor]?.values.count ?? 0 {
          result[tensor]?.values[channel] = 0
        }
      }
    }
    return result
  }

  /// Per unit whether it goes. A plan may come from a file: it must name whole units, of batch norms that are there.
  private func unitsCut(_ units: ChannelUnits) throws(PruningError) -> [Bool] {
    func fail(_ reason: String) -> PruningError { misfit(units.network, reason) }
    let nodes = units.network.nodes
    let indexOf = Dictionary(nodes.indices.map { (nodes[$0].name, $0) }, uniquingKeysWith: { first, _ in first })
    var cutMembers: [Int: Int] = [:]
    for (name, channels) in cutChannels.sorted(by: { $0.key < $1.key }) {
      guard let node = indexOf[name], case .batchNorm = nodes[node].operation else { throw fail("it has no \(name)") }
      guard Set(channels).count == channels.count else { throw fail("a channel of \(name) is listed twice") }
      for channel in channels {
        guard units.unitOf[node].indices.contains(channel) else { throw fail("\(name) has no channel \(channel)") }
        cutMembers[units.unitOf[node][channel], default: 0] += 1
      }
    }
    var isCut = Array(repeating: false, count: units.units.count)
    for (unit, count) in cutMembers {
      guard count == units.units[unit].members.count, units.units[unit].fixedReason == nil else {
        let first = units.units[unit].members[0]
        throw fail("channel \(first.channel) of \(nodes[first.batchNorm].name) cannot go alone")
      }
      isCut[unit] = true
    }
    for (index, unitOfChannel) in units.unitOf.enumerated() where unitOfChannel.allSatisfy({ isCut[$0] }) {
      throw fail("nothing is left of \(nodes[index].name)")
    }
    return isCut
  }

  private func misfit(_ network: Network, _ reason: String) -> PruningError {
    PruningError("the plan (for \(self.network)) was made for another network than this \(network.name): \(reason)")
  }
}

extension ChannelUnits {
  /// The network without the units marked in `isCut`. Every node must keep a channel.
  func network(without isCut: [Bool]) -> Network {
    var result = network
    for (index, node) in network.nodes.enumerated() {
      let outputs = unitOf[index].count { !isCut[$0] }
      let inputs = node.inputs.first.map { unitOf[$0].count { !isCut[$0] } } ?? 0
      switch node.operation {
      case .convolution(var c):
        if c.isDepthwise { c.groups = outputs }
        (c.inputChannels, c.outputChannels) = (inputs, outputs)
        result.nodes[index].operation = .convolution(c)
      case .batchNorm(var b):
        b.channels = outputs
        result.nodes[index].operation = .batchNorm(b)
      case .linear(var l):
        if l.inputCount == unitOf[node.inputs[0]].count { l.inputCount = inputs }
        l.outputCount = outputs
        result.nodes[index].operation = .linear(l)
      case .slice(let start, _):
        let before = unitOf[node.inputs[0]][..<start].count { !isCut[$0] }
        result.nodes[index].operation = .slice(start: before, count: outputs)
      case .image, .activation, .add, .concat, .upsample, .maxPool, .averagePool, .globalAveragePool, .scale, .shuffle:
        break
      }
    }
    return result
  }

  /// The rows and columns of `parameters` that belong to kept channels.
  func parameters(_ parameters: Parameters, without isCut: [Bool]) -> Parameters {
    func kept(_ node: Int) -> [Int] { unitOf[node].indices.filter { !isCut[unitOf[node][$0]] } }
    var result = parameters
    for (index, node) in network.nodes.enumerated() {
      let rows = kept(index)
      switch node.operation {
      case .convolution(let c):
        // A grouped convolution's groups keep the same places, so those of the first say it for all.
        let columns = c.isDepthwise ? [0] : kept(node.inputs[0]).filter { $0 < c.inputChannels / c.groups }
        result["\(node.name).weight"]?.keep(rows: rows, columns: columns)
        result["\(node.name).bias"]?.keep(rows: rows)
      case .linear(let l):
        let isPerChannel = l.inputCount == unitOf[node.inputs[0]].count
        result["\(node.name).weight"]?.keep(
          rows: rows, columns: isPerChannel ? kept(node.inputs[0]) : Array(0..<l.inputCount))
        result["\(node.name).bias"]?.keep(rows: rows)
      case .batchNorm:
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
          result["\(node.name).\(tensor)"]?.keep(rows: rows)
        }
      case .image, .activation, .add, .concat, .upsample, .maxPool, .averagePool, .globalAveragePool, .scale, .slice,
        .shuffle:
        break
      }
    }
    return result
  }
}

extension Tensor {
  /// Keeps the given indices of the first axis and, if given, of the second.
  fileprivate mutating func keep(rows: [Int], columns: [Int]? = nil) {
    let columnCount = columns == nil ? 1 : shape[1]
    let block = shape.dropFirst(columns == nil ? 1 : 2).reduce(1, *)
    var kept: [Float] = []
    kept.reserveCapacity(rows.count * (columns?.count ?? 1) * block)
    for row in rows {
      for column in columns ?? [0] {
        let first = (row * columnCount + column) * block
        kept += values[first..<(first + block)]
      }
    }
    var shape = shape
    shape[0] = rows.count
    if let columns { shape[1] = columns.count }
    self = Tensor(shape: shape, values: kept)
  }
}
