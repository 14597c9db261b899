import Compute
import Evaluation
import Pipeline
import Settings
import Wording

extension Command {
  static let benchTrain = Command(
    name: "bench train", summary: "time training steps on data in memory",
    options: [
      Option("--model", "M", help: "a network's name or a model file (default: yolov5s)"),
      Option("--image-size", "S", help: "side of the square images in pixels (default: 320)"),
      Option("--batch", "B", help: "images a step (default: 8)"),
      Option("--nc", "N", help: "number of classes of a named network (default: 14)"),
      Option("--repeats", "N", help: "timed steps, after two to warm up (default: 7)"), .threads, .backend, .precision,
      .plan,
      .json,
    ]
  ) { arguments in
    try checkModel(arguments)
    let result = try TrainingBenchmark(
      model: arguments.string("--model") ?? "yolov5s", imageSize: arguments.imageSize(default: 320),
      batchSize: arguments.batchSize(default: 8), classCount: arguments.classCount(default: 14),
      repeats: arguments.int("--repeats", in: 1...100_000) ?? 7, isProfiled: arguments.has("--plan"),
      machine: arguments.machine()
    ).run()
    if arguments.has("--json") { return printJSON(result) }
    printLine(
      """
      \(result.model.oneLine) at \(result.imageSize), batch \(result.batch), \(counted(result.threads, "thread")), \
      \(result.backend), \(result.precision.rawValue): \
      \(result.imagesPerSecond.shown(1)) images/s (median step \((result.medianSeconds * 1000).shown(1)) ms), \
      peak memory \(result.peakMemoryMegabytes.shown(0)) MB
      """)
    if let plan = result.plan { plan.printTables(measured: result.meanSeconds) }
  }

  static let benchInfer = Command(
    name: "bench infer", summary: "time a network's pass over one image",
    options: [
      Option("--model", "M", help: "a network's name or a model file (default: yolov5s)"), .imageSize,
      Option("--nc", "N", help: "number of classes of a named network (default: 14)"),
      Option(
        "--iterations", "N", help: "timed passes at least, after ten to warm up; more until they agree (default: 100)"),
      Option("--patience", "S", help: "seconds to wait at most for others to leave the host alone (default: 20)"),
      .threads, .backend, .precision, .plan,
      .json,
    ]
  ) { arguments in
    try checkModel(arguments)
    let settings = BenchmarkStage.all.group.iterations
    let report = try benchmark(
      BenchmarkRequest(
        model: arguments.string("--model") ?? "yolov5s", classCount: arguments.classCount(default: 14),
        imageSize: arguments.imageSize(),
        iterations: arguments.int("--iterations", in: settings.integers) ?? settings.fallback,
        patience: arguments.double("--patience", in: 0...3600),
        isProfiled: arguments.has("--plan"), machine: arguments.machine()))
    if arguments.has("--json") { return printJSON(report) }
    printLine(
      """
      \(report.model.oneLine) at \(report.imageSize), batch 1, \(counted(report.threads, "thread")), \
      \(report.backend), \(report.precision.rawValue): median \(report.medianMilliseconds.shown(2)) ms, \
      p95 \(report.p95Milliseconds.shown(2)) ms, \
      spread \((report.spread * 100).shown(1)) %\
      \(report.energyJoules.map { ", \($0.shown(3)) J an image (\(report.energyKind?.rawValue ?? "unknown"))" } ?? "")
      """)
    for remark in report.remarks { printLine(remark) }
    if let plan = report.plan { plan.printTables(measured: report.meanMilliseconds / 1000) }
  }

  private static func checkModel(_ arguments: Arguments) throws {
    guard let model = arguments.string("--model") else { return }
    try arguments.requireKnown(model)
    if model.isWeightsFile { try arguments.refuse(["--nc"], because: "\(model) is a file with weights") }
  }
}

extension Option {
  fileprivate static let plan = Option("--plan", help: "tell where the time goes, operation by operation")
}

extension PlanReport.Line {
  /// That of `model.12`; the image comes first.
  fileprivate var layerNumber: Int { node.split(separator: ".").last.flatMap { Int($0) } ?? -1 }
}

extension PlanReport {
  /// Prints the kinds of work, slowest first, and then layer by layer what was done.
  /// - Parameter measured: the mean seconds of a run, taken around it.
  fileprivate func printTables(measured: Double) {
    let layers = sums { ($0.node.split(separator: ".").prefix(2).joined(separator: "."), $0.operation) }
      .filter { !$0.node.isEmpty }.sorted { $0.layerNumber < $1.layerNumber }
    let kinds = sums { ("", $0.operation) }.sorted { $0.seconds > $1.seconds }
    let total = lines.reduce(0) { $0 + $1.seconds }
    printLine("\n" + table(kinds, of: total))
    printLine("\(milliseconds(total)) ms in all, of \(milliseconds(measured)) ms measured\n")
    printLine(table(layers, of: total))
  }

  private func milliseconds(_ seconds: Double) -> String { (seconds * 1000).shown(3) }

  private func table(_ lines: [Line], of total: Double) -> String {
    let rows = lines.map { line in
      // An operation that moves or computes nothing has no rate.
      func rate(_ amount: Int) -> String {
        amount > 0 && line.seconds > 0 ? (Double(amount) / line.seconds / 1e9).shown(1) : ""
      }
      func millions(_ amount: Int) -> String { amount > 0 ? (Double(amount) / 1e6).shown(2) : "" }
      return [
        line.node, line.operation, milliseconds(line.seconds), (100 * line.seconds / total).shown(1),
        millions(line.bytes), rate(line.bytes), millions(line.operations), rate(line.operations),
      ]
    }
    return textTable(
      [["layer", "operation", "ms", "%", "MB", "GB/s", "MFLOP", "GFLOP/s"]] + rows, rightAligned: Set(2...7))
  }
}
