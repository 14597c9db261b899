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
}
