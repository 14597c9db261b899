import Bytes
import Fleet
import JSON
import Sweep
import Wording

/// Everything that travels in a frame: one byte for the frame's format, one for the kind of message, then JSON, or for
/// chunks the bytes themselves.
public enum WireMessage: Hashable, Sendable {
  case worker(WorkerMessage)
  case coordinator(CoordinatorMessage)
  case request(OperatorRequest)
  case response(OperatorResponse)
  case bulkRequest(BulkRequest)
  case bulkResponse(BulkResponse)
  case chunk(Chunk)

  /// Raised when the layout of frames changes; what messages mean has a version of its own (`FleetProtocol`).
  static let format: UInt8 = 1

  fileprivate enum Kind: UInt8 { case worker = 1, coordinator, request, response, bulkRequest, bulkResponse, chunk }

  /// Reads a frame from an authenticated but possibly hostile peer.
  public init(_ frame: [UInt8]) throws(WireError) {
    guard frame.count >= 2 else { throw .empty }
    guard frame[0] == Self.format else { throw .unknownFormat(frame[0]) }
    guard let kind = Kind(rawValue: frame[1]) else { throw .unknownKind(frame[1]) }
    let payload = frame[2...]
    switch kind {
    case .worker: self = .worker(try Self.decode(payload, "worker message"))
    case .coordinator: self = .coordinator(try Self.decode(payload, "coordinator message"))
    case .request: self = .request(try Self.decode(payload, "request"))
    case .response: self = .response(try Self.decode(payload, "response"))
    case .bulkRequest: self = .bulkRequest(try Self.decode(payload, "bulk request"))
    case .bulkResponse: self = .bulkResponse(try Self.decode(payload, "bulk response"))
    case .chunk: self = .chunk(try Chunk(payload))
    }
  }

  public var frame: [UInt8] {
    switch self {
    case .worker(let message): Self.frame(.worker, JSON.encode(message))
    case .coordinator(let message): Self.frame(.coordinator, JSON.encode(message))
    case .request(let message): Self.frame(.request, JSON.encode(message))
    case .response(let message): Self.frame(.response, JSON.encode(message))
    case .bulkRequest(let message): Self.frame(.bulkRequest, JSON.encode(message))
    case .bulkResponse(let message): Self.frame(.bulkResponse, JSON.encode(message))
    case .chunk(let chunk): chunk.frameHead + chunk.bytes
    }
  }

  /// The name of the message's kind in errors.
  public var kind: String {
    switch self {
    case .worker: "worker message"
    case .coordinator: "coordinator message"
    case .request: "request"
    case .response: "response"
    case .bulkRequest: "bulk request"
    case .bulkResponse: "bulk response"
    case .chunk: "chunk"
    }
  }

  private static func frame(_ kind: Kind, _ payload: [UInt8]) -> [UInt8] { [format, kind.rawValue] + payload }

  private static func decode<Message: Decodable>(
    _ payload: ArraySlice<UInt8>, _ kind: String
  ) throws(WireError) -> Message {
    do { return try JSON.decode(Message.self, from: payload, .fleet) } catch {
      throw .malformed(kind: kind, reason: "\(error)".shortened(to: 500))
    }
  }
}

extension Chunk {
  /// The bytes before the content in a frame. Long frames are sent in two parts, not copied into one.
  public var frameHead: [UInt8] { [WireMessage.format, WireMessage.Kind.chunk.rawValue] + header }
}

/// A request on a bulk connection; they follow one another.
public enum BulkRequest: Hashable, Sendable, Codable {
  /// Offers an artifact. Answered by `stored`, or by `resume`, whereupon the chunks follow and then the answer
  /// `stored`.
  case put(ArtifactReference)
  /// Asks for an artifact from `offset` on. Answered by `artifact`, whereupon the chunks follow.
  /// - Parameter byteCount: how many bytes it has in all; what the store has under its name may be damaged.
  case get(Digest, offset: Int, byteCount: Int? = nil)
}

public enum BulkResponse: Hashable, Sendable, Codable {
  /// The store holds it durably.
  case stored
  /// Send from here on: what comes before arrived earlier.
  case resume(offset: Int)
  case artifact(byteCount: Int)
  /// The connection is closed after it.
  case failed(reason: String)
}
