import Wording

extension SafetensorsFile {
  /// Returns the tensors under the names that a bare YOLOv5 network gives them, such as `model.0.conv.weight`.
  ///
  /// Tools that train, compile or average a network wrap it in modules of their own, and each puts a word before all
  /// names (`module.` of `DataParallel`) or into the middle of some (`_orig_mod.` of `torch.compile`). Where the
  /// network is wrapped, tensors beside it, such as the counter of an average, are left out. A model file of ours has
  /// the names that its description gives it.
  /// - Throws: `InterchangeError` if there are several networks under different words.
  func withBareNames(file: String) throws(InterchangeError) -> SafetensorsFile {
    guard metadata["network"] == nil else { return self }
    let named = tensors.map { (name: BareName($0.key), tensor: $0.value) }
    let wrappers = Set(named.compactMap(\.name.wrapper))
    var result = self
    switch wrappers.count {
    case 0 where !named.isEmpty && named.allSatisfy { $0.name.path.first?.isNumber == true }:
      // The layers alone, without the model around them.
      result.tensors = Dictionary(named.map { ("model.\($0.name.path)", $0.tensor) }) { first, _ in first }
    case 0: break
    case 1:
      let inside = named.filter { $0.name.wrapper != nil || wrappers.contains("") }
      result.tensors = Dictionary(inside.map { ($0.name.path, $0.tensor) }) { first, _ in first }
    default:
      let words = wrappers.sorted().prefix(4).map { $0.isEmpty ? "no prefix" : "‘\($0.shortened())’" }
      throw InterchangeError(
        file: file,
        "holds \(wrappers.count) networks (under \(words.joined(separator: ", "))): save the state_dict of one alone")
    }
    return result
  }
}

/// A tensor's name without what wraps the network.
private struct BareName {
  /// The part before `model.` and a layer's number; nil if the name has no such part.
  var wrapper: String?
  var path: String

  /// Words that wrappers put anywhere in a name.
  private static let inner: Set<Substring> = [
    "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
  ]

  init(_ name: String) {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).filter { !Self.inner.contains($0) }
    let start = parts.indices.dropLast().first { parts[$0] == "model" && Int(parts[$0 + 1]) != nil }
    wrapper = start.map { parts[..<$0].joined(separator: ".") }
    path = parts[(start ?? 0)...].joined(separator: ".")
  }
}
