import Foundation
import JSON
import Wording

/// YOLOv5's `.pt` files: a zip archive of a pickled module and its tensors. Read as data, never run.
public enum PyTorchCheckpoint {
  /// Returns the `state_dict` of the EMA, or of the model where there is none, with the stored types. Class names, if
  /// the file has them, stand as `class_names` in the metadata, so that the result can be decoded as a `ModelFile`.
  public static func read(_ path: String) throws(InterchangeError) -> SafetensorsFile {
    try decode(try readFile(path), file: path)
  }

  /// - Parameter file: what to call the bytes in an error.
  public static func decode(_ bytes: [UInt8], file: String) throws(InterchangeError) -> SafetensorsFile {
    let archive = try ZipArchive(bytes, file: file)
    func isThere(_ name: String) -> Bool { archive.names.contains { $0 == name || $0.hasSuffix("/\(name)") } }
    guard let pickleName = archive.names.first(where: { $0 == "data.pkl" || $0.hasSuffix("/data.pkl") }) else {
      let content = archive.names.prefix(3).map { "‘\($0.shortened())’" }.joined(separator: ", ")
      throw InterchangeError(
        file: file,
        "is a zip archive of other things (\(content.isEmpty ? "nothing" : content)), not of torch.save: if the "
          + "weights are in it, unpack it first")
    }
    guard !isThere("constants.pkl") else {
      throw InterchangeError(
        file: file, "is a TorchScript program (a YOLOv5 export): give the .pt file that it was exported from")
    }
    let folder = String(pickleName.dropLast("data.pkl".count))
    var isBigEndian = false
    if isThere("byteorder") { isBigEndian = try archive.contents("\(folder)byteorder").elementsEqual("big".utf8) }
    let pickle = try Pickle(archive.contents(pickleName), file: file)
    var reader = Reader(file: file, archive: archive, folder: folder, isBigEndian: isBigEndian, pickle: pickle)
    return try reader.stateDict()
  }
}

private struct Reader {
  let file: String
  let archive: ZipArchive
  let folder: String
  let isBigEndian: Bool
  let pickle: Pickle
  private var content = SafetensorsFile()
  /// Parts of the archive whose checksums have been verified.
  private var storages: [String: ArraySlice<UInt8>] = [:]
  private var modulesSeen = 0
  private var entriesSeen = 0
  private var bytesCopied = 0

  init(file: String, archive: ZipArchive, folder: String, isBigEndian: Bool, pickle: Pickle) {
    self.file = file
    self.archive = archive
    self.folder = folder
    self.isBigEndian = isBigEndian
    self.pickle = pickle
  }

  /// Where training scripts keep what is worth most, the average before what was averaged.
  private static let keys = ["ema", "model", "ema_state_dict", "state_dict", "model_state_dict"]

  /// Reads a training checkpoint, a bare module or a bare `state_dict`.
  mutating func stateDict() throws(InterchangeError) -> SafetensorsFile {
    for candidate in Self.keys.compactMap({ pickle[pickle.root, $0] }) + [pickle.root] {
      if pickle.attribute("_modules", of: candidate) != nil {
        try add(module: candidate, prefix: "", depth: 0)
      } else {
        for (key, value) in pickle.entries(candidate) ?? [] {
          guard let name = pickle.text(key), let view = try tensorView(value, name) else { continue }
          try add(view, name)
        }
      }
      guard !content.tensors.isEmpty else { continue }
      try addClassNames(of: candidate)
      return content
    }
    throw fail("holds neither a model nor a state_dict")
  }

  // MARK: - Modules

  /// Adds a module's parameters and buffers, then its children's.
  private mutating func add(module: Pickle.Value, prefix: String, depth: Int) throws(InterchangeError) {
    modulesSeen += 1
    guard depth < 64, modulesSeen < 100_000 else { throw fail("its modules are nested or repeated beyond reason") }
    let passing = try attribute("_non_persistent_buffers_set", of: module).map(elements) ?? []
    for kind in ["_parameters", "_buffers"] {
      for (name, value) in try entries(kind, of: module) where value != .none && !passing.contains(name) {
        guard let view = try tensorView(value, prefix + name) else {
          throw fail("tensor \(prefix + name): it is of a kind that is not read (\(description(value)))")
        }
        try add(view, prefix + name)
      }
    }
    for (name, child) in try entries("_modules", of: module) where pickle.object(child) != nil {
      try add(module: child, prefix: "\(prefix)\(name).", depth: depth + 1)
    }
  }

  private mutating func entries(
    _ name: String, of module: Pickle.Value
  ) throws(InterchangeError) -> [(name: String, value: Pickle.Value)] {
    guard let entries = try attribute(name, of: module).flatMap(pickle.entries) else { return [] }
    try account(entries: entries.count)
    return entries.compactMap { entry in pickle.text(entry.key).map { ($0, entry.value) } }
  }

  private mutating func attribute(
    _ name: String, of module: Pickle.Value
  ) throws(InterchangeError) -> Pickle.Value? {
    guard let state = pickle.object(module)?.state else { return nil }
    try account(entries: pickle.entries(state)?.count ?? 0)
    return pickle[state, name]
  }

  /// Modules and dictionaries may be shared, so that walking them can cost far more than the file has bytes.
  private mutating func account(entries: Int) throws(InterchangeError) {
    entriesSeen += entries
    guard entriesSeen <= 10_000_000 else { throw fail("its modules are repeated beyond reason") }
  }

  /// Returns the texts in a set: protocol 4 has an instruction for one, protocol 2 calls `set` on a list.
  private func elements(_ set: Pickle.Value) -> [String] {
    let arguments = pickle.object(set).flatMap { pickle.items($0.arguments) }
    return (pickle.items(arguments?.first ?? set) ?? []).compactMap(pickle.text)
  }

  /// Class names are a list, or a dictionary from index to name (since v7.0), of the model or, with a `state_dict`,
  /// beside it.
  private mutating func addClassNames(of model: Pickle.Value) throws(InterchangeError) {
    var holder = model
    // Training on several devices wraps the model in a module that has no other child.
    for _ in 0..<4 where try attribute("names", of: holder) == nil {
      guard let child = try entries("_modules", of: holder).first?.value else { break }
      holder = child
    }
    guard let names = try attribute("names", of: holder) ?? pickle[pickle.root, "names"] else { return }
    if let list = pickle.items(names) {
      guard list.count <= 10_000 else { throw fail("has \(list.count) class names") }
      if !list.isEmpty {
        content.metadata["class_names"] = String(decoding: JSON.encode(list.map(className)), as: UTF8.self)
      }
    } else if let entries = pickle.entries(names), !entries.isEmpty {
      guard entries.count <= 10_000 else { throw fail("has \(entries.count) class names") }
      let names = Dictionary(entries.map { (className($0.key), className($0.value)) }) { $1 }
      content.metadata["class_names"] = String(decoding: JSON.encode(names), as: UTF8.self)
    }
  }

  /// A name may be a number, of digits for example.
  private func className(_ value: Pickle.Value) -> String {
    switch value {
    case .int(let number): "\(number)"
    case .float(let number): "\(number)"
    case .bool(let truth): truth ? "True" : "False"
    default: pickle.text(value) ?? ""
    }
  }

  // MARK: - Tensors

  /// A view of a storage, in elements.
  private struct TensorView {
    var storage: Storage
    var offset: Int
    var shape: [Int]
    var strides: [Int]

    /// Whether its elements stand in row-major order without gaps.
    var isContiguous: Bool {
      var expected = 1
      for (size, stride) in zip(shape, strides).reversed() {
        guard size == 1 || stride == expected else { return false }
        expected *= size
      }
      return true
    }
  }

  /// A file of elements, which several tensors may share.
  private struct Storage {
    var type: ElementType
    var key: String
    var count: Int
  }

  private static let storageTypes: [String: ElementType] = [
    "torch HalfStorage": .float16, "torch FloatStorage": .float32, "torch DoubleStorage": .float64,
    "torch BFloat16Storage": .bfloat16, "torch LongStorage": .int64, "torch IntStorage": .int32,
    "torch ByteStorage": .uint8, "torch BoolStorage": .bool,
  ]

  /// Returns the tensor that a call of PyTorch's would have made, or nil if the value is something else.
  private func tensorView(_ value: Pickle.Value, _ name: String) throws(InterchangeError) -> TensorView? {
    guard var call = pickle.object(value) else { return nil }
    for _ in 0..<8 {
      let arguments = pickle.items(call.arguments) ?? []
      switch pickle.globalName(call.function) {
      case "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor":
        guard arguments.count >= 4, case .int(let offset) = arguments[1], let shape = integers(arguments[2]),
          let strides = integers(arguments[3])
        else { throw fail("tensor \(name): it has no storage, offset, size and stride") }
        return TensorView(storage: try storage(arguments[0], name), offset: offset, shape: shape, strides: strides)
      case "torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state":
        guard let data = arguments.first.flatMap(pickle.object) else { return nil }
        call = data
      case "torch._tensor _rebuild_from_type_v2":  // Function, class, arguments of the function, state.
        guard arguments.count >= 3 else { return nil }
        call = Pickle.Object(function: arguments[0], arguments: arguments[2])
      default: return nil
      }
    }
    return nil
  }

  /// PyTorch refers to a storage by `("storage", type, key, location, element count)`.
  private func storage(_ value: Pickle.Value, _ name: String) throws(InterchangeError) -> Storage {
    guard let reference = pickle.object(value), reference.function == .none,
      let parts = pickle.items(reference.arguments), parts.count == 5, pickle.text(parts[0]) == "storage",
      let typeName = pickle.globalName(parts[1]), let key = pickle.text(parts[2]), case .int(let count) = parts[4],
      count >= 0
    else { throw fail("tensor \(name): its data is not a storage of this file") }
    guard let type = Self.storageTypes[typeName] else {
      throw fail("tensor \(name): elements of type ‘\(typeName)’ are not read")
    }
    return Storage(type: type, key: key, count: count)
  }

  private func integers(_ value: Pickle.Value) -> [Int]? {
    guard let items = pickle.items(value) else { return nil }
    let integers = items.compactMap { if case .int(let integer) = $0 { integer } else { nil } }
    return integers.count == items.count ? integers : nil
  }

  private func description(_ value: Pickle.Value) -> String {
    pickle.object(value).flatMap { pickle.globalName($0.function) } ?? "not a tensor"
  }

  /// Copies a view into row-major order.
  private mutating func add(_ view: TensorView, _ name: String) throws(InterchangeError) {
    let storage = view.storage
    func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, "tensor \(name): \(reason)") }
    let source = try bytes(of: storage)
    let width = storage.type.byteCount
    guard source.count % width == 0, source.count / width == storage.count else {
      throw fail("its storage \(storage.key) holds \(source.count) bytes, not \(storage.count) elements")
    }
    let count = try elementCount(view, name)
    bytesCopied += count * width
    guard bytesCopied <= archive.bytes.count else { throw fail("tensors are repeated beyond reason") }
    var copied: [UInt8] = []
    if view.isContiguous {
      copied = Array(source.dropFirst(view.offset * width).prefix(count * width))
    } else {
      copied.reserveCapacity(count * width)
      for element in 0..<count {
        var (remaining, position) = (element, view.offset)
        for axis in view.shape.indices.reversed() {
          position += remaining % view.shape[axis] * view.strides[axis]
          remaining /= view.shape[axis]
        }
        let first = source.startIndex + position * width
        copied += source[first..<(first + width)]
      }
    }
    if isBigEndian, width > 1 {
      for first in stride(from: 0, to: copied.count, by: width) { copied[first..<(first + width)].reverse() }
    }
    content.tensors[name] = StoredTensor(type: storage.type, shape: view.shape, bytes: copied)
  }

  /// Returns the number of elements, after checking that the view is neither larger than its storage nor reaches beyond
  /// it, and that no product overflows.
  private func elementCount(_ view: TensorView, _ name: String) throws(InterchangeError) -> Int {
    let storage = view.storage
    func misfit() -> InterchangeError {
      fail(
        "tensor \(name): \(view.shape) with strides \(view.strides) from element \(view.offset) on does not fit a "
          + "storage of \(storage.count) elements")
    }
    guard view.shape.count == view.strides.count, view.shape.count <= 8, 0...storage.count ~= view.offset else {
      throw misfit()
    }
    var count = 1
    var last = view.offset
    for (size, stride) in zip(view.shape, view.strides) {
      guard size >= 0, stride >= 0, size == 0 || count <= storage.count / size,
        size <= 1 || stride <= storage.count / (size - 1)
      else { throw misfit() }
      count *= size
      last += max(size - 1, 0) * stride
    }
    guard count == 0 || last < storage.count else { throw misfit() }
    return count
  }

  private mutating func bytes(of storage: Storage) throws(InterchangeError) -> ArraySlice<UInt8> {
    if let bytes = storages[storage.key] { return bytes }
    let bytes = try archive.contents("\(folder)data/\(storage.key)")
    storages[storage.key] = bytes
    return bytes
  }

  private func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, reason) }
}
