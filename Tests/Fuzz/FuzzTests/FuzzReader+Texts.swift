@testable import Dataset
import Settings
import Sweep
import Training
import YAML

extension FuzzReader {
  /// YAML files and labels.
  static let textReaders: [FuzzReader] = [
    FuzzReader(
      name: "yaml", fileExtension: "yaml", tokens: yamlTokens,
      seeds: [
        FuzzSeed("a: 1\nb: [1, 2.5, 'x', \"\\u00e9\"]\nc: &c {d: null, e: yes}\nf: *c\ng: |\n  text\n  more\n"),
        FuzzSeed(laughs, isSound: false), FuzzSeed("a: &a [*a]\n", isSound: false),
        FuzzSeed(String(repeating: "[", count: 10_000), isSound: false),
        FuzzSeed(String(repeating: "- ", count: 10_000), isSound: false), FuzzSeed(manyLines, isSound: false),
      ],
      read: { bytes, file in _ = try YAMLDocument.parse(bytes, file: file) }),
    FuzzReader(
      name: "data-yaml", fileExtension: "yaml",
      tokens: yamlTokens + words("path: train: val: test: names: nc: .. ~/ \\ / /dev/zero") + [
        [0xEF, 0xBB, 0xBF], [9],
      ],
      seeds: [
        FuzzSeed("path: .\ntrain: .\nval: [., ..]\nnc: 2\nnames: [cat, dog]\n"),
        FuzzSeed("train: .\ntest: ../nowhere\nnames: {0: cat, 1: dog}\n"),
        FuzzSeed("path: ~/nowhere\ntrain: .\nnames: [a]\n", isSound: false),
        FuzzSeed("train: .\nnames: {1: cat, 2: dog}\n", isSound: false), FuzzSeed("train: .\nnc: 3\n"),
        FuzzSeed(laughs, isSound: false), FuzzSeed(manyLines, isSound: false),
      ],
      read: { bytes, file in _ = try DatasetDescription(parsing: bytes, file: file) }),
    FuzzReader(
      name: "hyp", fileExtension: "yaml", tokens: yamlTokens + words("lr0: momentum: anchors: 3 .inf .nan"),
      seeds: [
        FuzzSeed("lr0: 0.01\nlrf: 0.1\nmomentum: 0.937\nhsv_h: 0.015\nmosaic: 1.0\nanchors: 3\n"),
        FuzzSeed("lr0: [0.01]\n", isSound: false), FuzzSeed("lr: 0.01\n", isSound: false),
      ],
      read: { bytes, file in _ = try Hyperparameters(yaml: YAMLDocument.parse(bytes, file: file)) }),
    FuzzReader(
      name: "sweep", fileExtension: "yaml",
      tokens: yamlTokens
        + words("grid: stages: train: objectives: backbone: epochs: weights: hyp: maximize map50 size_mb"),
      seeds: [
        FuzzSeed(sweep), FuzzSeed("dataset: d.yaml\n"), FuzzSeed("name: x\n", isSound: false),
        FuzzSeed(laughs, isSound: false),
      ],
      read: { bytes, file in
        let vocabulary = SweepVocabulary([
          .backbone: ["yolov5n", "ghostnet"], .hyp: ["scratch-low"], .optimizer: ["SGD"],
          .policy: ["study", "grouped"],
          .importance: ["gamma", "random"],
        ]) { $0.count < 40 }
        let spec = try SweepSpec(parsing: String(decoding: bytes, as: UTF8.self), file: file, vocabulary: vocabulary)
        _ = spec.files
      }),
    FuzzReader(
      name: "labels", fileExtension: "txt",
      tokens: words("0 1 79 80 -1 0.5 1.0 1e-9 nan inf 0x1p-3 1e99 , ;") + [
        [10], [13, 10], [32], [9], [0], [0xEF, 0xBB, 0xBF], [0xFF, 0xFE],
      ],
      seeds: [
        FuzzSeed("0 0.5 0.5 0.2 0.3\n1 0.1 0.2 0.05 0.06\n"), FuzzSeed("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n"),
        FuzzSeed("\u{feff}0 0.5 0.5 0.2 0.3\n"), FuzzSeed("0 0.5 0.5 0.2\n", isSound: false),
        FuzzSeed("0 nan 0.5 0.2 0.3\n", isSound: false), FuzzSeed(""),
        FuzzSeed(String(repeating: "e\u{301}", count: 300_000), isSound: false),
      ],
      read: { bytes, file in
        do {
          _ = try LabelFile.parse(bytes, file: file, classCount: 80)
        } catch let error as UnknownClass {
          throw error.problem
        }
      }),
  ]

  /// A mistake behind a million lines.
  private static let manyLines = String(repeating: "\n", count: 1_000_000) + "\t["

  private static let yamlTokens =
    words(
      "&a *a & * << <<: - ? : { } [ ] , | > ' \" # % @ ` ! !!str !!binary %YAML --- ... ~ null true 0x1F 0o7 1e3 .inf "
        + ".nan \\x41 \\u263A \\U0010FFFF \\uD800 |2- >+9 &a[*a] {a: [[[[ ????")
    + [[10], [10, 32, 32], [9], [0], [0xef, 0xbb, 0xbf], [0xff, 0xfe], [0xc2, 0x85], [0xe2, 0x80, 0xa8], [13]]

  /// Ten levels of nine uses each.
  private static let laughs =
    "a0: &a0 [x, x]\n"
    + (1..<12).map { "a\($0): &a\($0) [" + Array(repeating: "*a\($0 - 1)", count: 9).joined(separator: ", ") + "]\n" }
    .joined()

  private static let sweep = """
    name: campus
    dataset: data.yaml
    image_size: 320
    grid:
      backbone: [yolov5n, ghostnet]
      sparsity_rate: [0.0001, 0.0005]
      prune_ratio: [0, 0.3, 0.5]
      seed: 3
    stages:
      train:    {epochs: 100, weights: {yolov5n: w.pt}}
      finetune: {epochs: 100, hyp: scratch-low, patience: 3}
      benchmark: {iterations: 10, threads: 2}
    objectives: [maximize map50, minimize size_mb]

    """
}
