@testable import Coordinator
import Fleet
import Sweep
@testable import Transport

extension FuzzReader {
  /// Readers of requests that browsers send.
  static let webReaders: [FuzzReader] = [
    FuzzReader(
      name: "http", fileExtension: "http",
      tokens: words("GET POST / /../ // %2e%2e%2f /metrics /api/sweeps /sweeps/campus HTTP/1.1 HTTP/2 Host: Host:evil")
        + words(
          "Authorization: Bearer Basic Content-Length: 9999999999 Transfer-Encoding: chunked ==== localhost: [::1]")
        + [[13, 10], [13, 10, 13, 10], [10], [13], [0], [32], [9], [0xff], [13, 10, 32]],
      seeds: [
        request("/"), request("/metrics"), request("/api/sweeps"), request("/api/workers"), request("/sweeps/campus"),
        request("/api/sweeps/campus"), request("/api/sweeps/campus/results"), request("/?x=1#y"),
        FuzzSeed("HEAD / HTTP/1.1\r\nHost: [::1]:80\r\nAuthorization: Bearer x.y\r\n\r\n"),
        FuzzSeed("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", isSound: false),
        FuzzSeed("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", isSound: false), FuzzSeed("", isSound: false),
      ],
      read: { bytes, file in
        do {
          guard let end = HTTPRequest.end(of: bytes) else { throw HTTPRefusal(400, "an unfinished request") }
          let request = try HTTPRequest(bytes[..<end])
          guard request.isForLoopback else { throw HTTPRefusal(421, "another host") }
          _ = request.shownToken
          let answer = try dashboard.answer(request.path)
          if answer.bytes(isHead: false).count > 1 << 20 { throw Broken("an answer of \(answer.body.count) bytes") }
        } catch let error as HTTPRefusal {
          let answer = HTTPResponse(error).bytes(isHead: false)
          if answer.split(separator: 10).count > 14 { throw Broken("a header came through: \(answer)") }
          throw NamedRefusal(file, error)
        }
      })
  ]

  private static func request(_ path: String) -> FuzzSeed {
    FuzzSeed(
      "GET \(path) HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl\r\nAuthorization: Basic eDpzZWNyZXQ=\r\n\r\n")
  }

  /// A small fleet at work, whose words are not all friendly.
  private static let dashboard: Dashboard = {
    var brain = CoordinatorBrain()
    let now = Instant(milliseconds: 0)
    let hello = Hello(
      worker: WorkerID("w"), incarnation: 1, name: "<script>alert(1)</script>", box: BoxID("\"><b>"), slots: 4)
    _ = brain.handle(.received(.hello(hello), from: ConnectionID(1)), at: now)
    _ = brain.handle(.requested(.submit(SampleMessages.submission), from: ConnectionID(2)), at: now)
    let metrics = EpochMetrics(epoch: 1, epochs: 3, seconds: .nan, values: ["map50": .infinity])
    _ = brain.handle(
      .received(.epochMetrics(attempt: SampleMessages.attempt, metrics: metrics), from: ConnectionID(1)), at: now)
    return Dashboard(brain: brain, shell: Dashboard.ShellFigures())
  }()
}
