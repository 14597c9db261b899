import Interchange
public import Network

/// A pickle as `torch.save` writes it, assembled by hand: emits the instructions that PyTorch's pickles are made of.
public struct PickleWriter: Sendable {
  public var bytes: [UInt8] = [0x80, 2]

  public init() {}

  public mutating func none() { bytes.append(UInt8(ascii: "N")) }

  public mutating func string(_ text: String) {
    bytes.append(UInt8(ascii: "X"))
    bytes += littleEndian(text.utf8.count, 4) + Array(text.utf8)
  }

  public mutating func global(_ module: String, _ name: String) { bytes += Array("c\(module)\n\(name)\n".utf8) }

  /// A call of a function or class with arguments.
  public mutating func call(_ module: String, _ name: String, _ arguments: [(inout PickleWriter) -> Void] = []) {
    global(module, name)
    bytes.append(UInt8(ascii: "("))
    for argument in arguments { argument(&self) }
    bytes += Array("tR".utf8)
  }

  /// An object of a class, with its attributes.
  public mutating func object(
    _ module: String, _ name: String, _ attributes: [(String, (inout PickleWriter) -> Void)]
  ) {
    global(module, name)
    bytes += Array(")".utf8) + [0x81]
    dictionary(attributes)
    bytes.append(UInt8(ascii: "b"))
  }

  public mutating func integer(_ value: Int) { bytes += [0x8a, 8] + littleEndian(value, 8) }

  public mutating func integers(_ values: [Int]) {
    bytes.append(UInt8(ascii: "("))
    for value in values { integer(value) }
    bytes.append(UInt8(ascii: "t"))
  }

  public mutating func pairs(_ pairs: [((inout PickleWriter) -> Void, (inout PickleWriter) -> Void)]) {
    bytes += Array("}(".utf8)
    for (key, value) in pairs {
      key(&self)
      value(&self)
    }
    bytes.append(UInt8(ascii: "u"))
  }

  public mutating func dictionary(_ entries: [(String, (inout PickleWriter) -> Void)]) {
    pairs(entries.map { entry in ({ $0.string(entry.0) }, entry.1) })
  }

  public mutating func tensor(
    _ type: String, _ key: String, _ count: Int, offset: Int, _ shape: [Int], _ strides: [Int]
  ) {
    global("torch._utils", "_rebuild_tensor_v2")
    bytes += Array("((".utf8)
    string("storage")
    global("torch", type)
    string(key)
    string("cpu")
    integer(count)
    bytes += Array("tQ".utf8)
    integer(offset)
    integers(shape)
    integers(strides)
    bytes.append(0x89)
    global("collections", "OrderedDict")
    bytes += Array(")RtR".utf8)
  }

  /// A tree of modules that holds `parameters`; tensors become storages of their own.
  public mutating func module(
    _ network: Network, _ parameters: Parameters, storages: inout [String: [UInt8]], at path: String = "",
    names: ((inout PickleWriter) -> Void)? = nil
  ) {
    let prefix = path.isEmpty ? "" : "\(path)."
    func isChild(_ name: String) -> Bool {
      name.hasPrefix(prefix) && name != path && !name.dropFirst(prefix.count).contains(".") && !name.isEmpty
    }
    global("models.common", "Module")
    bytes += Array(")".utf8) + [0x81] + Array("}(".utf8)
    string("_parameters")
    bytes += Array("}(".utf8)
    for spec in network.parameterSpecs where isChild(spec.name) {
      string(String(spec.name.dropFirst(prefix.count)))
      let key = "\(storages.count)"
      let type: ElementType = spec.role == .batchCount ? .int64 : .float32
      storages[key] = StoredTensor(parameters[spec.name]!, as: type).bytes
      var strides = Array(repeating: 1, count: spec.shape.count)
      for axis in spec.shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * spec.shape[axis + 1] }
      tensor(
        type == .int64 ? "LongStorage" : "FloatStorage", key, spec.count, offset: 0, spec.shape, strides)
    }
    bytes.append(UInt8(ascii: "u"))
    string("_modules")
    bytes += Array("}(".utf8)
    for module in network.modules where isChild(module.path) {
      string(String(module.path.dropFirst(prefix.count)))
      self.module(network, parameters, storages: &storages, at: module.path)
    }
    bytes.append(UInt8(ascii: "u"))
    if let names {
      string("names")
      names(&self)
    }
    bytes += Array("ub".utf8)
  }
}

public func littleEndian(_ value: Int, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

/// How an archive is written.
public struct ArchiveStyle: Sendable {
  /// Sizes and offsets stand in zip64's fields, as beyond 4 GB.
  public var isZip64 = false
  /// Sizes and checksum stand behind each member as well, and not before it.
  public var hasDataDescriptors = false
  public var hasChecksums = true
  /// 0: stored.
  public var method = 0
  public var more: [String: [UInt8]] = [:]

  public init() {}
}

/// Returns a zip archive of stored members.
public func archive(
  _ pickle: PickleWriter, _ storages: [String: [UInt8]], _ style: ArchiveStyle = ArchiveStyle()
) -> [UInt8] {
  var members = [("archive/data.pkl", pickle.bytes + [UInt8(ascii: ".")])]
  members += storages.sorted { $0.key < $1.key }.map { ("archive/data/\($0.key)", $0.value) }
  members += style.more.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  return archive(members, style)
}

/// Returns a zip archive of stored members.
public func archive(_ members: [(String, [UInt8])], _ style: ArchiveStyle = ArchiveStyle()) -> [UInt8] {
  var bytes: [UInt8] = []
  var directory: [UInt8] = []
  let wide = 0xffff_ffff
  for (name, contents) in members {
    let checksum = style.hasChecksums ? Int(crc32(contents)) : 0
    func sizes(_ checksum: Int, _ count: Int) -> [UInt8] {
      littleEndian(checksum, 4) + littleEndian(count, 4) + littleEndian(count, 4)
    }
    let flags = littleEndian(style.hasDataDescriptors ? 8 : 0, 2) + littleEndian(style.method, 2) + littleEndian(0, 4)
    // An unknown field before that of zip64 has to be passed over.
    let extra = littleEndian(0x4246, 2) + littleEndian(2, 2) + [7, 7] + littleEndian(1, 2) + littleEndian(24, 2)
    let extraBytes =
      style.isZip64
      ? extra + littleEndian(contents.count, 8) + littleEndian(contents.count, 8) + littleEndian(bytes.count, 8) : []
    directory += [0x50, 0x4b, 1, 2, 0, 0, 0, 0] + flags
    directory += sizes(checksum, style.isZip64 ? wide : contents.count)
    directory += littleEndian(name.utf8.count, 2) + littleEndian(extraBytes.count, 2) + littleEndian(0, 10)
    directory += littleEndian(style.isZip64 ? wide : bytes.count, 4) + Array(name.utf8) + extraBytes
    bytes += [0x50, 0x4b, 3, 4, 0, 0] + flags
    bytes += style.hasDataDescriptors ? sizes(0, 0) : sizes(checksum, contents.count)
    bytes += littleEndian(name.utf8.count, 2) + [0, 0] + Array(name.utf8) + contents
    if style.hasDataDescriptors { bytes += [0x50, 0x4b, 7, 8] + sizes(checksum, contents.count) }
  }
  let start = bytes.count
  bytes += directory
  if style.isZip64 {
    let record = bytes.count
    bytes += [0x50, 0x4b, 6, 6] + littleEndian(44, 8) + littleEndian(0, 12) + littleEndian(members.count, 8)
    bytes += littleEndian(members.count, 8) + littleEndian(directory.count, 8) + littleEndian(start, 8)
    bytes += [0x50, 0x4b, 6, 7] + littleEndian(0, 4) + littleEndian(record, 8) + littleEndian(1, 4)
  }
  let count = style.isZip64 ? 0xffff : members.count
  return bytes + [0x50, 0x4b, 5, 6, 0, 0, 0, 0] + littleEndian(count, 2) + littleEndian(count, 2)
    + littleEndian(style.isZip64 ? wide : directory.count, 4) + littleEndian(style.isZip64 ? wide : start, 4) + [0, 0]
}

/// CRC-32 as in zip and PNG.
public func crc32(_ bytes: [UInt8]) -> UInt32 {
  ~bytes.reduce(UInt32.max) { checksums[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ ($0 >> 8) }
}

private let checksums = (UInt32(0)..<256).map { byte in
  (0..<8).reduce(byte) { value, _ in value & 1 == 1 ? (value >> 1) ^ 0xedb8_8320 : value >> 1 }
}
