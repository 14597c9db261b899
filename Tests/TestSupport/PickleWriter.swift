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

/// A zip archive of stored members.
public func archive(_ pickle: PickleWriter, _ storages: [String: [UInt8]]) -> [UInt8] {
  var members = [("archive/data.pkl", pickle.bytes + [UInt8(ascii: ".")])]
  members += storages.sorted { $0.key < $1.key }.map { ("archive/data/\($0.key)", $0.value) }
  var bytes: [UInt8] = []
  var directory: [UInt8] = []
  for (name, contents) in members {
    let common =
      littleEndian(0, 8) + littleEndian(Int(crc32(contents)), 4) + littleEndian(contents.count, 4)
      + littleEndian(contents.count, 4) + littleEndian(name.utf8.count, 2)
    directory += [0x50, 0x4b, 1, 2, 0, 0] + [0, 0] + common + littleEndian(0, 12) + littleEndian(bytes.count, 4)
    directory += Array(name.utf8)
    bytes += [0x50, 0x4b, 3, 4, 0, 0] + common + [0, 0] + Array(name.utf8) + contents
  }
  let start = bytes.count
  return bytes + directory + [0x50, 0x4b, 5, 6, 0, 0, 0, 0] + littleEndian(members.count, 2)
    + littleEndian(members.count, 2) + littleEndian(directory.count, 4) + littleEndian(start, 4) + [0, 0]
}

/// CRC-32 as in zip and PNG.
public func crc32(_ bytes: [UInt8]) -> UInt32 {
  ~bytes.reduce(UInt32.max) { checksums[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ ($0 >> 8) }
}

private let checksums = (UInt32(0)..<256).map { byte in
  (0..<8).reduce(byte) { value, _ in value & 1 == 1 ? (value >> 1) ^ 0xedb8_8320 : value >> 1 }
}
