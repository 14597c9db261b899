import Bytes
import Sweep

/// Which artifacts the ledger references.
extension Ledger {
  /// Returns the inputs that an attempt at the job would get if it began now.
  func inputs(of job: JobIndex) -> [InputRole: ArtifactReference] {
    var inputs = sweeps[jobs[job].sweep].tree.inputs(of: jobs[job].node)
    inputs[.model] = jobs[job].parent.flatMap { jobs[$0].success?.result.artifact(.model) }
    if let teacher = jobs[job].teacher { inputs[.teacher] = jobs[teacher].success?.result.artifact(.model) }
    inputs[.resume] = jobs[job].checkpoint?.artifact
    return inputs
  }

  /// Hands over every reference, some of them several times, with the worker that made the artifact where that is
  /// known.
  func forEachReference(_ body: (ArtifactReference, _ maker: WorkerID?) -> Void) {
    for sweep in sweeps { for artifact in sweep.tree.submission.artifacts { body(artifact, nil) } }
    for job in jobs {
      let last = job.history.last.map { WorkerID($0.worker) }
      if let checkpoint = job.checkpoint { body(checkpoint.artifact, last) }
      if let success = job.success {
        for artifact in success.result.artifacts.values { body(artifact, success.worker) }
      }
      for entry in job.history { if let log = entry.log { body(log, WorkerID(entry.worker)) } }
    }
  }

  /// Returns the artifacts that are referenced, with the workers that made them.
  func references(
    to digests: Set<Digest>
  ) -> [Digest: (artifact: ArtifactReference, makers: [WorkerID])] {
    var found: [Digest: (artifact: ArtifactReference, makers: [WorkerID])] = [:]
    if digests.isEmpty { return found }
    forEachReference { artifact, maker in
      guard digests.contains(artifact.digest) else { return }
      var makers = found[artifact.digest]?.makers ?? []
      if let maker, !makers.contains(maker) { makers.append(maker) }
      found[artifact.digest] = (artifact, makers)
    }
    return found
  }

  var submittedArtifacts: Set<Digest> {
    sweeps.reduce(into: []) { $0.formUnion($1.tree.submission.artifacts.map(\.digest)) }
  }

  /// Returns a description of the artifact for people; nil if nothing references it.
  func description(of digest: Digest) -> String? {
    for sweep in sweeps {
      if sweep.tree.submission.dataset.digest == digest { return "data set of \(sweep.id)" }
      let file = sweep.tree.submission.files.first { $0.value.digest == digest }
      if let file { return "\(file.key) of \(sweep.id)" }
    }
    for job in jobs {
      let name = "\(job.stage.rawValue) \(job.key.short)"
      if job.checkpoint?.artifact.digest == digest { return "checkpoint of \(name)" }
      let result = job.success?.result.artifacts.first { $0.value.digest == digest }
      if let result { return "\(result.key) of \(name)" }
      if job.history.contains(where: { $0.log?.digest == digest }) { return "log of \(name)" }
    }
    return nil
  }
}
