import Dataset

/// The images that a run trains on and is validated on.
public struct TrainingData: Sendable, Hashable {
  public var training: [LabelledImage]
  public var validation: [LabelledImage]
  public var classNames: [String]
  /// Remarks on the data for whoever reads the results, one a line.
  public var remarks: [String] = []
  /// Threads that decode and augment images beside the training.
  public var workers: Int

  public init(training: [LabelledImage], validation: [LabelledImage], classNames: [String], workers: Int = 1) {
    self.training = training
    self.validation = validation
    self.classNames = classNames
    self.workers = workers
  }

  /// Both splits of a `data.yaml`.
  /// - Parameter check: finds damaged images first; nil: the data set is taken as it is.
  /// - Throws: `DatasetError` if one is missing, has no usable image or has no box.
  public init(
    _ description: DatasetDescription, checking check: ImageCheck? = nil, workers: Int = 1
  ) throws(DatasetError) {
    let contents = try description.trainingContents(checking: check)
    self.init(
      training: contents[.train]?.images ?? [], validation: contents[.val]?.images ?? [],
      classNames: description.classNames, workers: workers)
    remarks = [.train, .val].flatMap { contents[$0]?.remarks(on: $0) ?? [] }
  }
}
