import Foundation
import Testing

/// The output of the commands about data sets, with the real binary.
@Suite(.serialized) struct DatasetCommandTests {
  private let train = ["--model", "yolov5n", "--epochs", "1", "--batch", "8", "--image-size", "64", "--threads", "1"]

  private func sample(_ folder: TemporaryFolder) throws {
    let sample = ["dataset", "sample", folder.path("data"), "--images", "8", "--val-images", "4", "--image-size", "64"]
    #expect(try greensweep(sample).status == 0)
  }

  /// Images that are left out are named by every command that uses the others, and beside the results of a sweep.
  @Test(.timeLimit(.minutes(5))) func whatIsLeftOutIsSaid() throws {
    let folder = try TemporaryFolder()
    try sample(folder)
    try Data("0 -0.1 0.5 0.5 0.5\n".utf8).write(to: folder.url("data/labels/train/000003.txt"))
    try FileManager.default.removeItem(at: folder.url("data/labels/val/000001.txt"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("data/labels/val/000001.txt"), withDestinationPath: "../fetched/000001.txt")
    let lines = ["train: 1 of 8 images are left out: 000003.jpg (", "val: 1 of 4 images are left out: 000001.jpg ("]
    let data = folder.path("data/data.yaml")

    let info = try greensweep(["dataset", "info", data])
    let trained = try greensweep(["train", data, "-o", folder.path("run")] + train)
    for line in lines { #expect(info.output.contains(line) && trained.errors.contains(line)) }
    #expect(trained.status == 0)
    let model = folder.path("run/model.safetensors")
    for (split, line) in zip(["train", "val"], lines) {
      let report = try greensweep(["val", model, data, "--image-size", "64", "--split", split])
      #expect(
        report.status == 0 && report.errors.contains(line)
          && report.output.contains("; \(split == "train" ? 7 : 3) images"))
    }

    try """
    name: leftout
    dataset: data/data.yaml
    image_size: 64
    batch_size: 8
    grid: {backbone: yolov5n, sparsity_rate: 0, prune_ratio: 0}
    stages: {train: {epochs: 1}, benchmark: {iterations: 2}}
    objectives: [maximize map50_95, minimize size_mb]
    """.write(to: folder.url("sweep.yaml"), atomically: true, encoding: .utf8)
    let run = try greensweep([
      "run", folder.path("sweep.yaml"), "--data", folder.path("sweep"), "--workers", "1", "--threads", "1",
    ])
    #expect(run.status == 0, "\(run.errors)")
    let table = try String(contentsOf: folder.url("sweep/results.md"), encoding: .utf8)
    for line in lines { #expect(run.errors.contains(line) && run.output.contains(line) && table.contains(line)) }
  }

  /// A table stays a table whatever the classes are called.
  @Test func classNamesBreakNoTable() throws {
    let folder = try TemporaryFolder()
    try sample(folder)
    let names = #"names: ["a\nb", "c\r\nd", "tab\there", "line\u2028end \e[31m"]"#
    try "train: images/train\nval: images/val\n\(names)\n".write(
      to: folder.url("data/data.yaml"), atomically: true, encoding: .utf8)
    let info = try greensweep(["dataset", "info", folder.path("data/data.yaml")])
    #expect(info.status == 0, "\(info.errors)")
    let lines = info.output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(
      lines.count == 4 && lines[0].hasPrefix("split  ") && lines[1].hasPrefix("train ") && lines[2].hasPrefix("val "))
    #expect(!info.output.unicodeScalars.contains { [0x0D, 0x09, 0x1B, 0x2028].contains($0.value) })
  }

  /// Nothing is trained where nothing can be learned, and nothing is written.
  @Test func aTrainingWithoutABoxIsRefused() throws {
    let folder = try TemporaryFolder()
    try sample(folder)
    try FileManager.default.removeItem(at: folder.url("data/labels/train"))
    try "dataset: data/data.yaml\n".write(to: folder.url("sweep.yaml"), atomically: true, encoding: .utf8)
    for call in [
      ["train", folder.path("data/data.yaml"), "-o", folder.path("run")] + train,
      ["run", folder.path("sweep.yaml"), "--data", folder.path("sweep")],
      ["submit", folder.path("sweep.yaml"), "--coordinator", "127.0.0.1:1"],
    ] {
      let result = try greensweep(call)
      #expect(result.status != 0)
      #expect(
        result.errors.contains(
          "there is no box: the labels of \(folder.path("data/images/train/000000.jpg")) were looked for"),
        "\(result.errors)")
    }
    for name in ["run/results.csv", "sweep"] { #expect(!FileManager.default.fileExists(atPath: folder.path(name))) }
  }
}
