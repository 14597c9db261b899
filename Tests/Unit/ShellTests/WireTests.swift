import Bytes
import Fleet
import JSON
import Randomness
import Sweep
import Testing
import Wire

private let digest = Digest(String(repeating: "0a", count: 32))!
private let reference = ArtifactReference(digest: digest, byteCount: 7)
private let attempt = AttemptNumber(42)

private let messages: [WireMessage] = [
  .worker(
    .hello(
      Hello(
        worker: WorkerID("w-1"), incarnation: .max, name: "kiste \"7\"", box: BoxID("b"), slots: 2, labels: ["a": "b"]))
  ),
  .worker(.heartbeat(attempts: [attempt])),
  .worker(.heartbeat(attempts: [attempt], fetching: [attempt])),
  .worker(
    .epochMetrics(
      attempt: attempt, metrics: EpochMetrics(epoch: 1, epochs: 3, seconds: 0.1, values: ["box_loss": -.infinity]))),
  .worker(.checkpointStored(attempt: attempt, checkpoint: Checkpoint(epoch: 1, artifact: reference))),
  .coordinator(.heartbeatAcknowledged),
  .coordinator(
    .assign(
      Assignment(
        attempt: attempt, job: JobKey(hashing: "x"),
        configuration: StageConfiguration(
          .train, ["seed": .int(1), "rates": .array([.double(0.5), .null, .bool(true)])]),
        inputs: [.dataset: reference]))),
  .request(.results(sweep: "campus", objectives: [Objective(.maximize, .map50)])),
  .request(.steer(sweep: "campus", mode: .paused)),
  .request(.prioritize(sweep: "campus", priority: -3)),
  .response(.refused(reason: "no")),
  .bulkRequest(.put(reference)),
  .bulkResponse(.resume(offset: 5)),
  .chunk(Chunk(offset: 1 << 40, isCompressed: true, bytes: [1, 2, 3])),
]

@Suite struct WireTests {
  @Test(arguments: messages) func readsWhatItWrote(message: WireMessage) throws {
    #expect(try WireMessage(message.frame) == message)
  }

  @Test func aLossThatIsNotANumberArrives() throws {
    let metrics = EpochMetrics(epoch: 1, epochs: 3, seconds: 0.1, values: ["box_loss": .nan])
    guard
      case .worker(.epochMetrics(_, let read)) =
        try WireMessage(WireMessage.worker(.epochMetrics(attempt: attempt, metrics: metrics)).frame)
    else { throw WireError.empty }
    #expect(read.values["box_loss"]!.isNaN)
  }

  /// Failures as workers reported them before there were final ones are still understood.
  @Test func aFailureWithoutAWordOfFinalityIsNone() throws {
    let old = Array(#"{"attemptFailed":{"attempt":42,"failure":{"message":"no memory"}}}"#.utf8)
    let failure = StageFailure(message: "no memory")
    #expect(try WireMessage([1, 1] + old) == .worker(.attemptFailed(attempt: attempt, failure: failure)))
    let final = WireMessage.worker(
      .attemptFailed(attempt: attempt, failure: StageFailure(message: "no", cause: .refused)))
    #expect(try WireMessage(final.frame) == final)
  }

  /// A job's state is written as the release before wrote it.
  @Test func aStatusOfTheReleaseBeforeIsUnderstood() throws {
    let summary =
      #"{"sweep":"campus-1f3a9c04","state":"running","priority":0,"trials":1,"jobs":{"waiting":0,"ready":0,"leased":1,"#
      + #""succeeded":0,"failed":0,"blocked":0,"cancelled":0}}"#
    let job =
      #"{"job":"0123456789abcdef0123456789abcdef","stage":"train","title":"yolov5n SGD","state":"running","#
      + #""worker":"w","attempts":1,"trials":["daf5258b"]}"#
    let text = Array(#"{"sweep":{"_0":{"summary":\#(summary),"jobs":[\#(job)]}}}"#.utf8)
    let message = try WireMessage([1, 4] + text)
    guard case .response(.sweep(let status)) = message else { throw WireError.empty }
    #expect(status.jobs.map(\.state) == [.running])
    #expect(message.frame == [1, 4] + text)
  }

  @Test func saysWhatItDoesNotUnderstand() {
    let frame = WireMessage.request(.workers).frame
    #expect(throws: WireError.empty) { try WireMessage([]) }
    #expect(throws: WireError.unknownFormat(9)) { try WireMessage([9] + frame.dropFirst()) }
    #expect(throws: WireError.unknownKind(99)) { try WireMessage([frame[0], 99] + frame.dropFirst(2)) }
    #expect { try WireMessage(Array(frame.dropLast())) } throws: { "\($0)".contains("malformed request") }
  }

  /// A frame is either a message or an error, whatever its bytes are.
  @Test func survivesMutatedFrames() {
    var random = SplitMix64(seed: 7)
    for _ in 0..<20_000 {
      var frame = messages[Int(random.next() % UInt64(messages.count))].frame
      for _ in 0...random.next() % 4 {
        guard !frame.isEmpty else { break }
        let index = Int(random.next() % UInt64(frame.count))
        switch random.next() % 4 {
        case 0: frame[index] ^= UInt8(1 << (random.next() % 8))
        case 1: frame[index] = UInt8(truncatingIfNeeded: random.next())
        case 2: frame.removeSubrange(index...)
        default: frame.insert(contentsOf: frame[index...].prefix(20), at: index)
        }
      }
      do { _ = try WireMessage(frame) } catch { #expect(error != .unexpected(kind: "")) }
    }
  }

  @Test func survivesDeepNesting() {
    for (open, count) in [("[", 100_000), ("{\"a\":", 100_000)] {
      let bytes = Array(String(repeating: open, count: count).utf8)
      #expect(throws: WireError.self) { try WireMessage([1, 3] + bytes) }
      let inside = Array(#"{"assign":{"_0":{"attempt":1,"configuration":{"x":"#.utf8) + bytes
      #expect(throws: WireError.self) { try WireMessage([1, 2] + inside) }
    }
  }
}
