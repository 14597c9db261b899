import Pipeline
import Wording

extension Command {
  static let benchTrain = Command(
    name: "bench train", summary: "time training steps on data in memory",
    options: [
      Option("--model", "M", help: "a network's name or a model file (default: yolov5s)"),
      Option("--image-size", "S", help: "side of the square images in pixels (default: 320)"),
      Option("--batch", "B", help: "images a step (default: 8)"),
      Option("--nc", "N", help: "number of classes of a named network (default: 14)"),
      Option("--repeats", "N", help: "timed steps, after two to warm up (default: 7)"), .threads, .backend, .json,
    ]
  ) { arguments in
    try refuseClassCount(arguments)
    let result = try TrainingBenchmark(
      model: arguments.string("--model") ?? "yolov5s", imageSize: arguments.imageSize(default: 320),
      batchSize: arguments.batchSize(default: 8), classCount: arguments.classCount(default: 14),
      repeats: arguments.int("--repeats", in: 1...100_000) ?? 7, machine: arguments.machine()
    ).run()
    if arguments.has("--json") { return printJSON(result) }
    printLine(
      """
      \(result.model.oneLine) at \(result.imageSize), batch \(result.batch), \(result.threads) threads, \
      \(result.backend): \
      \(result.imagesPerSecond.shown(1)) images/s (median step \((result.medianSeconds * 1000).shown(1)) ms), \
      peak memory \(result.peakMemoryMegabytes.shown(0)) MB
      """)
  }

  static let benchInfer = Command(
    name: "bench infer", summary: "time a network's pass over one image",
    options: [
      Option("--model", "M", help: "a network's name or a model file (default: yolov5s)"), .imageSize,
      Option("--nc", "N", help: "number of classes of a named network (default: 14)"),
      Option("--iterations", "N", help: "timed passes, after ten to warm up (default: 100)"), .threads, .backend, .json,
    ]
  ) { arguments in
    try refuseClassCount(arguments)
    let report = try benchmark(
      BenchmarkRequest(
        model: arguments.string("--model") ?? "yolov5s", classCount: arguments.classCount(default: 14),
        imageSize: arguments.imageSize(), iterations: arguments.int("--iterations", in: 1...1_000_000) ?? 100,
        machine: arguments.machine()))
    if arguments.has("--json") { return printJSON(report) }
    printLine(
      """
      \(report.model.oneLine) at \(report.imageSize), batch 1, \(report.threads) threads, \(report.backend): \
      median \(report.medianMilliseconds.shown(2)) ms, p95 \(report.p95Milliseconds.shown(2)) ms\
      \(report.energyJoules.map { ", \($0.shown(3)) J an image" } ?? "")
      """)
  }

  private static func refuseClassCount(_ arguments: Arguments) throws {
    guard let model = arguments.string("--model"), model.isWeightsFile else { return }
    try arguments.refuse(["--nc"], because: "\(model) is a file with weights")
  }
}
