import JSON

/// JSON as the fleet writes it, on the wire and in the journal: members in the order their types declare them,
/// dictionaries sorted, and figures that JSON has no word for (a loss that became NaN) as strings. Written straight
/// into bytes, because every job costs a coordinator five messages and records.
extension JSON {
  /// Encodes a value of the fleet, none of which can fail to be encoded.
  public static func encode(_ value: some Encodable) -> [UInt8] {
    let output = JSONOutput()
    do {
      try output.write(value, depth: 0)
    } catch {
      preconditionFailure("a value without JSON: \(error)")
    }
    output.close(to: 0)
    return output.bytes
  }

  /// The same with all members sorted: what commands print and the dashboard serves.
  public static func sorted(_ value: some Encodable) -> String {
    do { return try decode(PlainValue.self, from: encode(value), .fleet).canonicalJSON } catch {
      preconditionFailure("JSON that cannot be read: \(error)")
    }
  }
}
