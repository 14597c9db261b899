@testable import Coordinator
import Bytes
import Fleet
import Sweep
import Testing
import Transport

@Suite("dashboard") struct DashboardTests {
  @Test func aSweepShowsWhatWasLeftOutOfItsDataSet() throws {
    let digest = try #require(Digest(String(repeating: "0", count: 64)))
    var submission = SweepSubmission(
      spec: SweepSpec(name: "campus", dataset: "d.yaml"), dataset: ArtifactReference(digest: digest, byteCount: 1))
    submission.remarks = ["train: 1 of 4 images are left out: <b>.jpg"]
    var brain = CoordinatorBrain()
    _ = brain.handle(.requested(.submit(submission), from: ConnectionID(1)), at: Instant(milliseconds: 0))
    let dashboard = Dashboard(brain: brain, shell: Dashboard.ShellFigures())
    let page = String(decoding: try dashboard.answer("/sweeps/campus").body, as: UTF8.self)
    #expect(page.contains("train: 1 of 4 images are left out: &lt;b&gt;.jpg"))
    let json = String(decoding: try dashboard.answer("/api/sweeps/campus").body, as: UTF8.self)
    #expect(json.contains("\"remarks\":[\"train: 1 of 4 images are left out: <b>.jpg\"]"))
  }

  @Test func aRunningJobShowsHowFarChannelsHaveFaded() throws {
    let digest = try #require(Digest(String(repeating: "0", count: 64)))
    var spec = SweepSpec(name: "campus", dataset: "d.yaml")
    spec.grid.pruneRatio = [0.7]
    let submission = SweepSubmission(spec: spec, dataset: ArtifactReference(digest: digest, byteCount: 1))
    var brain = CoordinatorBrain()
    let now = Instant(milliseconds: 0)
    let hello = Hello(worker: WorkerID("w"), incarnation: 1, name: "w", box: BoxID("b"), slots: 1)
    var effects = brain.handle(.requested(.submit(submission), from: ConnectionID(1)), at: now)
    effects += brain.handle(.received(.hello(hello), from: ConnectionID(2)), at: now)
    let attempts = effects.compactMap { effect -> AttemptNumber? in
      if case .send(.assign(let assignment), _) = effect { assignment.attempt } else { nil }
    }
    let values = ["map50": 0.81234, "zero_share": 0.4321, "target_share": 0.7]
    let epoch = EpochMetrics(epoch: 3, epochs: 10, seconds: 1, values: values)
    _ = brain.handle(
      .received(.epochMetrics(attempt: try #require(attempts.first), metrics: epoch), from: ConnectionID(2)), at: now)
    let page = String(
      decoding: try Dashboard(brain: brain, shell: .init()).answer("/sweeps/campus").body, as: UTF8.self)
    #expect(page.contains("epoch 3 of 10, mAP50 0.812, faded 43 % of 70 %"))
  }
}
