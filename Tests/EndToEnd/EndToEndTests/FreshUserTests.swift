import Foundation
import Testing

/// From a data set to a front with two commands, as somebody does who has read nothing else. `cluster/fresh-user.sh`
/// does so with as many epochs as `init` chooses, and judges the models.
@Suite(.serialized) struct FreshUserTests {
  private struct Plan: Decodable {
    struct Forecast: Decodable {
      struct Row: Decodable {
        var stage: String
        var jobs: Int
        var jobs_unshared: Int
      }

      var trials: Int
      var rows: [Row]
      var seconds: Double
    }

    struct Recipe: Decodable {
      struct Setting: Decodable {
        var key: String
        var value: String
      }

      var stage: String
      var settings: [Setting]
    }

    var forecast: Forecast
    var recipes: [Recipe]
  }

  private struct Row: Decodable {
    var state: String
    var on_front: Bool?
    var parameters: Double
  }

  @Test(.timeLimit(.minutes(10))) func twoCommandsLeadToAFront() throws {
    let folder = try TemporaryFolder()
    let sample = [
      "dataset", "sample", folder.path("data"), "--images", "16", "--val-images", "6", "--image-size", "64",
    ]
    #expect(try greensweep(sample).status == 0)
    let (data, sweep) = (folder.path("data/data.yaml"), folder.path("sweep.yaml"))
    let weights = ["import", "yolov5n", "--nc", "4", "-o", folder.path("data/yolov5n.safetensors")]
    #expect(try greensweep(weights).status == 0)
    let here = ["--workers", "2", "--threads", "1"]

    let hurried = try greensweep(["init", data, "-o", sweep, "--budget", "1s"] + here)
    #expect(hurried.status == 1 && hurried.errors.contains("a budget of 1s is too small"), "\(hurried.errors)")
    #expect(!FileManager.default.fileExists(atPath: sweep))
    let written = try greensweep(["init", data, "-o", sweep] + here)
    #expect(written.status == 0 && written.output.contains("next: greensweep run \(sweep)"), "\(written.errors)")
    var text = try String(contentsOf: folder.url("sweep.yaml"), encoding: .utf8)
    #expect(text.contains("dataset: data/data.yaml") && text.contains("weights: {yolov5n: data/yolov5n.safetensors}"))
    let again = try greensweep(["init", data, "-o", sweep] + here)
    #expect(again.status == 1 && again.errors.contains("--force"))
    #expect(try String(contentsOf: folder.url("sweep.yaml"), encoding: .utf8) == text)
    for target in [data, folder.path("data/images/train/000000.jpg")] {
      #expect(try greensweep(["init", data, "-o", target, "--force"] + here).status != 0)
    }

    // The rest with a few epochs.
    for (stage, epochs) in [("train:    ", 6), ("sparsify: ", 4), ("finetune: ", 3)] {
      let place = try #require(text.firstRange(of: try Regex("\(stage)\\{epochs: [0-9]+")))
      text.replaceSubrange(place, with: "\(stage){epochs: \(epochs)")
    }
    // A benchmark waits for others to leave the host alone, longer for more iterations; beside other tests in vain.
    let stages = try #require(text.firstRange(of: try Regex("stages:.*\n")))
    text.insert(contentsOf: "  benchmark: {iterations: 5}\n", at: stages.upperBound)
    try text.write(to: folder.url("sweep.yaml"), atomically: true, encoding: .utf8)
    let planned = try greensweep(["plan", sweep, "--json"] + here)
    let plan = try JSONDecoder().decode(Plan.self, from: Data(planned.output.utf8))
    #expect(plan.forecast.trials == 4 && plan.forecast.seconds > 0)
    #expect(plan.forecast.rows.map(\.stage) == ["train", "sparsify", "prune", "finetune", "evaluate", "benchmark"])
    #expect(plan.forecast.rows.map(\.jobs) == [1, 3, 3, 4, 4, 4])
    #expect(plan.forecast.rows.map(\.jobs_unshared) == [4, 3, 3, 4, 4, 4])
    // The settings that `plan` lists for a stage are those that its run has recorded.
    #expect(plan.recipes.map(\.stage) == ["train", "sparsify", "finetune", "finetune"])
    let recipe = Dictionary(uniqueKeysWithValues: plan.recipes[0].settings.map { ($0.key, $0.value) })
    #expect(recipe["optimizer"] == "AdamW" && recipe["lr0"] == "0.001" && recipe["batches in all"] == "12")
    #expect(!FileManager.default.fileExists(atPath: folder.path("run")), "nothing has run")

    let run = try greensweep(["run", sweep, "--data", folder.path("run"), "--json"] + here)
    #expect(run.status == 0, "\(run.errors)")
    let rows = try JSONDecoder().decode([Row].self, from: Data(contentsOf: folder.url("run/results.json")))
    #expect(rows.count == 4 && rows.allSatisfy { $0.state == "done" })
    let smallest = try #require(rows.filter { $0.on_front == true }.map(\.parameters).min())
    let picture = FileManager.default.contents(atPath: folder.path("run/detections.jpg")) ?? Data()
    #expect(picture.starts(with: [0xFF, 0xD8]) && picture.count > 5_000)
    #expect(!FileManager.default.fileExists(atPath: folder.path("run/unpruned.safetensors")))
    #expect(smallest <= 0.4 * rows.map(\.parameters).max()!)
  }
}
