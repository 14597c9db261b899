import Compute
import Artifacts
import Bytes
import Client
import Dataset
import Foundation
import Pipeline
import Pruning
import Settings
import Sweep
import Training
import Wording
import Zoo

/// A sweep file, checked and ready to be submitted: its data set packed, its files found.
struct SweepPreparation {
  var spec: SweepSpec
  /// Remarks on the data set for whoever reads the results, one a line.
  let remarks: [String]
  let classNames: [String]
  let contents: [DatasetDescription.Split: DatasetContents]
  private let folder: URL
  private let file: String

  /// - Parameter allowsDamaged: whether a data set with many damaged images is used without them.
  /// - Throws: `UsageError` with every mistake in the file, before anything runs.
  init(_ path: String, allowsDamaged: Bool) throws {
    let bytes: Data
    do { bytes = try Data(contentsOf: URL(filePath: path)) } catch {
      throw UsageError("\(path): the sweep file cannot be read: \(reason(of: error))")
    }
    let spec = try SweepSpec(text: String(decoding: bytes, as: UTF8.self), file: path)
    let dataset = URL(filePath: spec.dataset, relativeTo: URL(filePath: path).deletingLastPathComponent()).path
    let description = try DatasetDescription.load(dataset)
    try self.init(spec, file: path, of: description, description.sweepContents(allowsDamaged: allowsDamaged))
  }

  /// - Parameter contents: those of the data set that the spec names.
  init(
    _ spec: SweepSpec, file: String, of description: DatasetDescription,
    _ contents: [DatasetDescription.Split: DatasetContents]
  ) throws {
    self.spec = spec
    self.file = file
    self.contents = contents
    folder = URL(filePath: file).deletingLastPathComponent()
    classNames = description.classNames
    remarks = DatasetDescription.Split.allCases.flatMap { contents[$0]?.remarks(on: $0) ?? [] }
    try checkFiles()
  }

  /// Everything in the files that a stage would stumble over hours later.
  private func checkFiles() throws {
    for backbone in spec.grid.backbone where spec.files.contains(backbone) {
      do {
        _ = try Architecture(.modelFile(path(backbone))).network(classCount: classNames.count)
      } catch {
        throw UsageError("\(error)")
      }
    }
    for hyp in [spec.train.hyp, spec.sparsify.hyp, spec.finetune.hyp].compactMap({ $0 }) where spec.files.contains(hyp)
    {
      _ = try Hyperparameters(hypYAMLPath: path(hyp))
    }
    for teacher in [spec.finetune.distill] where spec.files.contains(teacher) {
      let classCount = try modelInfo(path(teacher)).classes
      guard classCount == classNames.count else {
        throw UsageError(
          "distill \(teacher) detects \(classCount) classes, the data set has \(classNames.count): "
            + "give a model that was trained on this data set (\(file))")
      }
    }
  }

  /// Every file that is read.
  func files() throws -> [String] {
    try [file] + spec.files.map(path) + DatasetDescription.load(path(spec.dataset)).files()
  }

  /// Where a file lies that the sweep file names.
  func path(_ file: String) -> String { URL(filePath: file, relativeTo: folder).path }

  /// Packs the data set into `pack` and names all artifacts.
  func submission(packedAt pack: String) throws -> (
    SweepSubmission, [Digest: String]
  ) {
    for remark in remarks { printError(remark.oneLine) }
    try DatasetPack.write(contents, classNames: classNames, to: pack)
    let dataset = try ArtifactReference(ofFile: pack)
    var submission = try submission(of: dataset)
    if !remarks.isEmpty { submission.remarks = remarks }
    var paths = [dataset.digest: pack]
    for (file, reference) in submission.files { paths[reference.digest] = path(file) }
    return (submission, paths)
  }

  /// The jobs of the sweep. The data set counts as one that nobody has used before.
  func tree() throws -> StageTree {
    let dataset = ArtifactReference(digest: Digest(String(repeating: "0", count: 64))!, byteCount: 0)
    return StageTree(try submission(of: dataset))
  }

  /// Returns the submission for a data set packed elsewhere.
  func submission(of dataset: ArtifactReference) throws -> SweepSubmission {
    var files: [String: ArtifactReference] = [:]
    for file in spec.files { files[file] = try ArtifactReference(ofFile: path(file)) }
    return SweepSubmission(spec: spec, dataset: dataset, files: files)
  }
}

extension SweepSpec {
  /// Reads a sweep file's text with the words of the learning tower.
  /// - Parameter file: its path, from which the paths in it start.
  /// - Throws: `UsageError` with every mistake.
  init(text: String, file: String) throws {
    let folder = URL(filePath: file).deletingLastPathComponent()
    let vocabulary = SweepVocabulary {
      FileManager.default.fileExists(atPath: URL(filePath: $0, relativeTo: folder).path)
    }
    do {
      try self.init(parsing: text, file: file, vocabulary: vocabulary)
    } catch {
      throw UsageError("\(error)")
    }
  }
}

extension DatasetDescription {
  /// All that a sweep packs: each picture decoded once, with progress on standard error.
  func sweepContents(allowsDamaged: Bool) throws -> [Split: DatasetContents] {
    let line = LiveLine()
    defer { line.clear() }
    let check = ImageCheck.ofUser(allowsDamaged: allowsDamaged, line)
    var contents = try trainingContents(checking: check)
    // It travels along, but no stage asks for it.
    contents[.test] = try? self.contents(of: .test, checking: check)
    return contents
  }
}

extension SweepVocabulary {
  /// With the words that the learning tower knows.
  init(fileExists: @escaping @Sendable (String) -> Bool) {
    let words = SettingRule.Vocabulary.allCases.map { kind in
      switch kind {
      case .backbone: (kind, Zoo.names)
      case .optimizer: (kind, OptimizerKind.allCases.map(\.rawValue))
      case .hyp: (kind, Hyperparameters.presets.map(\.name))
      case .policy: (kind, PruningPolicy.allCases.map(\.rawValue))
      case .recipe: (kind, Recipe.allCases.map(\.rawValue))
      case .importance: (kind, Importance.allCases.map(\.rawValue))
      case .precision: (kind, Precision.allCases.map(\.rawValue))
      case .teacher: (kind, [FinetuneStage.unprunedTeacher, FinetuneStage.noTeacher])
      }
    }
    self.init(
      Dictionary(uniqueKeysWithValues: words), isVariant: { (try? Architecture(named: $0)) != nil },
      fileExists: fileExists)
  }
}
