import Detection
import Foundation
import Pipeline
import Platform
import Settings
import Training
import Wording

extension Command {
  static let train = Command(
    name: "train", summary: "train, sparsify or fine-tune one detector on this machine", positionals: ["DATA.yaml"],
    options: [
      Option("--model", "M", help: "a network's name, or a model file to go on from (default: yolov5s)"),
      .modelYAML.excluding(["--model"]), .width, .depth,
      Option("--weights", "FILE", help: "begin with weights of YOLOv5, or of an image classifier with this backbone"),
      Option("--epochs", "N", help: "(default: 100)"), Option("--batch", "B", help: "images a batch (default: 16)"),
      Option("--nominal-batch", "B", help: "images an optimizer step; gradients are accumulated (default: 64)"),
      .imageSize,
      Option("--hyp", "NAME|FILE", help: "\(presetNames), or a YOLOv5 hyp file (default: scratch-low)"),
      Option("--optimizer", "NAME", help: "\(names(OptimizerKind.self)) (default: SGD)"),
      Option("--teacher", "MODEL", help: "learn from this model's predictions too, such as the unpruned parent"),
      Option("--recipe", "NAME", help: "yolov5, or auto: what suits the number of images and epochs (default: yolov5)"),
      Option("--cosine", help: "cosine learning rate instead of linear"),
      Option("--patience", "N", help: "stop after N epochs without improvement (default: 100; 0 never)"),
      Option("--sparsity-rate", "R", help: "pull batch-norm scales towards 0, to prune afterwards"),
      Option("--sparsify-target", "R", help: "fade out this share of the channels, to cut them afterwards"),
      Option("--label-smoothing", "E", help: "takes the place of the hyp file's label_smoothing (default: 0)"),
      Option("--freeze", "N|LIST", help: "keep the parameters of the first N layers, or of layers such as 0,1,5"),
      Option("--image-weights", excludes: ["--rect"], help: "draw images by how badly their classes are found"),
      Option("--multi-scale", help: "vary the size from batch to batch by up to a half"),
      Option("--rect", help: "batches of like shapes instead of squares; no mosaics"),
      Option("--no-autoanchor", help: "keep the anchors even if they do not fit the data"),
      Option("--seed", "N", help: "(default: 0)"),
      Option("--output", "DIR", aliases: ["-o"], help: "where model and results.csv go (default: runs/train)"),
      Option("--resume", help: "go on from DIR/checkpoint.safetensors, with the same settings"),
      .allowDamaged, .threads, .backend, .precision,
      .json,
    ],
    discussion: """
      DIR then holds model.safetensors (the best epoch), results.csv, opt.yaml and hyp.yaml as YOLOv5 writes them, a log
      for TensorBoard and, until it is finished, checkpoint.safetensors: a run that was interrupted goes on with
      --resume. A DIR that holds a run is not written over.
      """
  ) { arguments in
    let request = try trainRequest(arguments)
    let progress = EpochProgress(title: "train")
    let line = LiveLine()
    defer { line.clear() }
    let result = try Pipeline.train(
      request, checking: .ofUser(allowsDamaged: arguments.has("--allow-damaged"), line),
      onEvent: {
        line.clear()
        progress.show($0)
      })
    try? FileManager.default.removeItem(atPath: RunFolder.checkpoint(in: request.outputDirectory))
    if arguments.has("--json") { return printJSON(result) }
    printLine(
      """
      best epoch \(result.bestEpoch ?? 0) of \(result.completedEpochs): \
      P \((result.precision ?? 0).shown(3))  R \((result.recall ?? 0).shown(3))  \
      mAP50 \((result.map50 ?? 0).shown(4))  mAP50-95 \((result.map50_95 ?? 0).shown(4))
      model: \(result.model?.oneLine ?? "none")
      """)
  }

  private static func trainRequest(_ arguments: Arguments) throws -> TrainRequest {
    let output = arguments.string("--output") ?? "runs/train"
    let checkpoint = RunFolder.checkpoint(in: output)
    func isThere(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
    switch (isThere(checkpoint), arguments.has("--resume")) {
    case (true, true): break
    case (true, false):
      throw WorkError("\(output): holds an unfinished run; go on with --resume or choose another --output")
    case (false, _) where isThere(RunFolder.model(in: output)):
      throw WorkError(
        """
        \(output): holds a finished run; for further epochs give --model \(RunFolder.model(in: output)) and another \
        --output
        """)
    case (false, true): throw WorkError("\(checkpoint): no checkpoint to resume from; leave --resume out to begin")
    case (false, false):
      // A run that has ended before its first epoch leaves the head of the table alone.
      let results = (try? String(contentsOfFile: RunFolder.results(in: output), encoding: .utf8)) ?? ""
      guard results.split(whereSeparator: \.isNewline).count < 2 else {
        throw WorkError("\(output): holds the results.csv of another run; remove it or choose another --output")
      }
    }
    if let hyp = arguments.string("--hyp") { try refuseOverwriting(RunFolder.files(in: output), ofInputs: [hyp]) }

    let model = arguments.string("--model") ?? "yolov5s"
    let isFile = model.isWeightsFile
    if isFile { try arguments.refuse(["--weights", "--width", "--depth"], because: "\(model) is a file with weights") }
    let settings = SparsifyStage.all.group
    let patience = try arguments.int("--patience", in: settings.patience.integers) ?? 100
    let configuration = TrainingConfiguration(
      epochs: try arguments.int("--epochs", in: settings.epochs.integers) ?? 100,
      batchSize: try arguments.batchSize(default: settings.batchSize.fallback),
      nominalBatchSize: try arguments.int("--nominal-batch", in: settings.nominalBatchSize.integers)
        ?? settings.nominalBatchSize.fallback,
      imageSize: try arguments.imageSize(), hyperparameters: try hyperparameters(arguments),
      optimizer: try optimizer(arguments.string("--optimizer") ?? "SGD"),
      curve: arguments.has("--cosine") ? .cosine : .linear, patience: patience == 0 ? nil : patience,
      sparsityRate: try arguments.double("--sparsity-rate", in: settings.sparsityRate.numbers),
      fading: try arguments.double("--sparsify-target", in: 0.001...0.999).map { ChannelFading(ratio: $0) },
      fitsAnchors: !arguments.has("--no-autoanchor"),
      frozenLayers: try frozenLayers(arguments.string("--freeze")), usesImageWeights: arguments.has("--image-weights"),
      isMultiScale: arguments.has("--multi-scale"), isRectangular: arguments.has("--rect"),
      seed: UInt64(try arguments.int("--seed", in: 0...Int.max) ?? 0))
    return TrainRequest(
      start: isFile
        ? .model(model) : .new(try arguments.architecture(model), weights: arguments.string("--weights")),
      checkpoint: arguments.has("--resume") ? checkpoint : nil, dataset: arguments.positionals[0],
      configuration: configuration,
      teacher: arguments.string("--teacher"),
      recipe: try arguments.choice("--recipe", among: Recipe.allCases.map(\.rawValue)).flatMap(Recipe.init(rawValue:))
        ?? .yolov5, outputDirectory: output, machine: try arguments.machine())
  }
}

/// As YOLOv5: one number is how many, several are which ones.
private func frozenLayers(_ text: String?) throws -> [Int] {
  guard let text else { return [] }
  let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
  guard !numbers.contains(where: { $0 == nil || !(0...1000).contains($0!) }) else {
    throw UsageError("--freeze takes a number of layers or a list such as 0,1,5, not ‘\(text.shortened())’")
  }
  return numbers.count == 1 ? Array(0..<numbers[0]!) : numbers.map { $0! }
}

/// `--hyp` with what other options replace.
private func hyperparameters(_ arguments: Arguments) throws -> Hyperparameters {
  var values = try hyperparameters(arguments.string("--hyp"))
  if let smoothing = try arguments.double("--label-smoothing", in: 0...1) {
    try values.set("label_smoothing", to: smoothing)
  }
  return values
}

/// A built-in set's name or a `hyp` file.
private func hyperparameters(_ text: String?) throws -> Hyperparameters {
  guard let text else { return .scratchLow }
  if let preset = Hyperparameters.presets.first(where: { $0.name == text }) { return preset.values }
  guard SettingRule.isFile(text) else {
    throw UsageError("no hyper-parameters ‘\(text.shortened())’: give \(presetNames), or a .yaml file")
  }
  return try Hyperparameters(hypYAMLPath: text)
}

private func optimizer(_ name: String) throws -> OptimizerKind {
  guard let kind = OptimizerKind.allCases.first(where: { $0.rawValue.lowercased() == name.lowercased() }) else {
    throw UsageError("no optimizer ‘\(name.shortened())’: there are \(names(OptimizerKind.self))")
  }
  return kind
}

private let presetNames = Hyperparameters.presets.map(\.name).joined(separator: ", ")
