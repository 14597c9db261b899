import JSON
import Wording

/// The JSON header of a safetensors file. Names that stand twice and members that the format does not know are refused,
/// and memory is taken in proportion to the text: the shortest entries have more than three bytes for each value.
struct SafetensorsHeader {
  struct Entry {
    var name: String
    var type: ElementType
    var shape: [Int]
    /// In the data section; its length is what type and shape ask for.
    var range: Range<Int>
  }

  /// More than any model has.
  static let maximumEntries = 100_000
  static let maximumDimensions = 16

  let metadata: [String: String]
  let entries: [Entry]

  /// - Parameter dataCount: bytes of the data section.
  init(_ text: ArraySlice<UInt8>, file: String, dataCount: Int) throws(InterchangeError) {
    let header: Header
    do {
      header = try JSON.decode(Header.self, from: text, valueLimit: text.count / 3 + 16)
    } catch {
      throw InterchangeError(file: file, "the header is not the JSON of a safetensors file (\(error))")
    }
    metadata = header.metadata
    var entries: [Entry] = []
    entries.reserveCapacity(header.tensors.count)
    for (name, tensor) in header.tensors {
      do { entries.append(try tensor.entry(name, dataCount: dataCount)) } catch {
        throw InterchangeError(file: file, "tensor \(name.shortened()): \(error.reason)")
      }
    }
    self.entries = entries
  }
}

private struct Header: Decodable {
  var metadata: [String: String] = [:]
  var tensors: [(name: String, Tensor)] = []

  init(from decoder: any Decoder) throws {
    let members = try decoder.container(keyedBy: HeaderName.self)
    for key in try members.distinctKeys() {
      guard key.stringValue == "__metadata__" else {
        tensors.append((key.stringValue, try members.decode(Tensor.self, forKey: key)))
        continue
      }
      let texts = try members.nestedContainer(keyedBy: HeaderName.self, forKey: key)
      for name in try texts.distinctKeys() {
        guard let text = try? texts.decode(String.self, forKey: name) else {
          // An error of the text itself, such as an unknown escape, says more.
          _ = try texts.decode(PlainValue.self, forKey: name)
          throw refusal("it may hold text only", texts)
        }
        metadata[name.stringValue] = text
      }
    }
  }

  struct Tensor: Decodable {
    let dtype: String
    let shape: [Int]
    let offsets: [Int]

    init(from decoder: any Decoder) throws {
      let members = try decoder.container(keyedBy: HeaderName.self)
      guard Set(try members.distinctKeys().map(\.stringValue)) == ["dtype", "shape", "data_offsets"] else {
        throw refusal("it has neither type nor offsets, or no shape, or something else", members)
      }
      dtype = try members.decode(String.self, forKey: HeaderName("dtype"))
      shape = try members.decode([Int].self, forKey: HeaderName("shape"))
      offsets = try members.decode([Int].self, forKey: HeaderName("data_offsets"))
    }

    struct Refusal: Error { let reason: String }

    func entry(_ name: String, dataCount: Int) throws(Refusal) -> SafetensorsHeader.Entry {
      func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws(Refusal) {
        if !condition { throw Refusal(reason: reason()) }
      }
      guard let type = ElementType(rawValue: dtype) else {
        let known = ElementType.allCases.map(\.rawValue).joined(separator: ", ")
        throw Refusal(reason: "its type \(dtype.shortened()) is none of \(known)")
      }
      let limit = SafetensorsHeader.maximumDimensions
      try require(shape.count <= limit, "more than \(limit) dimensions")
      var byteCount = type.byteCount
      for dimension in shape {
        let (product, overflow) = byteCount.multipliedReportingOverflow(by: dimension)
        try require(dimension >= 0 && !overflow, "its shape \(shape) is impossible")
        byteCount = product
      }
      try require(
        offsets.count == 2 && offsets[0] >= 0 && offsets[0] <= offsets[1] && offsets[1] <= dataCount,
        "its offsets \(offsets.prefix(4)) do not lie within the \(dataCount) bytes of data")
      try require(
        offsets[1] - offsets[0] == byteCount,
        "\(offsets[1] - offsets[0]) bytes do not hold \(dtype) × \(shape)")
      return SafetensorsHeader.Entry(name: name, type: type, shape: shape, range: offsets[0]..<offsets[1])
    }
  }
}

/// A name in the header, whatever it is.
struct HeaderName: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }
  init(_ name: String) { stringValue = name }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

extension KeyedDecodingContainer<HeaderName> {
  fileprivate func distinctKeys() throws -> [HeaderName] {
    let (keys, limit) = (allKeys, SafetensorsHeader.maximumEntries)
    guard keys.count <= limit else { throw refusal("more than \(limit) names", self) }
    var seen: Set<String> = []
    if let twice = keys.first(where: { !seen.insert($0.stringValue).inserted }) {
      throw refusal("\(twice.stringValue.shortened()) stands there twice", self)
    }
    return keys
  }
}

private func refusal(_ reason: String, _ container: KeyedDecodingContainer<HeaderName>) -> DecodingError {
  .dataCorrupted(.init(codingPath: container.codingPath, debugDescription: reason))
}
