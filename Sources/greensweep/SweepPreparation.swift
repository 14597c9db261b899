import Artifacts
import Client
import Dataset
import Foundation
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
  private let folder: URL
  private let file: String
  private let classNames: [String]
  private let contents: [DatasetDescription.Split: DatasetContents]

  /// - Parameter allowsDamaged: whether a data set with many damaged images is used without them.
  /// - Throws: `UsageError` with every mistake in the file, before anything runs.
  init(_ path: String, allowsDamaged: Bool) throws {
    let bytes: Data
    do { bytes = try Data(contentsOf: URL(filePath: path)) } catch {
      throw UsageError("\(path): the sweep file cannot be read: \(reason(of: error))")
    }
    let folder = URL(filePath: path).deletingLastPathComponent()
    let vocabulary = SweepVocabulary {
      FileManager.default.fileExists(atPath: URL(filePath: $0, relativeTo: folder).path)
    }
    do {
      spec = try SweepSpec(parsing: String(decoding: bytes, as: UTF8.self), file: path, vocabulary: vocabulary)
    } catch {
      throw UsageError("\(error)")
    }
    self.folder = folder
    file = path
    let description = try DatasetDescription.load(URL(filePath: spec.dataset, relativeTo: folder).path)
    classNames = description.classNames
    let line = LiveLine()
    defer { line.clear() }
    let check = ImageCheck.ofUser(allowsDamaged: allowsDamaged, line)
    var contents = try description.trainingContents(checking: check)
    // It travels along, but no stage asks for it.
    contents[.test] = try? description.contents(of: .test, checking: check)
    self.contents = contents
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
  }

  /// Every file that is read.
  func files() throws -> [String] {
    try [file] + spec.files.map(path) + DatasetDescription.load(path(spec.dataset)).files()
  }

  private func path(_ file: String) -> String { URL(filePath: file, relativeTo: folder).path }

  /// Packs the data set into `pack` and names all artifacts.
  func submission(packedAt pack: String, by client: OperatorClient) throws -> (
    SweepSubmission, [ArtifactDigest: String]
  ) {
    for remark in remarks { printError(remark.oneLine) }
    try DatasetPack.write(contents, classNames: classNames, to: pack)
    var paths: [ArtifactDigest: String] = [:]
    func reference(_ path: String) throws -> ArtifactReference {
      let reference = try client.reference(ofFile: path)
      paths[reference.digest] = path
      return reference
    }
    var files: [String: ArtifactReference] = [:]
    for file in spec.files { files[file] = try reference(path(file)) }
    var submission = SweepSubmission(spec: spec, dataset: try reference(pack), files: files)
    if !remarks.isEmpty { submission.remarks = remarks }
    return (submission, paths)
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
      }
    }
    self.init(
      Dictionary(uniqueKeysWithValues: words), isVariant: { (try? Architecture(named: $0)) != nil },
      fileExists: fileExists)
  }
}
