import Foundation
import JSON

/// YOLOv5's `.pt` files: a zip archive of a pickled module and its tensors. Read as data, never run.
public enum PyTorchCheckpoint {
  /// The `state_dict` of the EMA, or of the model where there is none, with the stored types; class names, if the model
  /// has them, as `class_names` in the metadata, so that the result can be decoded as a `ModelFile`.
  public static func read(_ path: String) throws(InterchangeError) -> SafetensorsFile {
    try decode(try readFile(path), file: path)
  }

  /// - Parameter file: what to call the bytes in an error.
  public static func decode(_ bytes: [UInt8], file: String) throws(InterchangeError) -> SafetensorsFile {
    let archive = try ZipArchive(bytes, file: file)
    guard let pickleName = archive.names.first(where: { $0 == "data.pkl" || $0.hasSuffix("/data.pkl") }) else {
      throw InterchangeError(file: file, "holds no data.pkl: not a file of torch.save since PyTorch 1.6")
    }
    let folder = String(pickleName.dropLast("data.pkl".count))
    if archive.names.contains("\(folder)byteorder") {
      guard try archive.contents("\(folder)byteorder").elementsEqual("little".utf8) else {
        throw InterchangeError(file: file, "was written on a big-endian machine, which is not read")
      }
    }
    let pickle = try Pickle(archive.contents(pickleName), file: file)
    var reader = Reader(file: file, archive: archive, folder: folder, pickle: pickle)
    return try reader.stateDict()
  }
}

private struct Reader {
  let file: String
  let archive: ZipArchive
  let folder: String
  let pickle: Pickle
  private var content = SafetensorsFile()
  /// Parts of the archive whose checksums have been verified.
  private var storages: [String: ArraySlice<UInt8>] = [:]
  private var modulesSeen = 0
  private var entriesSeen = 0
  private var bytesCopied = 0

  init(file: String, archive: ZipArchive, folder: String, pickle: Pickle) {
    self.file = file
    self.archive = archive
    self.folder = folder
    self.pickle = pickle
  }

  /// From a training checkpoint, a bare module or a bare `state_dict`.
  mutating func stateDict() throws(InterchangeError) -> SafetensorsFile {
    let candidates = [pickle[pickle.root, "ema"], pickle[pickle.root, "model"], pickle.root]
    for case .object(let index)? in candidates {
      let model = pickle.objects[index]
      try add(model, prefix: "", depth: 0)
      try addClassNames(of: model)
      return content
    }
    for case .dictionary(let index)? in [pickle[pickle.root, "state_dict"], pickle.root] {
      for case (.string(let name), .tensor(let tensor)) in pickle.dictionaries[index] { try add(tensor, name) }
      if !content.tensors.isEmpty { return content }
    }
    throw fail("holds neither a model nor a state_dict")
  }

  /// A module's parameters and buffers, then its children's.
  private mutating func add(_ module: Pickle.Object, prefix: String, depth: Int) throws(InterchangeError) {
    modulesSeen += 1
    guard depth < 64, modulesSeen < 100_000 else { throw fail("its modules are nested or repeated beyond reason") }
    for kind in ["_parameters", "_buffers"] {
      for (name, tensor) in try entries(kind, of: module) {
        if case .tensor(let index) = tensor { try add(index, prefix + name) }
      }
    }
    for (name, child) in try entries("_modules", of: module) {
      guard case .object(let index) = child else { continue }
      try add(pickle.objects[index], prefix: "\(prefix)\(name).", depth: depth + 1)
    }
  }

  private mutating func entries(
    _ attribute: String, of module: Pickle.Object
  ) throws(InterchangeError) -> [(String, Pickle.Value)] {
    try account(entries: pickle.entryCount(module.state))
    guard let entries = pickle.attribute(attribute, of: module), case .dictionary(let index) = entries else {
      return []
    }
    try account(entries: pickle.entryCount(entries))
    return pickle.dictionaries[index].compactMap { entry in
      if case .string(let name) = entry.key { (name, entry.value) } else { nil }
    }
  }

  /// Modules and dictionaries may be shared, so that walking them can cost far more than the file has bytes.
  private mutating func account(entries: Int) throws(InterchangeError) {
    entriesSeen += entries
    guard entriesSeen <= 10_000_000 else { throw fail("its modules are repeated beyond reason") }
  }

  /// A list of names, or a dictionary from index to name (since v7.0).
  private mutating func addClassNames(of model: Pickle.Object) throws(InterchangeError) {
    var names: [String] = []
    switch pickle.attribute("names", of: model) {
    case .dictionary(let index)?:
      let entries = pickle.dictionaries[index]
      guard entries.count <= 10_000 else { throw fail("has \(entries.count) class names") }
      var named: [Int: String] = [:]
      for case (.int(let number), .string(let name)) in entries { named[number] = named[number] ?? name }
      for number in entries.indices {
        guard let name = named[number] else { return }
        names.append(name)
      }
    case let list?:
      names = (pickle.items(list) ?? []).compactMap { if case .string(let name) = $0 { name } else { nil } }
    case nil: break
    }
    guard !names.isEmpty else { return }
    content.metadata["class_names"] = "[\(names.map(quotedJSON).joined(separator: ","))]"
  }

  /// Copies a view into row-major order.
  private mutating func add(_ index: Int, _ name: String) throws(InterchangeError) {
    let view = pickle.tensors[index]
    let storage = pickle.storages[view.storage]
    func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, "tensor \(name): \(reason)") }
    let source = try bytes(of: storage)
    let width = storage.type.byteCount
    guard source.count % width == 0, source.count / width == storage.count else {
      throw fail("its storage \(storage.key) holds \(source.count) bytes, not \(storage.count) elements")
    }
    let count = try elementCount(view, of: storage, name)
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
    content.tensors[name] = StoredTensor(type: storage.type, shape: view.shape, bytes: copied)
  }

  /// A view that fits its storage is neither larger than it nor reaches beyond it; all products are checked first.
  private func elementCount(
    _ view: Pickle.TensorView, of storage: Pickle.Storage, _ name: String
  ) throws(InterchangeError) -> Int {
    func misfit() -> InterchangeError {
      InterchangeError(
        file: file,
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

  private mutating func bytes(of storage: Pickle.Storage) throws(InterchangeError) -> ArraySlice<UInt8> {
    if let bytes = storages[storage.key] { return bytes }
    let bytes = try archive.contents("\(folder)data/\(storage.key)")
    storages[storage.key] = bytes
    return bytes
  }

  private func fail(_ reason: String) -> InterchangeError { InterchangeError(file: file, reason) }
}
