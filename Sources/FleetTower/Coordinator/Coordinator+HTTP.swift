import Artifacts
import Fleet
import Transport

/// The dashboard's door.
extension Coordinator {
  /// An answer, kept for a second, or longer if it took long: however often it is asked for, no more than a tenth of
  /// the loop's time goes into it.
  struct KeptAnswer {
    let response: HTTPResponse
    let until: Instant
  }

  private static let keptLimit = 64

  /// Where the dashboard is; nil if there is none.
  public var httpAddress: SocketAddress? { http?.address }

  func listenForBrowsers(_ tokens: [Token]) throws {
    guard let endpoint = options.httpEndpoint else { return }
    let http = try HTTPListener(at: endpoint, on: loop, tokens: tokens) { [self] request in answer(request) }
    self.http = http
    options.log("dashboard on http://\(http.address)/, to be opened with an operator token as the password")
  }

  private func answer(_ request: HTTPRequest) -> HTTPResponse {
    if let kept = keptAnswers[request.path], kept.until > now { return kept.response }
    let start = now
    let response: HTTPResponse
    do throws(HTTPRefusal) { response = try dashboard.answer(request.path) } catch { return HTTPResponse(error) }
    let end = now
    if keptAnswers.count >= Self.keptLimit { keptAnswers = keptAnswers.filter { $0.value.until > end } }
    if keptAnswers.count >= Self.keptLimit { keptAnswers = [:] }
    let pause = max(1_000, 10 * (end.milliseconds - start.milliseconds))
    keptAnswers[request.path] = KeptAnswer(response: response, until: end.advanced(byMilliseconds: pause))
    return response
  }

  private var dashboard: Dashboard {
    measureStore()
    return Dashboard(
      brain: brain,
      shell: Dashboard.ShellFigures(
        connections: peers.count, httpConnections: http?.connectionCount ?? 0, journalRecords: outbox.decided,
        durableJournalRecords: outbox.durable, storeByteCount: storeByteCount))
  }

  /// Counting files takes a disk's time; it happens beside the loop, and only while somebody looks.
  private func measureStore() {
    guard now >= storeMeasurement else { return }
    storeMeasurement = now.advanced(byMilliseconds: 30_000)
    Task { storeByteCount = await StoreMeter(artifacts).byteCount ?? storeByteCount }
  }
}

/// How much lies in a folder of artifacts. Blocks, so it has a thread of its own while it counts.
private actor StoreMeter {
  private nonisolated let thread = BlockingExecutor("store meter")
  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.executor }
  private let folder: ArtifactFolder

  init(_ folder: ArtifactFolder) { self.folder = folder }

  var byteCount: Int? { (try? folder.entries())?.reduce(0) { $0 + $1.byteCount } }
}
