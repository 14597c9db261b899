import Network
import Wording
import YAML

extension LayerTable {
  /// Reads a model file of YOLOv5: `nc`, `depth_multiple`, `width_multiple`, `anchors`, and the rows
  /// `[from, number, module, args]` of `backbone` and `head`, the last of which is `Detect`. The modules are those of
  /// YOLOv5 and of the study's backbones, and our own for the two oldest ones.
  /// - Throws: `NetworkError` with file and line for whatever is wrong in it.
  init(yaml path: String) throws(NetworkError) {
    do {
      try self.init(YAMLDocument.load(path), name: path.fileStem)
    } catch {
      throw error as? NetworkError ?? NetworkError("\(error)")
    }
  }

  private static let rowLimit = 1000

  init(_ document: YAMLNode, name: String) throws {
    let root = try document.mapping
    try root.requireKnownKeys([
      "nc", "depth_multiple", "width_multiple", "anchors", "backbone", "head", "ch", "activation", "inplace",
    ])
    if let channels = root["ch"], try channels.int != 3 { throw channels.error("images have 3 channels here") }
    if let activation = root["activation"], try activation.string != "nn.SiLU()" {
      throw activation.error("the activation of YOLOv5's modules is nn.SiLU() here; give others to each Conv")
    }
    let nodes = try root.required("backbone").sequence + root.required("head").sequence
    guard let last = nodes.last else { throw document.error("there are no layers") }
    guard nodes.count <= Self.rowLimit else { throw document.error("more than \(Self.rowLimit) layers") }
    var rows: [Row] = []
    for (index, node) in nodes.dropLast().enumerated() {
      let description = try RowDescription(node, index: index)
      rows.append(try description.row())
    }
    let head = try RowDescription(last, index: nodes.count - 1)
    guard !rows.isEmpty else { throw document.error("Detect has nothing to read") }
    let (detect, anchors) = try head.detect(anchors: root["anchors"])
    self.init(
      name: name, depthMultiple: try Self.multiple(root, "depth_multiple"),
      widthMultiple: try Self.multiple(root, "width_multiple"), rows: rows,
      detect: detect.map { $0 < 0 ? rows.count - 1 : $0 },
      anchors: anchors,
      classCount: try root["nc"].map { node throws(YAMLError) in try node.int(in: 1...100_000, "nc") })
  }

  private static func multiple(_ root: YAMLMapping, _ key: String) throws(YAMLError) -> Double {
    guard let node = root[key] else { return 1 }
    let value = try node.double
    guard (0.01...16).contains(value) else { throw node.error("\(key): \(value) is not in 0.01 … 16") }
    return value
  }
}

/// One row, its parts not yet given a meaning.
private struct RowDescription {
  let node: YAMLNode
  /// Layers that are read; −1 is the layer before.
  let from: [Int]
  let repeats: Int
  let module: YAMLNode
  let arguments: [YAMLNode]

  init(_ node: YAMLNode, index: Int) throws(YAMLError) {
    let parts = try node.sequence
    guard parts.count == 4 else {
      throw node.error("a layer is [from, number, module, args], and this has \(parts.count) parts")
    }
    var sources = [parts[0]]
    if case .sequence(let list) = parts[0].content { sources = list }
    guard (1...64).contains(sources.count) else { throw parts[0].error("‘from’ is empty or endless") }
    self.node = node
    from = try sources.map { source throws(YAMLError) in try Self.layer(source, before: index) }
    repeats = try parts[1].int(in: 1...100, "the number of repeats")
    module = parts[2]
    arguments = try parts[3].sequence
  }

  /// From the file's numbers, of which negative ones count backwards, to −1 or a layer's own number.
  private static func layer(_ node: YAMLNode, before index: Int) throws(YAMLError) -> Int {
    let number = try node.int
    if number == -1 { return -1 }
    guard (-index..<index).contains(number) else {
      throw node.error("layer \(index) reads layer \(number), which does not stand before it")
    }
    return number < 0 ? index + number : number
  }

  func row() throws(YAMLError) -> LayerTable.Row {
    let name = try module.string
    guard let known = modelModules.first(where: { $0.name == name }) else {
      if name == "Detect" { throw module.error("Detect has to be the last layer, and there is only one") }
      if name == "Focus" {
        throw module.error("Focus is not supported; Conv [channels, 6, 2, 2] took its place in YOLOv5 v6.0")
      }
      let names = modelModules.map(\.name)
      let hint =
        nearest(name, among: names).map { "did you mean ‘\($0)’?" } ?? "known: \(names.joined(separator: ", "))"
      throw module.error("unknown module ‘\(name.shortened())’; \(hint)")
    }
    guard known.name == "Concat" || from.count == 1 else {
      throw node.error("\(name) reads one layer, not \(from.count)")
    }
    guard known.name != "Concat" || repeats == 1 else { throw node.error("Concat cannot be repeated") }
    guard arguments.count <= known.argumentLimit else {
      throw node.error("\(name) takes at most \(known.argumentLimit) arguments, not \(arguments.count)")
    }
    let block = try known.block(ModuleArguments(module: name, node: node, values: arguments))
    return LayerTable.Row(
      block: block, from: from, repeats: repeats, place: "\(node.location.file):\(node.location.line)")
  }

  /// The last row: `[nc, anchors]`, or the anchors themselves in place of the word.
  func detect(anchors: YAMLNode?) throws(YAMLError) -> (layers: [Int], anchors: [[Anchor]]) {
    guard try module.string == "Detect" else { throw module.error("the last layer has to be Detect") }
    guard repeats == 1, arguments.count == 2 else { throw node.error("Detect is [[layers], 1, Detect, [nc, anchors]]") }
    guard (try? arguments[0].string) == "nc" else {
      throw arguments[0].error("Detect's classes are ‘nc’, which stands at the top of the file")
    }
    let isNamed = (try? arguments[1].string) == "anchors"
    guard let list = isNamed ? anchors : arguments[1] else { throw node.error("‘anchors’ is missing") }
    if (try? list.int) != nil {
      throw list.error("give the anchors' sizes; training fits them to the data unless told otherwise")
    }
    let levels = try list.sequence.map { level throws(YAMLError) -> [Anchor] in
      let values = try level.sequence.map { node throws(YAMLError) -> Float in
        let value = try node.double
        guard value > 0, value <= 100_000 else { throw node.error("an anchor of \(value) pixels") }
        return Float(value)
      }
      guard !values.isEmpty, values.count % 2 == 0, values.count <= 64 else {
        throw level.error("anchors are pairs of width and height, and here are \(values.count) numbers")
      }
      return stride(from: 0, to: values.count, by: 2).map { Anchor(width: values[$0], height: values[$0 + 1]) }
    }
    guard levels.count == from.count else {
      throw node.error("Detect reads \(from.count) layers, and there are anchors for \(levels.count)")
    }
    guard Set(levels.map(\.count)).count == 1 else { throw list.error("every level needs as many anchors") }
    guard from.count <= 5 else { throw node.error("Detect reads at most 5 layers, not \(from.count)") }
    return (from, levels)
  }
}

/// A module's arguments, by position.
struct ModuleArguments {
  let module: String
  let node: YAMLNode
  let values: [YAMLNode]

  /// The argument, unless it is left out or `None`.
  private func value(_ index: Int) -> YAMLNode? {
    guard values.indices.contains(index), !values[index].isNull, (try? values[index].string) != "None" else {
      return nil
    }
    return values[index]
  }

  private func required<T>(_ value: T?, _ name: String) throws(YAMLError) -> T {
    guard let value else { throw node.error("\(module): \(name) is missing") }
    return value
  }

  /// Output channels stand first.
  func channels() throws(YAMLError) -> Int { try int(0, "output channels", in: 1...65_536) }

  func int(
    _ index: Int, _ name: String, default: Int? = nil, in range: ClosedRange<Int>
  ) throws(YAMLError) -> Int {
    guard let node = value(index) else { return try required(`default`, name) }
    return try node.int(in: range, "\(module): \(name)")
  }

  func kernel(_ index: Int, default: Int? = nil) throws(YAMLError) -> Int {
    try int(index, "the kernel", default: `default`, in: 1...15)
  }

  func stride(_ index: Int, default: Int? = nil, in range: ClosedRange<Int> = 1...8) throws(YAMLError) -> Int {
    try int(index, "the stride", default: `default`, in: range)
  }

  func groups(_ index: Int) throws(YAMLError) -> Int { try int(index, "the groups", default: 1, in: 1...65_536) }

  /// nil: half the kernel.
  func padding(_ index: Int) throws(YAMLError) -> Int? {
    try value(index).map { node throws(YAMLError) in try node.int(in: 0...15, "\(module): the padding") }
  }

  /// A truth value or, as the study writes it, 0 or 1.
  func flag(_ index: Int, _ name: String, default: Bool? = nil) throws(YAMLError) -> Bool {
    guard let node = value(index) else { return try required(`default`, name) }
    if (try? node.int) != nil { return try node.int(in: 0...1, "\(module): \(name)") == 1 }
    return try node.bool
  }

  func word(_ index: Int, default: String) throws(YAMLError) -> String { try value(index)?.string ?? `default` }

  func expansion(_ index: Int) throws(YAMLError) -> Double {
    guard let node = value(index) else { return 0.5 }
    let value = try node.double
    guard (0.01...16).contains(value) else { throw node.error("\(module): an expansion of \(value)") }
    return value
  }

  func kernels(_ index: Int, default: [Int]) throws(YAMLError) -> [Int] {
    guard let node = value(index) else { return `default` }
    let kernels = try node.sequence.map { node throws(YAMLError) in try node.int(in: 1...15, "\(module): a kernel") }
    guard (1...8).contains(kernels.count), kernels.allSatisfy({ $0 % 2 == 1 }) else {
      throw node.error("\(module): give 1 to 8 odd kernels")
    }
    return kernels
  }

  /// `True`: SiLU; `False`: none; or the name of one. At `index`, or behind it where v7.0 has the dilation in between.
  func activation(_ index: Int) throws(YAMLError) -> Activation? {
    guard let first = value(index) else { return .silu }
    var node = first
    if let dilation = try? first.int {
      guard dilation == 1 else { throw first.error("\(module): a dilation of \(dilation) is not supported") }
      guard let second = value(index + 1) else { return .silu }
      node = second
    } else if let extra = value(index + 1) {
      throw extra.error("\(module): nothing stands behind the activation")
    }
    if let isWanted = try? node.bool { return isWanted ? .silu : nil }
    let known: [(String, Activation?)] = [
      ("nn.SiLU()", .silu), ("nn.ReLU()", .relu), ("nn.ReLU6()", .relu6), ("nn.Identity()", nil),
    ]
    let text = try node.string
    guard let match = known.first(where: { $0.0 == text }) else {
      throw node.error(
        "\(module): no activation ‘\(text.shortened())’; "
          + "there are True, False, \(known.map(\.0).joined(separator: ", "))"
      )
    }
    return match.1
  }
}

extension YAMLNode {
  fileprivate func int(in range: ClosedRange<Int>, _ name: String) throws(YAMLError) -> Int {
    let value = try int
    guard range.contains(value) else {
      throw error("\(name): \(value) is not in \(range.lowerBound) … \(range.upperBound)")
    }
    return value
  }
}

extension String {
  /// `models/yolov5s.yaml` → `yolov5s`.
  fileprivate var fileStem: String {
    let file = split(separator: "/").last.map(String.init) ?? self
    return file.split(separator: ".").first.map(String.init) ?? file
  }
}
