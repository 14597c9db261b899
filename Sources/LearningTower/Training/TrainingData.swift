import Dataset

/// What a run trains on and is validated on.
public struct TrainingData: Sendable, Hashable {
  public var training: [LabelledImage]
  public var validation: [LabelledImage]
  public var classNames: [String]
  /// What a reader of the results must know about the data, one line each.
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
  /// - Throws: `DatasetError` if one is missing or has no usable image.
  public init(_ description: DatasetDescription, workers: Int = 1) throws(DatasetError) {
    let (training, validation) = (try description.contents(of: .train), try description.contents(of: .val))
    self.init(
      training: training.images, validation: validation.images, classNames: description.classNames, workers: workers)
    remarks = training.remarks(on: .train) + validation.remarks(on: .val)
  }
}
