/// TensorBoard's log of a run: records in TFRecord's framing, each an `Event` message with scalars and histograms.
///
/// The bytes follow from the events alone; the wall time is part of an event and comes from outside.
public struct EventFile: Sendable, Hashable {
  public struct Scalar: Sendable, Hashable {
    public var tag: String
    public var value: Float

    public init(_ tag: String, _ value: Float) {
      self.tag = tag
      self.value = value
    }
  }

  /// How values are spread over bins.
  public struct Histogram: Sendable, Hashable {
    public var tag: String
    /// The least value, which is the lower edge of the first bin.
    public var lowest: Double
    /// Ascending; that of the last bin is the greatest value.
    public var upperEdges: [Double]
    /// The number of values in each bin.
    public var counts: [Double]

    public init(_ tag: String, lowest: Double, upperEdges: [Double], counts: [Double]) {
      self.tag = tag
      self.lowest = lowest
      self.upperEdges = upperEdges
      self.counts = counts
    }
  }

  /// The measurements at one step.
  public struct Event: Sendable, Hashable {
    /// Since 1970.
    public var wallTimeSeconds: Double
    public var step: Int
    public var scalars: [Scalar]
    public var histograms: [Histogram]

    public init(wallTimeSeconds: Double, step: Int, scalars: [Scalar], histograms: [Histogram] = []) {
      self.wallTimeSeconds = wallTimeSeconds
      self.step = step
      self.scalars = scalars
      self.histograms = histograms
    }
  }

  /// The beginning of a name by which TensorBoard finds a log in a folder.
  public static let namePrefix = "events.out.tfevents."
  private static let version = "brain.Event:2"

  /// When the log was begun.
  public var wallTimeSeconds: Double
  public var events: [Event]

  public init(wallTimeSeconds: Double, events: [Event] = []) {
    self.wallTimeSeconds = wallTimeSeconds
    self.events = events
  }

  /// The whole file; the record of a further event may be appended as it is.
  public var encoded: [UInt8] {
    var header = ProtobufMessage()
    header.append(1, wallTimeSeconds)
    header.append(3, Self.version)
    return Self.framed(header.encoded) + events.flatMap(\.record)
  }

  /// Length, checksum of the length, content, checksum of the content.
  fileprivate static func framed(_ content: [UInt8]) -> [UInt8] {
    let length = littleEndian(UInt64(content.count))
    return length + littleEndian(CRC32C.masked(length)) + content + littleEndian(CRC32C.masked(content))
  }
}

extension EventFile.Event {
  /// The event as it stands in a file.
  public var record: [UInt8] {
    var summary = ProtobufMessage()
    for scalar in scalars {
      var value = ProtobufMessage()
      value.append(1, scalar.tag)
      value.append(2, scalar.value)
      summary.append(1, value)
    }
    for histogram in histograms {
      var value = ProtobufMessage()
      value.append(1, histogram.tag)
      value.append(5, histogram.message)
      summary.append(1, value)
    }
    var event = ProtobufMessage()
    event.append(1, wallTimeSeconds)
    event.append(2, step)
    event.append(5, summary)
    return EventFile.framed(event.encoded)
  }
}

extension EventFile.Histogram {
  /// TensorFlow's `HistogramProto`. The sums count each value as if it lay in the middle of its bin.
  fileprivate var message: ProtobufMessage {
    let middles = zip([lowest] + upperEdges, upperEdges).map { ($0 + $1) / 2 }
    func sum(_ terms: some Sequence<Double>) -> Double { terms.reduce(0, +) }
    var message = ProtobufMessage()
    message.append(1, lowest)
    message.append(2, upperEdges.last ?? lowest)
    message.append(3, sum(counts))
    message.append(4, sum(zip(middles, counts).map { $0 * $1 }))
    message.append(5, sum(zip(middles, counts).map { $0 * $0 * $1 }))
    message.append(6, upperEdges.flatMap { littleEndian($0.bitPattern) })
    message.append(7, counts.flatMap { littleEndian($0.bitPattern) })
    return message
  }

  fileprivate init?(tag: String, decoding bytes: ArraySlice<UInt8>) {
    guard let fields = FieldReader.fields(of: bytes) else { return nil }
    func field(_ number: UInt64) -> FieldReader.Field? { fields.first { $0.number == number } }
    self.init(
      tag, lowest: field(1)?.double ?? 0, upperEdges: field(6)?.doubles ?? [], counts: field(7)?.doubles ?? [])
  }
}

extension EventFile {
  /// Reads a log back. A record that a crash has left unfinished at the end is left out, with all behind it.
  /// - Parameter name: what to call the file in an error.
  /// - Throws: `InterchangeError` if the file does not begin as a log does.
  public init(decoding bytes: [UInt8], name: String) throws(InterchangeError) {
    var rest = bytes[...]
    guard let header = Self.nextRecord(&rest).flatMap({ FieldReader.fields(of: $0) }),
      header.contains(where: { $0.number == 3 && $0.text == Self.version })
    else { throw InterchangeError(file: name, "is no event log of TensorBoard's version 2") }
    self.init(wallTimeSeconds: header.first { $0.number == 1 }?.double ?? 0)
    while let record = Self.nextRecord(&rest), let event = Event(decoding: record) { events.append(event) }
  }

  private static func nextRecord(_ bytes: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    guard bytes.count >= 16 else { return nil }
    let start = bytes.startIndex
    let lengthBytes = bytes[start..<start + 8]
    let length = integer(lengthBytes)
    guard UInt32(truncatingIfNeeded: integer(bytes[start + 8..<start + 12])) == CRC32C.masked(lengthBytes),
      length <= UInt64(bytes.count - 16)
    else { return nil }
    let end = start + 12 + Int(length)
    let content = bytes[start + 12..<end]
    guard UInt32(truncatingIfNeeded: integer(bytes[end..<end + 4])) == CRC32C.masked(content) else { return nil }
    bytes = bytes[(end + 4)...]
    return content
  }
}

extension EventFile.Event {
  fileprivate init?(decoding bytes: ArraySlice<UInt8>) {
    guard let fields = FieldReader.fields(of: bytes) else { return nil }
    self.init(wallTimeSeconds: 0, step: 0, scalars: [])
    for field in fields {
      switch field.number {
      case 1: wallTimeSeconds = field.double
      case 2: step = Int(truncatingIfNeeded: field.integer)
      case 5:
        guard let values = FieldReader.fields(of: field.content) else { return nil }
        for value in values where value.number == 1 {
          guard let parts = FieldReader.fields(of: value.content) else { return nil }
          let tag: String = parts.first(where: { $0.number == 1 })?.text ?? ""
          if let histogram = parts.first(where: { $0.number == 5 }) {
            guard let histogram = EventFile.Histogram(tag: tag, decoding: histogram.content) else { return nil }
            histograms.append(histogram)
          } else {
            scalars.append(EventFile.Scalar(tag, parts.first { $0.number == 2 }?.float ?? 0))
          }
        }
      default: break
      }
    }
  }
}

/// The fields of one message of protocol buffers.
private struct FieldReader {
  struct Field {
    var number: UInt64
    /// The value of a varint or of a number of fixed size.
    var integer: UInt64 = 0
    /// The bytes of a text or a message.
    var content: ArraySlice<UInt8> = []

    var double: Double { Double(bitPattern: integer) }
    var float: Float { Float(bitPattern: UInt32(truncatingIfNeeded: integer)) }
    var text: String { String(decoding: content, as: UTF8.self) }
    /// The numbers of a packed list.
    var doubles: [Double] {
      stride(from: content.startIndex, to: content.endIndex - 7, by: 8).map { start in
        Double(bitPattern: Interchange.integer(content[start..<start + 8]))
      }
    }
  }

  private var rest: ArraySlice<UInt8>

  /// nil where the bytes are no message.
  static func fields(of bytes: ArraySlice<UInt8>) -> [Field]? {
    var reader = FieldReader(rest: bytes)
    var fields: [Field] = []
    while !reader.rest.isEmpty {
      guard let field = reader.next() else { return nil }
      fields.append(field)
    }
    return fields
  }

  private mutating func next() -> Field? {
    guard let key = varint() else { return nil }
    switch key & 7 {
    case 0: return varint().map { Field(number: key >> 3, integer: $0) }
    case 1: return take(8).map { Field(number: key >> 3, integer: integer($0)) }
    case 2: return varint().flatMap { take($0) }.map { Field(number: key >> 3, content: $0) }
    case 5: return take(4).map { Field(number: key >> 3, integer: integer($0)) }
    default: return nil
    }
  }

  private mutating func varint() -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard let byte = rest.popFirst() else { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }

  private mutating func take(_ count: UInt64) -> ArraySlice<UInt8>? {
    guard count <= UInt64(rest.count) else { return nil }
    defer { rest = rest.dropFirst(Int(count)) }
    return rest.prefix(Int(count))
  }
}

private func littleEndian(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
  (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

private func integer(_ littleEndian: ArraySlice<UInt8>) -> UInt64 {
  littleEndian.reversed().reduce(0) { $0 << 8 | UInt64($1) }
}
