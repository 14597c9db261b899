import Dataset
import Detection
import Foundation
import Testing
import Training

@Suite struct HyperparametersTests {
  @Test func readsAFileAndKeepsDefaults() throws {
    let hyp = try read("lr0: 0.02\nmosaic: 0  # off\nanchors: 3\n")
    #expect(hyp.initialLearningRate == 0.02)
    #expect(hyp.augmentation.mosaic == 0)
    #expect(hyp.momentum == 0.937)
  }

  @Test func refusesWhatItDoesNotKnow() {
    expectRefusal("lr0: 0.01\nwarmup_epoch: 3\n", mentions: "warmup_epochs", "2")
    expectRefusal("momentum: 1.5\n", mentions: "momentum", "1.5")
    expectRefusal("lr0: fast\n", mentions: "fast")
    expectRefusal("anchors: 5\n", mentions: "anchors")
    expectRefusal("- 1\n", mentions: "mapping")
  }

  @Test func presetsAreThoseOfTheStudy() throws {
    #expect(try Hyperparameters(preset: "scratch-low").finalLearningRateFraction == 0.01)
    #expect(try Hyperparameters(preset: "scratch").finalLearningRateFraction == 0.1)
    let pruned = try Hyperparameters(preset: "finetune_prune")
    #expect(pruned.loss.classPositiveWeight == 0.631)
    #expect(pruned.loss.anchorRatioLimit == 2.91)
    #expect(throws: TrainingError.self) { try Hyperparameters(preset: "finetune-prune") }
  }

  @Test func defaultsAreThoseOfScratchLow() {
    let expected: [String: Double] = [
      "lr0": 0.01, "lrf": 0.01, "momentum": 0.937, "weight_decay": 0.0005, "warmup_epochs": 3, "warmup_momentum": 0.8,
      "warmup_bias_lr": 0.1, "box": 0.05, "cls": 0.5, "cls_pw": 1, "obj": 1, "obj_pw": 1, "iou_t": 0.2, "anchor_t": 4,
      "fl_gamma": 0, "label_smoothing": 0, "hsv_h": 0.015, "hsv_s": 0.7, "hsv_v": 0.4, "degrees": 0, "translate": 0.1,
      "scale": 0.5, "shear": 0, "perspective": 0, "flipud": 0, "fliplr": 0.5, "mosaic": 1, "mixup": 0, "copy_paste": 0,
    ]
    #expect(Hyperparameters.scratchLow.values == expected)
  }

  @Test func survivesJSONUnderYOLOv5Keys() throws {
    let json = try JSONEncoder().encode(Hyperparameters.finetunePrune)
    #expect(try JSONDecoder().decode(Hyperparameters.self, from: json) == .finetunePrune)
    #expect(String(decoding: json, as: UTF8.self).contains("\"warmup_bias_lr\":0.05"))
    #expect(throws: (any Error).self) { try JSONDecoder().decode(Hyperparameters.self, from: Data(#"{"lr1":1}"#.utf8)) }
  }

  private func read(_ text: String) throws -> Hyperparameters {
    let url = FileManager.default.temporaryDirectory.appending(path: "hyp-\(UUID().uuidString).yaml")
    try Data(text.utf8).write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    return try Hyperparameters(hypYAMLPath: url.path)
  }

  private func expectRefusal(_ text: String, mentions words: String..., location: SourceLocation = #_sourceLocation) {
    do {
      _ = try read(text)
      Issue.record("accepted \(text)", sourceLocation: location)
    } catch {
      for word in words { #expect("\(error)".contains(word), "\(error)", sourceLocation: location) }
    }
  }
}
