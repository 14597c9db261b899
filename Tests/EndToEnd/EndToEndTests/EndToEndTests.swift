import Foundation
import Testing

/// The real binary, as a user would call it.
@Suite(.serialized) struct EndToEndTests {
  @Test func wrongCallsAreRefusedWithTheNearestWord() throws {
    let unknown = try greensweep(["statsu"])
    #expect(unknown.status == 2)
    #expect(unknown.errors.contains("did you mean ‘status’?"))
    let option = try greensweep(["train", "data.yaml", "--epoch", "3"])
    #expect(option.status == 2)
    #expect(option.errors.contains("did you mean ‘--epochs’?"))
    #expect(try greensweep(["bench", "train", "--help"]).output.contains("--image-size"))
  }

  @Test func modelInfoTellsThePublishedFigures() throws {
    let result = try greensweep(["model", "info", "mobilenetv2", "--nc", "14", "--json"])
    let info = try JSONDecoder().decode(ModelInfo.self, from: Data(result.output.utf8))
    #expect(info.parameters == 2_939_003)
    #expect(info.parameters_fused == 2_936_331)
    #expect(abs(info.gflops - 7.14) < 0.005)
    #expect(info.layers == 325)
  }

  @Test func mistakesInASweepFileAreRefusedBeforeAnythingRuns() throws {
    let folder = try TemporaryFolder()
    try "name: x\ndataset: data.yaml\ngird: {backbone: yolov5n}\n".write(
      to: folder.url("sweep.yaml"), atomically: true, encoding: .utf8)
    let result = try greensweep(["run", folder.path("sweep.yaml"), "--data", folder.path("run")])
    #expect(result.status == 2)
    #expect(result.errors.contains("sweep.yaml:3"))
    #expect(result.errors.contains("grid"))
    #expect(!FileManager.default.fileExists(atPath: folder.path("run")))
  }

  /// Interrupted, it goes on where it was; neither an unfinished run nor a finished one is written over.
  @Test(.timeLimit(.minutes(5))) func aRunIsResumedAndNotWrittenOver() throws {
    let folder = try TemporaryFolder()
    let sample = [
      "dataset", "sample", folder.path("data"), "--images", "16", "--val-images", "4", "--image-size", "64",
    ]
    #expect(try greensweep(sample).status == 0)
    let train = [
      "train", folder.path("data/data.yaml"), "--model", "yolov5n", "--epochs", "12", "--batch", "8", "--image-size",
      "64", "--threads", "1", "-o",
    ]
    let interrupted = try start(train + [folder.path("a")])
    waitUntil("a checkpoint is written") {
      FileManager.default.fileExists(atPath: folder.path("a/checkpoint.safetensors"))
    }
    interrupted.interrupt()
    #expect(interrupted.finish().status != 0)
    let again = try greensweep(train + [folder.path("a")])
    #expect(again.status == 1 && again.errors.contains("holds an unfinished run; go on with --resume"))
    for (setting, other, word) in [("12", "13", "(epochs)"), ("yolov5n", "mobilenetv2", "another network, yolov5n")] {
      let changed = train.map { $0 == setting ? other : $0 } + [folder.path("a"), "--resume"]
      let refused = try greensweep(changed)
      #expect(refused.status == 1 && refused.errors.contains(word), "\(refused.errors)")
    }
    #expect(try greensweep(train + [folder.path("a"), "--resume"]).status == 0)
    #expect(try greensweep(train + [folder.path("b")]).status == 0)
    for file in ["model.safetensors", "results.csv"] {
      let bytes = FileManager.default.contents(atPath: folder.path("a/\(file)"))
      #expect(bytes != nil && FileManager.default.contents(atPath: folder.path("b/\(file)")) == bytes)
    }
    #expect(!FileManager.default.fileExists(atPath: folder.path("a/checkpoint.safetensors")))
    let finished = try greensweep(train + [folder.path("a")])
    #expect(finished.status == 1 && finished.errors.contains("holds a finished run"))
  }

  /// Damaged pictures are named before anything is trained, by every command alike, and remembered nowhere near them.
  @Test func damagedPicturesAreLeftOut() throws {
    let folder = try TemporaryFolder()
    let sample = ["dataset", "sample", folder.path("data"), "--images", "8", "--val-images", "4", "--image-size", "64"]
    #expect(try greensweep(sample).status == 0)
    let damaged = folder.url("data/images/train/damaged.png")
    let head: [UInt8] = [
      0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 32, 0, 0, 0, 32, 8,
      2,
      0, 0, 0, 0xFC, 0x18, 0xED, 0xA3,
    ]
    try Data(head).write(to: damaged)
    let data = folder.path("data/data.yaml")
    let train = [
      "train", data, "--model", "yolov5n", "--epochs", "1", "--batch", "8", "--image-size", "64", "--threads", "1",
      "-o",
      folder.path("run"),
    ]
    let refused = try greensweep(train)
    #expect(refused.status == 1)
    #expect(
      refused.errors.contains("1 of 9 images of split ‘train’ are damaged, more than a tenth"), "\(refused.errors)")
    let info = try greensweep(["dataset", "info", data])
    #expect(info.status == 0 && info.output.contains("damaged.png: not a sound PNG"))
    try "name: d\ndataset: data/data.yaml\ngrid: {backbone: yolov5n}\n".write(
      to: folder.url("sweep.yaml"), atomically: true, encoding: .utf8)
    let run = try greensweep(["run", folder.path("sweep.yaml"), "--data", folder.path("sweep")])
    #expect(run.status == 1 && run.errors.contains("--allow-damaged"), "\(run.errors)")
    let allowed = try greensweep(train + ["--allow-damaged"])
    #expect(allowed.status == 0)
    #expect(allowed.errors.contains("train: 1 of 9 images are left out: damaged.png"), "\(allowed.errors)")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path("data")).sorted() == [
        "data.yaml", "images", "labels",
      ])
  }

  /// A plan is printed and written before anything is cut, and replayed; what cannot be done is said in words.
  @Test func aPlanIsReplayed() throws {
    let folder = try TemporaryFolder()
    let sample = ["dataset", "sample", folder.path("data"), "--images", "8", "--val-images", "4", "--image-size", "64"]
    #expect(try greensweep(sample).status == 0)
    let train = [
      "train", folder.path("data/data.yaml"), "--model", "yolov5n", "--epochs", "1", "--batch", "8", "--image-size",
      "64", "--threads", "1", "-o", folder.path("run"),
    ]
    #expect(try greensweep(train).status == 0)
    let (model, plan) = (folder.path("run/model.safetensors"), folder.path("plan.json"))
    let choice = ["--policy", "grouped", "--importance", "weight_l1", "--target-gflops", "2"]
    let planned = try greensweep(["prune", model, "--plan-only", "-o", plan] + choice)
    #expect(planned.status == 0, "\(planned.errors)")
    #expect(planned.output.contains("model.23.cv3.bn") && planned.output.contains("GFLOPs at 640 4.2"))
    for (arguments, name) in [(choice, "a"), (["--plan", plan], "b")] {
      #expect(try greensweep(["prune", model, "-o", folder.path("\(name).safetensors")] + arguments).status == 0)
    }
    let bytes = FileManager.default.contents(atPath: folder.path("a.safetensors"))
    #expect(bytes != nil && FileManager.default.contents(atPath: folder.path("b.safetensors")) == bytes)

    let misfit = try greensweep(["prune", folder.path("a.safetensors"), "--plan", plan, "-o", folder.path("c")])
    #expect(misfit.status == 1)
    #expect(misfit.errors.contains("made for another network"))
    let tooMuch = choice.prefix(4) + ["--ratio", "0.99"]
    let refused = try greensweep(["prune", model, "-o", folder.path("c")] + tooMuch)
    #expect(refused.status == 1)
    #expect(refused.errors.contains("the largest ratio that keeps one in every layer is"))
    #expect(refused.errors.contains("gone from ratio"))
    #expect(try greensweep(["prune", model, "--plan", plan, "--ratio", "0.1"]).status == 2)
    #expect(!FileManager.default.fileExists(atPath: folder.path("c")))
  }

  /// A worker and the coordinator are killed in mid-stage; the table and the best model's bytes are those of an
  /// undisturbed run, and a second run has nothing left to do.
  @Test(.timeLimit(.minutes(10))) func aSweepSurvivesKills() throws {
    let folder = try TemporaryFolder()
    let sample = [
      "dataset", "sample", folder.path("data"), "--images", "32", "--val-images", "8", "--image-size", "96",
    ]
    #expect(try greensweep(sample).status == 0)
    try """
    name: kills
    dataset: data/data.yaml
    image_size: 64
    batch_size: 8
    nominal_batch_size: 8
    grid:
      backbone: yolov5n
      sparsity_rate: 0.001
      prune_ratio: [0, 0.3]
    stages:
      train: {epochs: 6}
      sparsify: {epochs: 2}
      finetune: {epochs: 2}
    objectives: [maximize map50_95, minimize size_mb]
    """.write(to: folder.url("sweep.yaml"), atomically: true, encoding: .utf8)

    let calm = try greensweep(run(folder, "calm"))
    #expect(calm.status == 0, "\(calm.errors)")
    let again = try greensweep(run(folder, "calm"))
    #expect(again.status == 0)
    #expect(again.output == calm.output)

    let disturbed = try start(run(folder, "disturbed"))
    waitUntil("a checkpoint is stored") {
      (try? String(contentsOf: folder.url("disturbed/worker-1.log"), encoding: .utf8))?.contains("attempt") == true
        || (try? String(contentsOf: folder.url("disturbed/worker-2.log"), encoding: .utf8))?.contains("attempt") == true
    }
    Thread.sleep(forTimeInterval: 1)
    for name in ["worker-1", "worker-2"] { killDaemon { $0.contains(folder.path("disturbed/\(name)")) } }
    Thread.sleep(forTimeInterval: 1)
    killDaemon { $0.contains("coordinator\0--data\0" + folder.path("disturbed/coordinator")) }
    let result = disturbed.finish()
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.errors.contains("starting it again"))
    #expect(try table(folder, "disturbed") == table(folder, "calm"))
    let models = try FileManager.default.contentsOfDirectory(atPath: folder.path("calm/models")).sorted()
    #expect(!models.isEmpty)
    for model in models {
      let bytes = FileManager.default.contents(atPath: folder.path("calm/models/\(model)"))
      #expect(FileManager.default.contents(atPath: folder.path("disturbed/models/\(model)")) == bytes)
    }
  }

  /// The real stage, which needs more than that before it has read its request.
  @Test(.timeLimit(.minutes(5))) func aStageBeyondItsMemoryFailsInWords() throws {
    let folder = try TemporaryFolder()
    let sample = ["dataset", "sample", folder.path("data"), "--images", "4", "--val-images", "2", "--image-size", "64"]
    #expect(try greensweep(sample).status == 0)
    try """
    dataset: data/data.yaml
    image_size: 320
    batch_size: 8
    grid: {backbone: yolov5n, sparsity_rate: 0, prune_ratio: 0}
    stages:
      train: {epochs: 1000, memory_limit_mb: 40}
    """.write(to: folder.url("sweep.yaml"), atomically: true, encoding: .utf8)
    let result = try greensweep(run(folder, "run"))
    #expect(result.status == 1)
    #expect(result.errors.contains("beyond its limit of 40 MB: raise the stage's memory_limit_mb"), "\(result.errors)")
  }

  /// An objective that this machine cannot measure is refused before anything is packed, started or written.
  @Test(.disabled(if: hasEnergyCounter)) func anObjectiveThatCannotBeMeasuredIsRefused() throws {
    let folder = try TemporaryFolder()
    try writeSweep(folder, epochs: 1, objectives: "[maximize map50, minimize energy_j]")
    let result = try greensweep(run(folder, "run"))
    #expect(result.status == 1)
    #expect(result.errors.contains("the objective ‘minimize energy_j’ cannot be measured"), "\(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("run")))
  }

  @Test func tokensOfTheOtherRoleAreRefused() throws {
    let folder = try TemporaryFolder()
    let coordinator = try start(["coordinator", "--data", folder.path("data"), "--listen", "127.0.0.1:0"])
    waitUntil("the tokens are made") {
      ["worker", "operator"].allSatisfy { FileManager.default.fileExists(atPath: folder.path("data/\($0).token")) }
    }
    coordinator.interrupt()
    _ = coordinator.finish()
    let worker = try greensweep([
      "worker", "--join", "127.0.0.1:1", "--token-file", folder.path("data/operator.token"), "--cache",
      folder.path("cache"),
    ])
    #expect(worker.status == 2 && worker.errors.contains("this is an operator's token; a worker needs a worker's"))
    let status = try greensweep([
      "status", "--coordinator", "127.0.0.1:1", "--token-file", folder.path("data/worker.token"),
    ])
    #expect(status.status == 2 && status.errors.contains("this is a worker's token"))
  }

  /// A run that is killed leaves nothing that the next one does not wait for; two at a time are refused.
  @Test(.timeLimit(.minutes(10))) func aKilledRunIsTakenUpByTheNext() throws {
    let folder = try TemporaryFolder()
    try writeSweep(folder, epochs: 40, objectives: "[maximize map50]")
    let killed = try start(run(folder, "run"))
    waitUntil("a stage runs") {
      (try? String(contentsOf: folder.url("run/worker-1.log"), encoding: .utf8))?.contains("attempt") == true
        || (try? String(contentsOf: folder.url("run/worker-2.log"), encoding: .utf8))?.contains("attempt") == true
    }
    let second = try greensweep(run(folder, "run"))
    #expect(second.status == 1 && second.errors.contains("another 'greensweep run' is at work"), "\(second.errors)")
    killed.kill()
    #expect(killed.finish().status == SIGKILL)
    let next = try greensweep(run(folder, "run"))
    #expect(next.status == 0, "\(next.errors)")
    #expect(next.errors.contains("going on with"))
  }

  /// A daemon that never lives long enough for any progress ends the run in words, after ever longer pauses.
  @Test(.timeLimit(.minutes(10))) func aWorkerThatIsKilledAgainAndAgainEndsTheRun() throws {
    let folder = try TemporaryFolder()
    try writeSweep(folder, epochs: 1000, objectives: "[maximize map50]")
    let call = try start(["run", folder.path("sweep.yaml"), "--data", folder.path("run"), "--workers", "1"])
    while call.isRunning {
      killDaemon { $0.contains(folder.path("run/worker-1")) }
      Thread.sleep(forTimeInterval: 0.05)
    }
    let result = call.finish()
    #expect(result.status == 1)
    // On a busy machine a worker may live long enough to be given the job, which three of them then take with them.
    #expect(
      result.errors.contains("worker-1 has ended 7 times in a row")
        || result.errors.contains("3 workers vanished while running it"), "\(result.errors)")
    #expect(result.errors.contains("starting it again in 2.0 s"))
  }

  private func writeSweep(_ folder: TemporaryFolder, epochs: Int, objectives: String) throws {
    let sample = ["dataset", "sample", folder.path("data"), "--images", "8", "--val-images", "4", "--image-size", "64"]
    #expect(try greensweep(sample).status == 0)
    try """
    dataset: data/data.yaml
    image_size: 64
    batch_size: 8
    grid: {backbone: yolov5n-w0.5, sparsity_rate: 0, prune_ratio: 0}
    stages:
      train: {epochs: \(epochs)}
      benchmark: {iterations: 3}
    objectives: \(objectives)
    """.write(to: folder.url("sweep.yaml"), atomically: true, encoding: .utf8)
  }

  private struct ModelInfo: Decodable {
    var parameters: Int
    var parameters_fused: Int
    var gflops: Double
    var layers: Int
  }

  private func run(_ folder: TemporaryFolder, _ name: String) -> [String] {
    ["run", folder.path("sweep.yaml"), "--data", folder.path(name), "--workers", "2", "--threads", "1"]
  }

  private func table(_ folder: TemporaryFolder, _ name: String) throws -> String {
    try String(contentsOf: folder.url("\(name)/results.csv"), encoding: .utf8)
  }
}

/// Whether this user may read how much energy the processors have used.
private let hasEnergyCounter: Bool = {
  let zones = (try? FileManager.default.contentsOfDirectory(atPath: "/sys/class/powercap")) ?? []
  return zones.contains { FileManager.default.contents(atPath: "/sys/class/powercap/\($0)/energy_uj") != nil }
}()

private func waitUntil(_ what: String, _ condition: () -> Bool) {
  for _ in 0..<600 {
    if condition() { return }
    Thread.sleep(forTimeInterval: 0.1)
  }
  Issue.record("waited a minute until \(what)")
}

/// SIGKILL to the processes whose arguments (separated by zero bytes) fit.
private func killDaemon(_ fits: (String) -> Bool) {
  for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
    guard let pid = Int32(entry), pid != getpid(),
      let bytes = FileManager.default.contents(atPath: "/proc/\(entry)/cmdline")
    else { continue }
    let arguments = String(decoding: bytes, as: UTF8.self)
    if arguments.contains("--attached"), fits(arguments) { kill(pid, SIGKILL) }
  }
}
