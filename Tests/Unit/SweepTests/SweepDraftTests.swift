import Settings
import Sweep
import Testing

private func facts(_ images: Int = 200, longSide: Int = 640, smallBox: Double = 0.06) -> SweepDraft.Facts {
  SweepDraft.Facts(
    trainingImages: images, validationImages: 50, classes: 3, boxes: 900, longSide: longSide, smallBox: smallBox)
}

private func draft(_ facts: SweepDraft.Facts = facts(), weights: [String: String] = [:]) -> SweepDraft {
  SweepDraft(
    name: "cells", dataset: "cells/data.yaml", facts: facts, weights: weights,
    objectives: [Objective(.maximize, .map50), Objective(.minimize, .sizeMB)])
}

private func spec(_ draft: SweepDraft) throws -> SweepSpec {
  let vocabulary = SweepVocabulary([
    .backbone: ["yolov5n", "yolov5s", "mobilenetv2"], .recipe: ["auto", "yolov5"], .policy: ["gradual"],
    .optimizer: ["SGD"],
  ]) { ["cells/data.yaml", "it's: my #1/yolov5n.pt"].contains($0) }
  return try SweepSpec(parsing: draft.text(duration: "1h"), file: "sweep.yaml", vocabulary: vocabulary)
}

struct SweepDraftTests {
  @Test func theReaderReadsWhatWasMeant() throws {
    var draft = draft(weights: ["yolov5n": "it's: my #1/yolov5n.pt"])
    draft.remarks = ["train: 1 of 8 images is left out:\nname: evil"]
    let spec = try spec(draft)
    #expect(spec.name == "cells" && spec.dataset == "cells/data.yaml")
    #expect(spec.grid.backbone == ["yolov5n"] && spec.grid.pruneRatio == [0, 0.3, 0.5, 0.7])
    #expect(spec.train.weights == ["yolov5n": "it's: my #1/yolov5n.pt"])
    #expect(spec.common.imageSize == draft.imageSize && spec.common.batchSize == draft.batchSize)
    #expect(
      [spec.train.epochs, spec.sparsify.epochs, spec.finetune.epochs] == [
        draft.epochs.train, draft.epochs.sparsify, draft.epochs.finetune,
      ])
    #expect(spec.common.recipe == "auto" && spec.prune.policy == "gradual")
    #expect(spec.objectives == draft.objectives)
  }

  @Test func aNameThatIsNoneIsReplaced() throws {
    let odd = SweepDraft(
      name: "my data!", dataset: "cells/data.yaml", facts: facts(), weights: [:], objectives: [])
    #expect(odd.name == "sweep")
  }

  @Test(arguments: [
    (640, 0.06, 288), (640, 0.01, 640), (4000, 0.01, 640), (224, 0.15, 160), (100, 0.15, 128), (640, 0.0, 640),
  ]) func smallBoxesNeedLargeImages(_ longSide: Int, _ smallBox: Double, _ size: Int) {
    #expect(draft(facts(longSide: longSide, smallBox: smallBox)).imageSize == size)
  }

  @Test func moreClassesTakeMoreSteps() {
    func steps(_ classes: Int) -> Int {
      var facts = facts(128)
      facts.classes = classes
      return draft(facts, weights: ["yolov5n": "yolov5n.pt"]).steps
    }
    #expect(steps(1) == steps(4) && (1000...1010).contains(steps(4)))
    #expect((4 * steps(4)..<5 * steps(4)).contains(steps(80)))
  }

  @Test(arguments: [20, 60, 200, 5_000, 200_000]) func thereAreEnoughSteps(_ images: Int) throws {
    for weights in [[:], ["yolov5n": "it's: my #1/yolov5n.pt"]] {
      let draft = draft(facts(images), weights: weights)
      let least = weights.isEmpty ? 1000 : 500
      #expect(draft.shortest.steps >= least && draft.steps >= 2 * least)
      #expect(draft.shortest.epochs.all >= 10 && draft.shortest.epochs.sparsify >= 2)
      let shortest = draft.shortest.epochs
      #expect(shortest.train + shortest.sparsify + shortest.finetune == shortest.all)
    }
  }

  @Test func aBudgetIsUsedButNotOverdrawn() throws {
    let draft = draft()
    /// A second for each epoch of each trial.
    func seconds(_ draft: SweepDraft) -> Double {
      Double(draft.epochs.all * draft.backbones.count * draft.pruneRatios.count)
    }
    let much = try #require(draft.fitting(budgetSeconds: 2 * seconds(draft), seconds: seconds).fitting)
    #expect(much.backbones == draft.backbones && much.epochs.all == 2 * draft.epochs.all)
    let endless = try #require(draft.fitting(budgetSeconds: 1e9, seconds: seconds).fitting)
    #expect(endless.epochs.all == 3 * draft.epochs.all)
    let little = try #require(draft.fitting(budgetSeconds: seconds(draft.shortest) - 1, seconds: seconds).fitting)
    #expect(little.backbones.count == 1 && little.pruneRatios.count == 4)
    #expect(seconds(little) < seconds(draft.shortest) && little.epochs.all >= draft.shortest.epochs.all)
    let least = draft.fitting(budgetSeconds: 1, seconds: seconds)
    #expect(least.fitting == nil && least.least.pruneRatios == [0, 0.5] && least.least.backbones.count == 1)
    let exact = try #require(draft.fitting(budgetSeconds: seconds(least.least), seconds: seconds).fitting)
    #expect(exact == least.least)
    _ = try spec(exact)
  }
}
