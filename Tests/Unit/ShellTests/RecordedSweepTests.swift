import Bytes
import Fleet
import Foundation
import JSON
import Settings
import Sweep
import Testing
import Wire

/// Sweeps as the release before wrote them: their names and keys stand in journals, their texts in journals and on the
/// wire. `Tests/Fixtures/sweeps` has one file for each. `GREENSWEEP_RECORD=1` adds a file that is missing and fails;
/// a file that is there is never written over.
struct RecordedSweepTests {
  /// One sweep file, and all that followed from it when it was recorded.
  struct Recording: Codable {
    struct Node: Codable, Equatable {
      var stage: Stage
      var key: JobKey
      var parent: Int?
      var cost: Int
      var inputs: [String: ArtifactReference]
      /// The member `configuration` of the assignment.
      var configuration: PlainValue
    }
    var submission: PlainValue
    var sweep: SweepID
    var trials: [TrialID]
    var nodes: [Node]
  }

  @Test(arguments: files.keys.sorted()) func keysAndTextsAreThoseOfTheReleaseBefore(name: String) throws {
    let submission = try submission(name)
    let path = URL(filePath: #filePath).appending(path: "../../../Fixtures/sweeps/\(name).json").standardizedFileURL
    guard let recorded = FileManager.default.contents(atPath: path.path) else {
      Issue.record("\(path.path) is not there")
      guard ProcessInfo.processInfo.environment["GREENSWEEP_RECORD"] != nil else { return }
      return try Data(JSON.sorted(recording(of: submission)).utf8).write(to: path)
    }
    let expected = try JSON.decode(Recording.self, from: recorded, .fleet)
    let now = try recording(of: submission)
    #expect(now.sweep == expected.sweep)
    #expect(now.trials == expected.trials)
    #expect(now.nodes == expected.nodes)
    #expect(now.submission == expected.submission)
    let replayed = try JSON.decode(
      SweepSubmission.self, from: Array(expected.submission.canonicalJSON.utf8), .fleet)
    #expect(replayed == submission)
    #expect(replayed.problem == nil)
  }

  @Test(arguments: files.keys.sorted()) func assignmentsOfTheReleaseBeforeReachTheStage(name: String) throws {
    for node in try recording(of: submission(name)).nodes {
      let members =
        #""job":"\#(node.key)","stage":"\#(node.stage.rawValue)","configuration":"#
        + node.configuration.canonicalJSON
      let assigned = #"{"assign":{"_0":{"attempt":7,\#(members),"inputs":{},"limits":{"memoryMB":512}}}}"#
      guard case .coordinator(.assign(let assignment)) = try WireMessage([1, 2] + Array(assigned.utf8)) else {
        Issue.record("\(assigned) is no assignment")
        continue
      }
      #expect(try plain(CoordinatorMessage.assign(assignment)) == JSON.decode(PlainValue.self, from: assigned.utf8))
      #expect(assignment.stage == node.stage)
      #expect(assignment.limits == StageLimits(memoryMB: 512))
      let requested = #"{"version":1,\#(members),"inputs":{"model":"/m"},"directory":"/d","threads":2}"#
      let request = try JSON.decode(StageRequest.self, from: requested.utf8, .fleet)
      #expect(try plain(request) == JSON.decode(PlainValue.self, from: requested.utf8))
      #expect(request.input(.model) == "/m")
      #expect(request.configuration == assignment.configuration)
    }
  }

  private func recording(of submission: SweepSubmission) throws -> Recording {
    let tree = StageTree(submission)
    let nodes = try tree.nodes.indices.map { index in
      let node = tree.nodes[index]
      let assignment = Assignment(
        attempt: AttemptNumber(1), job: node.key, configuration: tree.configuration(of: index),
        inputs: tree.inputs(of: index))
      guard case .object(let members) = try plain(assignment) else { throw WireError.empty }
      return Recording.Node(
        stage: node.stage, key: node.key, parent: node.parent, cost: node.remainingCost, inputs: assignment.inputs,
        configuration: members["configuration"]!)
    }
    return Recording(
      submission: try plain(submission), sweep: tree.sweep, trials: tree.trialIDs, nodes: nodes)
  }

  private func plain(_ value: some Encodable) throws -> PlainValue {
    try JSON.decode(PlainValue.self, from: JSON.encode(value), .fleet)
  }

  private func submission(_ name: String) throws -> SweepSubmission {
    let vocabulary = SweepVocabulary(
      [
        .backbone: ["yolov5n", "yolov5s"], .optimizer: ["SGD", "Adam", "AdamW"],
        .hyp: ["scratch-low", "finetune_prune"], .policy: ["study", "grouped"], .importance: ["weight_l2", "random"],
      ], isVariant: { $0 == "mobilenetv2-w0.5" }, fileExists: { _ in true })
    // Files that were silent about pruning and training have other defaults now. What was submitted before them stays.
    let text = Self.files[name]!
    var spec = try SweepSpec(parsing: text, file: "\(name).yaml", vocabulary: vocabulary)
    spec.common.recipe = nil
    if !text.contains("policy") { spec.prune.policy = nil }
    if !text.contains("sparsity_rate") { spec.grid.sparsityRate = SweepSpec.Grid().sparsityRate }
    func reference(_ digit: Int) -> ArtifactReference {
      ArtifactReference(digest: Digest(String(repeating: "\(digit)", count: 64))!, byteCount: 10 + digit)
    }
    let files = spec.files.enumerated().map { ($1, reference($0 + 1)) }
    return SweepSubmission(
      spec: spec, dataset: reference(0), files: Dictionary(uniqueKeysWithValues: files))
  }

  private static let files = [
    "plain": "dataset: data.yaml",
    "grid": """
    name: grid-1.0_x
    dataset: sets/data.yaml
    image_size: 320
    batch_size: 8
    nominal_batch_size: 32
    grid:
      backbone: [yolov5n, mobilenetv2-w0.5, own.yaml]
      optimizer: [Adam, SGD]
      seed: [0, 7]
      sparsity_rate: [0, 0.00001, 0.5]
      prune_ratio: [0, 0.3]
    objectives: [maximize map50, minimize latency_ms]
    """,
    "training": """
    dataset: data.yaml
    grid: {backbone: [yolov5n, yolov5s], optimizer: AdamW, seed: 2147483647}
    stages:
      train:
        {epochs: 3, hyp: my/hyp.yaml, patience: 2, freeze: 2, multi_scale: yes, weights: {yolov5s: w.pt}}
      sparsify: {epochs: 1, hyp: scratch-low, freeze: [5, 1], image_weights: true, rect: false}
      finetune: {epochs: 1000000, hyp: finetune_prune, patience: 1000000, rect: true}
      benchmark: {iterations: 7, threads: 3}
    objectives: [map50_95, energy_j, parameters, gflops, size_mb]
    priority: -5
    """,
    "rounds": """
    dataset: data.yaml
    grid: {prune_ratio: [0.6, 0.4]}
    stages:
      train: {weights: w.pt, memory_limit_mb: 512}
      prune: {policy: grouped, importance: random, min_channels: 4, round_to: 8, rounds: 3, time_limit_minutes: 1.5}
    """,
    "parameters": """
    dataset: data.yaml
    grid: {prune_ratio: [0, 0.5]}
    stages: {prune: {target_parameters: 1000000, rounds: 2}}
    """,
    "gflops": """
    dataset: data.yaml
    stages: {prune: {target_gflops: 2, importance: weight_l2, policy: study}}
    """,
  ]
}
