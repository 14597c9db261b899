import Bytes
import Fleet
import JSON
import Reporting
import Sweep
import Testing

/// The report: one page that needs nothing else.
struct ReportDocumentTests {
  /// Asks a coordinator's brain; a worker has failed at everything.
  private func report(name: String = "campus") throws -> SweepReport {
    var brain = CoordinatorBrain()
    func reference(_ byte: UInt8) -> ArtifactReference {
      ArtifactReference(digest: Digest(bytes: [UInt8](repeating: byte, count: 32)), byteCount: 1_234)
    }
    let spec = SweepSpec(name: name, dataset: "<b>&data.yaml")
    let submission = SweepSubmission(spec: spec, dataset: reference(1))
    let now = Instant(milliseconds: 0)
    _ = brain.handle(.requested(.submit(submission), from: ConnectionID(9)), at: now)
    let hello = Hello(worker: WorkerID("w"), incarnation: 1, name: "<i>w", box: BoxID("box"), slots: 1)
    let effects = brain.handle(.received(.hello(hello), from: ConnectionID(1)), at: now)
    for case .send(.assign(let assignment), _) in effects {
      let failure = StageFailure(message: "<script>alert(1)</script> is not a weight", cause: .refused)
      _ = brain.handle(
        .received(.attemptFailed(attempt: assignment.attempt, failure: failure), from: ConnectionID(1)), at: now)
    }
    let answer = brain.handle(.requested(.report(sweep: name), from: ConnectionID(9)), at: now)
    guard case .respond(.report(var report), _)? = answer.last else { throw CancellationError() }
    var rows: [ResultTable.Row] = []
    for index in 0..<3 {
      for seed in 0..<2 {
        let size = 1 + Double(index)
        let metrics = ["map50": 0.5 + size / 10 + Double(seed) / 100, "size_mb": size, "latency_ms": 2 + size]
        rows.append(
          ResultTable.Row(
            trial: TrialID("t\(index)\(seed)"),
            point: ["backbone": .string("b\(index)"), "seed": .int(seed), "prune_ratio": .double(0)], metrics: metrics,
            state: .done))
      }
    }
    let objectives = [
      Objective(.maximize, .map50), Objective(.minimize, .sizeMB), Objective(.minimize, .latencyMS),
    ]
    report.table = ResultTable(sweep: report.table.sweep, objectives: objectives, rows: rows)
    return report
  }

  @Test func itHasTheFrontTheTableAndWhatFailed() throws {
    let page = ReportDocument(try report(), facts: [("report made by", "greensweep 1")]).html
    #expect(page.split(separator: "<svg").count - 1 == 2)  // One plot over each cost.
    #expect(page.contains("0.605 ±0.007") && page.contains("@knee"))
    #expect(page.contains("is not a weight") && page.contains("greensweep 1") && page.contains("1234 bytes packed"))
    #expect(page.contains("backbone: [&quot;yolov5s&quot;]"))
  }

  /// Nothing is fetched and nothing runs, whatever a worker or a sweep file says.
  @Test func itNeedsNoScriptAndNoOtherHost() throws {
    let picture = ReportDocument.Picture(title: "<b>", type: "image/png", base64: "QUJD")
    let page = ReportDocument(try report(), pictures: [picture]).html
    for word in ["<script", "<b>&", "<i>w", "src=\"http", "href=", "url(", "@import", "<link"] {
      #expect(!page.contains(word), "\(word)")
    }
    #expect(page.contains("default-src 'none'; img-src data:; style-src 'sha256-"))
    #expect(page.contains("src=\"data:image/png;base64,QUJD\""))
    #expect(page.contains("@media print"))
  }

  @Test func aSweepOfWhichNothingIsKnownHasAReport() throws {
    var report = try report()
    report.table = ResultTable(sweep: report.table.sweep, objectives: report.table.objectives, rows: [])
    let page = ReportDocument(report).html
    #expect(page.contains("Nothing has been measured yet") && page.contains("Nothing has been finished yet"))
  }

  private let file = """
               epoch,      train/box_loss,     metrics/mAP_0.5,metrics/mAP_0.5:0.95
                   0,                0.08,                0.25,                0.1
                   1,                0.07,                 nan,                0.2

    """

  @Test func curvesGoThroughAllStages() throws {
    var curve = LearningCurve(name: "yolov5n & co")
    curve.append(epochsFile: file)
    curve.append(epochsFile: "no figures\n1,2\n")
    curve.append(epochsFile: file)
    #expect(curve.accuracies == [0.25, 0, 0.25, 0] && curve.starts == [2])
    let svg = try #require(LearningCurvePlot([curve, LearningCurve(name: "nothing")]).svg)
    #expect(svg.split(separator: "<polyline").count - 1 == 1 && svg.contains("yolov5n &amp; co"))
    #expect(LearningCurvePlot([LearningCurve(name: "nothing")]).svg == nil)
    #expect(ReportDocument(try report(), curves: [curve]).html.contains("<polyline"))
  }
}
