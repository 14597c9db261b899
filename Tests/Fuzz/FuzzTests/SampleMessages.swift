import Bytes
import Fleet
import JSON
import Settings
import Sweep
import Wire

/// Messages of honest peers, which the fuzzer damages.
enum SampleMessages {
  static let digest = Digest(String(repeating: "0a", count: 32))!
  static let artifact = ArtifactReference(digest: digest, byteCount: 7)
  static let model = ArtifactReference(digest: Digest(String(repeating: "b1", count: 32))!, byteCount: 1 << 20)
  static let attempt = AttemptNumber(1)
  static let metrics = EpochMetrics(epoch: 1, epochs: 3, seconds: 1.5, values: ["box_loss": 0.25, "map50": 0.5])
  static let result = StageResult(
    metrics: ["map50": 0.5, "size_mb": 1.25], artifacts: [.model: model, .log: artifact])

  static func hello(_ worker: String = "w-1", attempts: [AttemptNumber] = []) -> WorkerMessage {
    .hello(
      Hello(
        worker: WorkerID(worker), incarnation: .max, name: "kiste \"7\"", box: BoxID("box-1"), slots: 2,
        labels: ["gpu": "no"], attempts: attempts))
  }

  static let workerMessages: [WorkerMessage] = [
    hello(attempts: [attempt]), .heartbeat(attempts: [attempt], fetching: [attempt]), .heartbeat(attempts: []),
    .epochMetrics(attempt: attempt, metrics: metrics),
    .checkpointStored(attempt: attempt, checkpoint: Checkpoint(epoch: 1, artifact: artifact)),
    .attemptFinished(attempt: attempt, result: result),
    .attemptFailed(attempt: attempt, failure: StageFailure(message: "no memory", log: artifact, cause: .refused)),
    .attemptReturned(attempt: attempt), .goodbye,
  ]

  static let assignment = Assignment(
    attempt: attempt, job: JobKey(hashing: "x"),
    configuration: StageConfiguration(
      .train,
      ["seed": .int(1), "backbone": .string("yolov5n"), "rates": .array([.double(0.5), .null, .bool(true)])]),
    inputs: [.dataset: artifact, .resume: model], limits: StageLimits(memoryMB: 512, timeMinutes: 2.5))

  static let welcome = CoordinatorMessage.welcome(
    Welcome(leaseMilliseconds: 20_000, heartbeatMilliseconds: 5_000, abandon: [AttemptNumber(7)]))

  static let coordinatorMessages: [CoordinatorMessage] = [
    welcome, .refused(reason: "no"), .assign(assignment), .cancelAttempt(attempt: attempt, reason: .superseded),
    .handBack(attempt: attempt), .heartbeatAcknowledged, .metricsAcknowledged(attempt: attempt, epoch: 1),
    .checkpointAcknowledged(attempt: attempt, epoch: 1), .attemptAcknowledged(attempt: attempt, accepted: true),
    .artifactsMissing(attempt: attempt, digests: [digest, model.digest]), .drain(isDraining: true),
  ]

  static let submission: SweepSubmission = {
    var spec = SweepSpec(
      name: "campus", dataset: "data.yaml",
      grid: SweepSpec.Grid(backbone: ["yolov5n", "ghostnet"], sparsityRate: [0.0001], pruneRatio: [0, 0.3]),
      objectives: [Objective(.maximize, .map50), Objective(.minimize, .latencyMS)], priority: 3,
      limits: ["train": StageLimits(memoryMB: 512)],
      placement: SweepPlacement(requires: ["gpu": "no"], prefers: ["disk": "fast"]))
    spec.common.imageSize = 320
    spec.train.epochs = 3
    spec.train.hyp = "h.yaml"
    spec.train.weights = ["yolov5n": "w.pt"]
    spec.finetune.freeze = [0, 1]
    spec.prune.importance = "random"
    spec.prune.rounds = 2
    var submission = SweepSubmission(spec: spec, dataset: artifact, files: ["h.yaml": artifact, "w.pt": model])
    submission.remarks = ["train: 1 of 4 images are left out: odd.jpg"]
    return submission
  }()

  static let requests: [OperatorRequest] = [
    .submit(submission), .status(sweep: nil), .status(sweep: "campus"),
    .results(sweep: "campus", objectives: [Objective(.maximize, .map50)]), .results(sweep: "campus", objectives: nil),
    .report(sweep: "campus"), .workers, .drain(worker: "w-1", isDraining: true), .cancel(sweep: "campus"),
    .steer(sweep: "campus", mode: .paused),
    .steer(sweep: "campus", mode: .active), .prioritize(sweep: "campus", priority: -3), .retry(target: "campus"),
    .logs(job: "0"), .pull(trial: "campus/0"),
  ]

  static let responses: [OperatorResponse] = [
    .submitted(sweep: submission.sweepID, isNew: true), .artifactsMissing([digest]), .done(message: "done"),
    .results(
      ResultTable(
        sweep: submission.sweepID, objectives: submission.spec.objectives,
        rows: [
          ResultTable.Row(
            trial: TrialID("daf5258b"), point: ["backbone": .string("yolov5n"), "seed": .int(0)],
            metrics: ["map50": 0.5, "latency_ms": 3], state: .done)
        ])),
    .sweeps([]), .workers([]),
    .artifacts(trial: TrialID("daf5258b"), model: JobKey(hashing: "x"), artifacts: ["model": model]),
    .refused(reason: "no"),
  ]

  static let records: [Record] = {
    let sweep = submission.sweepID
    let job = StageTree(submission).nodes[0].key
    let (worker, box) = (WorkerID("w-1"), BoxID("box-1"))
    return [
      .sweepSubmitted(sweep: sweep, submission: submission),
      .attemptStarted(attempt: attempt, job: job, worker: worker, box: box),
      .epochFinished(attempt: attempt, job: job, metrics: metrics),
      .checkpointStored(attempt: attempt, job: job, checkpoint: Checkpoint(epoch: 1, artifact: artifact)),
      .attemptEnded(attempt: attempt, job: job, outcome: .lost), .attemptSurvived(attempt: attempt, job: job),
      .attemptStarted(attempt: AttemptNumber(2), job: job, worker: worker, box: box),
      .attemptEnded(attempt: AttemptNumber(2), job: job, outcome: .failed(StageFailure(message: "no memory"))),
      .attemptStarted(attempt: AttemptNumber(3), job: job, worker: worker, box: box),
      .jobSucceeded(attempt: AttemptNumber(3), job: job, worker: worker, result: result),
      .jobFailed(job: job, reason: "failed"), .jobsRetried(jobs: [job]),
      .workerDrained(worker: worker, isDraining: true), .benchmarkBoxChosen(sweep: sweep, box: box),
      .sweepSteered(sweep: sweep, mode: .paused), .sweepPrioritized(sweep: sweep, priority: 5),
      .sweepLimited(sweep: sweep, limits: ["train": StageLimits(timeMinutes: 5)]),
      .sweepPlaced(sweep: sweep, placement: SweepPlacement(requires: ["site": "lab"])), .sweepCancelled(sweep: sweep),
    ]
  }()
}
