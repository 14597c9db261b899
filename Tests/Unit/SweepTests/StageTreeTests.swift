import Bytes
import JSON
import Settings
import Sweep
import Testing

private let dataset = ArtifactReference(digest: Digest(String(repeating: "a", count: 64))!, byteCount: 1)

private func tree(_ change: (inout SweepSpec) -> Void = { _ in }) -> StageTree {
  var spec = SweepSpec(name: "t", dataset: "data.yaml")
  change(&spec)
  return StageTree(SweepSubmission(spec: spec, dataset: dataset))
}

struct StageTreeTests {
  @Test func sharedStagesAppearOnce() {
    let tree = tree {
      $0.grid.sparsityRate = [0.0001, 0.0005]
      $0.grid.pruneRatio = [0, 0.3, 0.5]
    }
    func count(_ stage: Stage) -> Int { tree.nodes.count { $0.stage == stage } }
    #expect(tree.trials.count == 6)
    #expect(count(.train) == 1)
    #expect(count(.sparsify) == 2)
    #expect(count(.prune) == 4)
    #expect(count(.finetune) == 4)
    #expect(count(.evaluate) == 6)
    #expect(count(.benchmark) == 0)
  }

  /// Fade and cut; what remains learns from the same network trained as long without being pruned.
  @Test(arguments: [[0, 0.3, 0.5], [0.3, 0.5, 0]])
  func theUnprunedTrialTeachesThePrunedOnes(ratios: [Double]) throws {
    func sweep(_ distill: String) -> StageTree {
      tree {
        $0.prune.policy = "gradual"
        $0.grid.sparsityRate = [0]
        $0.grid.seed = [0, 1]
        $0.grid.pruneRatio = ratios
        $0.finetune.distill = distill
      }
    }
    let taught = sweep("parent")
    for (trial, path) in zip(taught.trials, taught.nodesOfTrial) {
      let unpruned = try #require(taught.trials.firstIndex { $0.seed == trial.seed && $0.pruneRatio == 0 })
      for index in path {
        let isPupil = taught.nodes[index].stage == .finetune && trial.pruneRatio > 0
        #expect(taught.nodes[index].teacher == (isPupil ? taught.modelNode(ofTrial: unpruned) : nil))
        #expect(taught.nodes[index].sources.allSatisfy { $0 < index })
        #expect((taught.configuration(of: index).values["distill"] == .string("parent")) == isPupil)
      }
    }
    #expect(taught.trialIDs == sweep("off").trialIDs)
    // Only the pupils and their evaluation are other jobs.
    let others = Set(taught.nodes.map(\.key)).subtracting(sweep("off").nodes.map(\.key))
    #expect(others.count == 8 && taught.nodes.count == sweep("off").nodes.count)
    // The teacher's way is longer by its pupils'.
    let teacher = taught.nodes[taught.nodesOfTrial[ratios.firstIndex(of: 0)!][1]]
    #expect(teacher.remainingCost == 1500 + 1000 + 5 - 500)
  }

  @Test func withoutAnUnprunedTrialTheLastWholeModelTeaches() throws {
    func teachers(_ change: (inout SweepSpec) -> Void) -> [Stage?] {
      let tree = tree {
        $0.grid.pruneRatio = [0.3]
        $0.finetune.distill = "parent"
        change(&$0)
      }
      return tree.nodes.filter { $0.stage == .finetune }.map { $0.teacher.map { tree.nodes[$0].stage } }
    }
    #expect(teachers { $0.prune.policy = "gradual" } == [.train])
    #expect(teachers { $0.prune.rounds = 3 } == [.sparsify, .sparsify, .sparsify])
    #expect(teachers { $0.grid.sparsityRate = [0] } == [.train])
  }

  @Test func aTeachersFileCountsByItsContent() {
    func tree(_ digit: String, _ name: String = "teacher.pt") -> StageTree {
      let file = ArtifactReference(digest: Digest(String(repeating: digit, count: 64))!, byteCount: 1)
      var spec = SweepSpec(name: "t", dataset: "data.yaml")
      spec.grid.pruneRatio = [0, 0.3]
      spec.finetune.distill = name
      return StageTree(SweepSubmission(spec: spec, dataset: dataset, files: [name: file]))
    }
    let nodes = tree("c").nodes
    let pupil = nodes.firstIndex { $0.stage == .finetune }!
    #expect(tree("c").inputs(of: pupil)[.teacher]?.digest == Digest(String(repeating: "c", count: 64)))
    #expect(tree("c").configuration(of: pupil).values["distill"] == .string("file"))
    #expect(tree("c", "of/another.pt").nodes.map(\.key) == nodes.map(\.key))
    let others = Set(nodes.map(\.key)).subtracting(tree("d").nodes.map(\.key))
    #expect(others == [nodes[pupil].key, nodes.last { $0.stage == .evaluate }!.key])
  }

  @Test func theBaselineIsTrainedAndMeasuredOnly() {
    let tree = tree {
      $0.grid.sparsityRate = [0]
      $0.grid.pruneRatio = [0]
      $0.objectives = [Objective(.minimize, .latencyMS)]
    }
    #expect(tree.nodes.map(\.stage) == [.train, .evaluate, .benchmark])
    #expect(tree.nodes.map(\.parent) == [nil, 0, 0])
  }

  @Test func parentsComeFirstAndLongWaysCostMore() {
    let tree = tree { $0.grid.pruneRatio = [0, 0.3] }
    for (index, node) in tree.nodes.enumerated() {
      guard let parent = node.parent else { continue }
      #expect(parent < index)
      #expect(tree.nodes[parent].remainingCost > node.remainingCost)
    }
    // train 1000 + sparsify 500 + prune 1 + finetune 1000 + evaluate 5
    #expect(tree.nodes[0].remainingCost == 2506)
  }

  @Test func aModelFileTravelsAndCountsByItsContent() {
    func tree(_ digit: String) -> StageTree {
      let file = ArtifactReference(digest: Digest(String(repeating: digit, count: 64))!, byteCount: 1)
      var spec = SweepSpec(name: "t", dataset: "data.yaml")
      spec.grid.backbone = ["own.yaml"]
      return StageTree(SweepSubmission(spec: spec, dataset: dataset, files: ["own.yaml": file]))
    }
    #expect(tree("c").nodes[0].key == tree("c").nodes[0].key)
    #expect(tree("c").nodes[0].key != tree("d").nodes[0].key)
    for (index, node) in tree("c").nodes.enumerated() {
      #expect((tree("c").inputs(of: index)[.network] != nil) == (node.stage == .train))
    }
    let spec = tree("c").submission.spec
    #expect(SweepSubmission(spec: spec, dataset: dataset).problem == "the file own.yaml was not submitted")
  }

  @Test func trainingChoicesCountWhereTheyAreMade() {
    let plain = tree()
    let chosen = tree {
      $0.finetune.freeze = [0, 1]
      $0.finetune.multiScale = true
    }
    for (a, b) in zip(plain.nodes, chosen.nodes) { #expect((a.key == b.key) == (a.stage < .finetune)) }
    let finetune = chosen.nodes.firstIndex { $0.stage == .finetune }!
    #expect(chosen.configuration(of: finetune).values["freeze"] == .array([.int(0), .int(1)]))
    #expect(chosen.configuration(of: finetune).values["multi_scale"] == .bool(true))
    #expect(chosen.sweep != plain.sweep)
  }

  @Test func aKeyNamesEverythingThatMatters() {
    let base = tree().nodes[0].key
    #expect(tree().nodes[0].key == base)
    #expect(tree { $0.name = "other" }.nodes[0].key == base)
    #expect(tree { $0.grid.pruneRatio = [0.7] }.nodes[0].key == base)
    #expect(tree { $0.train.epochs = 99 }.nodes[0].key != base)
    #expect(tree { $0.grid.seed = [1] }.nodes[0].key != base)
    #expect(tree { $0.common.imageSize = 320 }.nodes[0].key != base)
    let elsewhere = ArtifactReference(digest: Digest(String(repeating: "b", count: 64))!, byteCount: 1)
    let spec = SweepSpec(name: "t", dataset: "data.yaml")
    #expect(StageTree(SweepSubmission(spec: spec, dataset: elsewhere)).nodes[0].key != base)
  }

  /// Keys stand in journals: if this fails, old journals lose their results.
  @Test func keysDoNotChange() {
    #expect(JobKey(hashing: "").description == "6c62272e07bb014262b821756295c58d")
    #expect(JobKey(hashing: "a").description == "d228cb696f1a8caf78912b704e4a8964")
    #expect(tree().nodes[0].key.description == "aa7bf6044d58d6aaad11d5e421e3e13b")
    #expect(tree().trialIDs[0].name == "f6167314")
    #expect(tree().sweep.name == "t-a684c349")
  }

  /// A job's key must not depend on choices that were not made, and on all that were.
  @Test func choicesOfThePruneStageAreInItsKeyAlone() {
    let base = tree()
    let changes: [(inout Choices<PruneStage>) -> Void] = [
      { $0.policy = "grouped" }, { $0.importance = "weight_l1" }, { $0.importance = "random" },
      { $0.minimumChannels = 8 }, { $0.roundTo = 8 }, { $0.targetParameters = 1_000_000 }, { $0.targetGFLOPs = 2 },
    ]
    var keys: Set<JobKey> = [base.nodes[2].key]
    for change in changes {
      let changed = tree { change(&$0.prune) }
      #expect(changed.nodes[1].key == base.nodes[1].key)
      #expect(changed.sweep != base.sweep)
      #expect(keys.insert(changed.nodes[2].key).inserted)
    }
    let byTarget = tree { $0.prune.targetGFLOPs = 2 }
    #expect(byTarget.configuration(of: 2).values == ["backbone": "yolov5s", "target_gflops": 2.0])
    #expect(tree { $0.prune.importance = "random" }.configuration(of: 2).values["seed"] == 0)
  }

  @Test func roundsArePairsOfStagesThatCutEquallyMuch() {
    let rounds = tree {
      $0.grid.pruneRatio = [0.6]
      $0.prune.rounds = 3
    }
    #expect(
      rounds.nodes.map(\.stage) == [
        .train, .sparsify, .prune, .finetune, .prune, .finetune, .prune, .finetune, .evaluate,
      ])
    #expect(rounds.nodes.map(\.round) == [1, 1, 1, 1, 2, 2, 3, 3, 1])
    #expect(rounds.nodes.map(\.parent) == [nil, 0, 1, 2, 3, 4, 5, 6, 7])
    #expect(rounds.modelNode(ofTrial: 0) == 7)
    var left = 1.0
    for node in [2, 4, 6] {
      left *= 1 - rounds.configuration(of: node).values["prune_ratio"]!.double!
    }
    #expect(abs(left - 0.4) < 1e-11)
    // One round is what there was before rounds; equal schedules of two sweeps share their first rounds.
    let once = tree { $0.grid.pruneRatio = [0.6] }
    #expect(once.configuration(of: 2).values["prune_ratio"] == 0.6)
    let shorter = tree {
      $0.grid.pruneRatio = [0.4]
      $0.prune.rounds = 2
    }
    #expect(shorter.nodes[2].key == rounds.nodes[2].key)
    #expect(shorter.nodes[3].key == rounds.nodes[3].key)

    let target = tree {
      $0.prune.targetParameters = 1_000_000
      $0.prune.rounds = 2
    }
    #expect([2, 4].map { target.configuration(of: $0).values["rounds_left"] } == [2, 1])
  }

  /// Under the policy `gradual` every ratio fades channels of its own, and all trials train equally long.
  @Test func gradualTrialsShareTheTrainingAndTrainEquallyLong() {
    let gradual = tree {
      $0.grid.pruneRatio = [0, 0.3, 0.6]
      $0.grid.sparsityRate = [0]
      $0.prune.policy = "gradual"
      $0.prune.minimumChannels = 6
    }
    #expect(gradual.nodes.count { $0.stage == .train } == 1)
    func stages(_ trial: Int) -> [Stage] { gradual.nodesOfTrial[trial].map { gradual.nodes[$0].stage } }
    #expect(stages(0) == [.train, .finetune, .evaluate])
    #expect(stages(1) == [.train, .sparsify, .prune, .finetune, .evaluate])
    let epochs = gradual.nodesOfTrial.map { $0.reduce(0) { $0 + gradual.configuration(of: $1).epochs } }
    #expect(Set(epochs).count == 1)
    let fading = gradual.configuration(of: gradual.nodesOfTrial[2][1]).values
    #expect(fading["target"] == 0.6 && fading["min_channels"] == 6)
    #expect(gradual.configuration(of: gradual.nodesOfTrial[2][2]).values["policy"] == "gradual")
    // Without a pruned trial there is nothing to compare with.
    let plain = tree {
      $0.grid.pruneRatio = [0]
      $0.grid.sparsityRate = [0]
      $0.prune.policy = "gradual"
    }
    #expect(plain.nodes.map(\.stage) == [.train, .evaluate])
  }

  @Test func stagesGetWhatTheyNeedAndNoMore() {
    let tree = tree {
      $0.train.hyp = "scratch-low"
      $0.train.weights = ["yolov5s": "w.pt"]
    }
    #expect(tree.nodes.map(\.stage) == [.train, .sparsify, .prune, .finetune, .evaluate])
    #expect(
      tree.configuration(of: 0).values == [
        "backbone": "yolov5s", "optimizer": "SGD", "seed": 0, "image_size": 640, "batch_size": 16,
        "nominal_batch_size": 64, "epochs": 100, "patience": 0, "hyp": "scratch-low",
      ])
    #expect(tree.configuration(of: 2).values == ["backbone": "yolov5s", "prune_ratio": 0.3])
    #expect(tree.inputs(of: 2).isEmpty)
    #expect(tree.inputs(of: 4) == [.dataset: dataset])
    #expect(tree.modelNode(ofTrial: 0) == 3)
  }
}

extension PlainValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
}
