/// A connection for code that reads top to bottom: ask for the next frame, send one, wait while the peer is slow.
///
/// Belongs to the actor (on the connection's loop) that made it. One task reads and one writes at a time. It takes
/// frames from the socket only as fast as they are asked for.
public final class FrameStream {
  private let connection: Connection
  /// The frames that have arrived; those before `first` have been taken.
  private var frames: [[UInt8]] = []
  private var first = 0
  /// The bytes that all of them take up, those taken included.
  private var byteCount = 0
  private var failure: TransportError?
  private var isOpen: Bool
  private var reader: CheckedContinuation<Void, Never>?
  private var writer: CheckedContinuation<Void, Never>?

  /// The most bytes that frames may take up here before the socket is left to fill up.
  private static let byteLimit = 2 << 20
  /// The memory of a frame besides its bytes: a peer may send millions of small ones.
  private static let frameOverhead = 64
  private static let pendingByteLimit = 1 << 20

  public init(_ connection: Connection) {
    self.connection = connection
    isOpen = connection.token != nil
    connection.onEvent = { [self] event in handle(event) }
  }

  public var peer: String { connection.peer }
  public var token: Token? { connection.token }

  /// Waits for the handshake of a dialled connection.
  public nonisolated(nonsending) func opened() async throws {
    while !isOpen {
      if let failure { throw failure }
      await withCheckedContinuation { reader = $0 }
    }
  }

  /// The next frame.
  public nonisolated(nonsending) func next() async throws -> [UInt8] {
    while true {
      if let frame = nextHere() { return frame }
      if let failure { throw failure }
      await withCheckedContinuation { reader = $0 }
    }
  }

  /// The next frame if it has arrived already.
  public func nextHere() -> [UInt8]? {
    guard first < frames.count else { return nil }
    let frame = frames[first]
    frames[first] = []
    first += 1
    if first == frames.count {
      frames.removeAll(keepingCapacity: true)
      (first, byteCount) = (0, 0)
      connection.resume()
    }
    return frame
  }

  /// Sends one frame, `head` and then `body`, after waiting until the peer has taken most of what was sent before.
  public nonisolated(nonsending) func send(_ head: [UInt8], _ body: ArraySlice<UInt8> = []) async throws {
    while failure == nil && connection.pendingByteCount > Self.pendingByteLimit {
      await withCheckedContinuation { writer = $0 }
    }
    if let failure { throw failure }
    connection.send(head, body)
  }

  /// Closes once everything sent is on its way.
  public func close() { connection.closeAfterFlush() }

  /// Closes at once; whoever waits gets an error that says why.
  public func abort(_ reason: String) { connection.close(reason) }

  private func handle(_ event: Connection.Event) {
    switch event {
    case .opened: isOpen = true
    case .frame(let frame):
      frames.append(frame)
      byteCount += frame.count + Self.frameOverhead
      if byteCount >= Self.byteLimit { connection.pause() }
    case .drained: break
    case .closed(let reason): failure = .closed(peer: connection.peer, reason: reason)
    }
    switch event {
    case .drained: wakeWriter()
    case .closed:
      wakeReader()
      wakeWriter()
    case .opened, .frame: wakeReader()
    }
  }

  private func wakeReader() {
    reader?.resume()
    reader = nil
  }

  private func wakeWriter() {
    writer?.resume()
    writer = nil
  }
}
