import Training

/// What a stage tells while it runs: one JSON object a line when it crosses a process border.
public enum RunEvent: Sendable, Hashable {
  /// Something about the data set that a reader of the results must know, such as images left out.
  case remark(String)
  /// - epochs: how many the run has in all; 0 where there are none.
  /// - completedEpochs: how many the checkpoint it goes on from had done.
  case started(epochs: Int, completedEpochs: Int)
  case epoch(EpochSummary, EpochTiming, of: Int)
  /// A file from which the run can go on, complete when the event comes.
  case checkpoint(path: String, epoch: Int)
  /// - model: the file a stage has made, if it makes one.
  case finished(model: String?, metrics: [String: Double])
}

extension RunEvent: Codable {
  private enum Kind: String, Codable { case remark, started, epoch, checkpoint, finished }

  private enum CodingKeys: String, CodingKey {
    case kind = "event"
    case text, epochs, epoch, summary, timing, path, model, metrics
    case completedEpochs = "completed_epochs"
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    switch try container.decode(Kind.self, forKey: .kind) {
    case .remark: self = .remark(try container.decode(String.self, forKey: .text))
    case .started:
      self = .started(
        epochs: try container.decode(Int.self, forKey: .epochs),
        completedEpochs: try container.decode(Int.self, forKey: .completedEpochs))
    case .epoch:
      self = .epoch(
        try container.decode(EpochSummary.self, forKey: .summary),
        try container.decode(EpochTiming.self, forKey: .timing), of: try container.decode(Int.self, forKey: .epochs))
    case .checkpoint:
      self = .checkpoint(
        path: try container.decode(String.self, forKey: .path), epoch: try container.decode(Int.self, forKey: .epoch))
    case .finished:
      self = .finished(
        model: try container.decodeIfPresent(String.self, forKey: .model),
        metrics: try container.decode([String: Double].self, forKey: .metrics))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .remark(let text):
      try container.encode(Kind.remark, forKey: .kind)
      try container.encode(text, forKey: .text)
    case .started(let epochs, let completed):
      try container.encode(Kind.started, forKey: .kind)
      try container.encode(epochs, forKey: .epochs)
      try container.encode(completed, forKey: .completedEpochs)
    case .epoch(let summary, let timing, let epochs):
      try container.encode(Kind.epoch, forKey: .kind)
      try container.encode(summary, forKey: .summary)
      try container.encode(timing, forKey: .timing)
      try container.encode(epochs, forKey: .epochs)
    case .checkpoint(let path, let epoch):
      try container.encode(Kind.checkpoint, forKey: .kind)
      try container.encode(path, forKey: .path)
      try container.encode(epoch, forKey: .epoch)
    case .finished(let model, let metrics):
      try container.encode(Kind.finished, forKey: .kind)
      try container.encodeIfPresent(model, forKey: .model)
      try container.encode(metrics, forKey: .metrics)
    }
  }
}
