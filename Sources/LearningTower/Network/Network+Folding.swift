/// Which batch norms go into the convolution before them.
public enum Folding: Sendable {
  /// All: what inference runs.
  case all
  /// The batch norms that YOLOv5's `fuse()` folds, inside modules of type `Conv` and `DWConv` only. Its published
  /// parameter counts and GFLOPs are of that network; the batch norms of MobileNet and ShuffleNet blocks stay.
  case yolov5
}

extension Network {
  /// The network with batch norms folded into convolutions, which get a bias for it.
  public func folded(_ folding: Folding = .all) -> Network {
    let pairs = foldable(folding)
    let convolutions = Set(pairs.map(\.convolution))
    let foldedAway = Dictionary(pairs.map { ($0.batchNorm, $0.convolution) }, uniquingKeysWith: { first, _ in first })

    var result = self
    result.nodes = []
    var newIndex: [Int] = []
    for (index, node) in nodes.enumerated() {
      if let convolution = foldedAway[index] {
        newIndex.append(newIndex[convolution])
        continue
      }
      var node = node
      node.inputs = node.inputs.map { newIndex[$0] }
      if case .convolution(var convolution) = node.operation, convolutions.contains(index) {
        convolution.hasBias = true
        node.operation = .convolution(convolution)
      }
      newIndex.append(result.nodes.count)
      result.nodes.append(node)
    }
    let gone = Set(foldedAway.keys.map { nodes[$0].name })
    result.modules.removeAll { gone.contains($0.path) }
    result.detect.outputs = detect.outputs.map { newIndex[$0] }
    return result
  }

  /// The folded network and its parameters: with `s = gamma / √(running_var + ε)` per output channel, weight `s·w` and
  /// bias `s·b + beta − s·running_mean`.
  /// - Throws: `NetworkError` when `parameters` are not this network's.
  public func folded(
    _ parameters: Parameters, _ folding: Folding = .all
  ) throws(NetworkError) -> (network: Network, parameters: Parameters) {
    var result = try validated(parameters)
    for (convolution, batchNorm) in foldable(folding) {
      guard case .batchNorm(let b) = nodes[batchNorm].operation else { continue }
      let (conv, bn) = (nodes[convolution].name, nodes[batchNorm].name)
      func take(_ name: String) -> [Float] { result.tensors.removeValue(forKey: "\(bn).\(name)")?.values ?? [] }
      let (gamma, beta, mean, variance) = (take("weight"), take("bias"), take("running_mean"), take("running_var"))
      _ = take("num_batches_tracked")
      guard let weight = result["\(conv).weight"] else { continue }
      let oldBias = result["\(conv).bias"]?.values

      var values = weight.values
      var bias = Array(repeating: Float(0), count: b.channels)
      let perChannel = values.count / b.channels
      for channel in 0..<b.channels {
        // In double precision, so that each value is rounded once.
        let scale = Double(gamma[channel]) / (Double(variance[channel]) + Double(b.epsilon)).squareRoot()
        for index in (channel * perChannel)..<((channel + 1) * perChannel) {
          values[index] = Float(Double(values[index]) * scale)
        }
        bias[channel] = Float(
          Double(beta[channel]) + (Double(oldBias?[channel] ?? 0) - Double(mean[channel])) * scale)
      }
      result["\(conv).weight"] = Tensor(shape: weight.shape, values: values)
      result["\(conv).bias"] = Tensor(shape: [b.channels], values: bias)
    }
    return (folded(folding), result)
  }

  /// Batch norms that are the only reader of a convolution.
  func foldable(_ folding: Folding) -> [(convolution: Int, batchNorm: Int)] {
    var readers = Array(repeating: 0, count: nodes.count)
    for node in nodes { for input in node.inputs { readers[input] += 1 } }
    for output in detect.outputs { readers[output] += 1 }
    let types = Dictionary(modules.map { ($0.path, $0.type) }, uniquingKeysWith: { first, _ in first })
    return nodes.indices.compactMap { index in
      guard case .batchNorm = nodes[index].operation, let input = nodes[index].inputs.first,
        case .convolution = nodes[input].operation, readers[input] == 1
      else { return nil }
      if folding == .yolov5 {
        let owner = nodes[index].name.split(separator: ".").dropLast().joined(separator: ".")
        guard let type = types[owner], type == "Conv" || type == "DWConv" else { return nil }
      }
      return (input, index)
    }
  }
}
