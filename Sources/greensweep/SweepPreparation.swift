import Artifacts
import Client
import Dataset
import Foundation
import Sweep
import Training
import Zoo

/// A sweep file, checked and ready to be submitted: its data set packed, its files found.
struct SweepPreparation {
  var spec: SweepSpec
  private let folder: URL

  /// - Throws: `UsageError` with every mistake in the file, before anything runs.
  init(_ path: String) throws {
    guard let bytes = FileManager.default.contents(atPath: path) else {
      throw UsageError("\(path): no such sweep file")
    }
    let folder = URL(filePath: path).deletingLastPathComponent()
    let vocabulary = SweepVocabulary(
      backbones: Zoo.names, isVariant: { (try? Architecture(named: $0)) != nil },
      hyps: Hyperparameters.presets.map(\.name),
      fileExists: { FileManager.default.fileExists(atPath: URL(filePath: $0, relativeTo: folder).path) })
    do {
      spec = try SweepSpec(parsing: String(decoding: bytes, as: UTF8.self), file: path, vocabulary: vocabulary)
    } catch {
      throw UsageError("\(error)")
    }
    self.folder = folder
    try checkData()
  }

  /// Everything in the files that a stage would stumble over hours later.
  private func checkData() throws {
    let description = try DatasetDescription.load(path(spec.dataset))
    for split in [DatasetDescription.Split.train, .val] {
      guard description.sources[split] != nil else {
        throw UsageError("\(path(spec.dataset)): has no \(split.rawValue) images; a sweep needs train and val")
      }
      let contents = try description.contents(of: split)
      guard contents.boxCount > 0 else {
        throw UsageError("\(path(spec.dataset)): no box in the \(split.rawValue) images; are the label files in place?")
      }
    }
    for backbone in spec.grid.backbone where spec.files.contains(backbone) {
      do {
        _ = try Architecture(.modelFile(path(backbone))).network(classCount: description.classCount)
      } catch {
        throw UsageError("\(error)")
      }
    }
    for hyp in [spec.train.hyp, spec.sparsify.hyp, spec.finetune.hyp].compactMap({ $0 }) where spec.files.contains(hyp)
    {
      _ = try Hyperparameters(hypYAMLPath: path(hyp))
    }
  }

  private func path(_ file: String) -> String { URL(filePath: file, relativeTo: folder).path }

  /// Packs the data set into `pack` and names all artifacts.
  func submission(packedAt pack: String, by client: OperatorClient) throws -> (
    SweepSubmission, [ArtifactDigest: String]
  ) {
    try DatasetPack.write(DatasetDescription.load(path(spec.dataset)), to: pack)
    var paths: [ArtifactDigest: String] = [:]
    func reference(_ path: String) throws -> ArtifactReference {
      let reference = try client.reference(ofFile: path)
      paths[reference.digest] = path
      return reference
    }
    var files: [String: ArtifactReference] = [:]
    for file in spec.files { files[file] = try reference(path(file)) }
    return (SweepSubmission(spec: spec, dataset: try reference(pack), files: files), paths)
  }
}
