import Interchange
import Network
import Zoo

/// Returns what a new network takes over from a file with weights, and a line on it for people. Tensors of the same
/// name and shape are taken, or the backbone of an image classifier of the network's family.
/// - Throws: `PipelineError` if nothing fits or a value is not finite, `InterchangeError` if the file cannot be read.
func transferring(
  _ path: String, into network: Network, of architecture: Architecture, initial: Parameters
) throws -> (ParameterTransfer, remark: String) {
  let file = try ModelFile.readStateDict(path)
  var parameters = Parameters(file.tensors.mapValues(\.tensor))
  let classifier = Classifier.of(parameters, for: architecture)
  if let classifier { parameters = classifier.adapted(parameters, to: network) }
  let transfer = ParameterTransfer(of: parameters, into: network, initial: initial)
  let hasNetwork = file.metadata["network"] != nil && transfer.learnedShare < 0.5
  let remedy = hasNetwork ? "; to go on with the file's own network, give it as --model" : ""
  let share = classifier?.backboneShare(of: parameters, in: network)
  // Depthwise convolutions of another network's classifier can fit by chance.
  guard transfer.hasWeights, share ?? 1 >= 0.5 else {
    let layers = transfer.hasWeights ? "too few layers" : "no layer"
    let kind = classifier.map { "these weights, taken for those of \($0.name)" } ?? "these weights"
    throw PipelineError(
      """
      \(path): \(layers) of \(network.name) can begin with \(kind) (\(transfer)); give weights of the same \
      network, or leave --weights out to begin anew\(remedy)
      """, isWrongRequest: true)
  }
  do { try network.checkValues(transfer.parameters) } catch { throw PipelineError("\(path): \(error)") }
  guard let classifier, let share else { return (transfer, "\(path): \(transfer)\(remedy)") }
  let percent = (share * 1000).rounded(.down) / 10
  let difference = classifier.difference.map { "; \($0)" } ?? ""
  return (
    transfer,
    "\(path): \(percent) % of the backbone's parameters are those of \(classifier.name), adapted to images in 0 to 1 "
      + "and to the batch norms here\(difference); \(transfer)"
  )
}
