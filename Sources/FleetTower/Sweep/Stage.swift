/// One step of a trial, in the order trials take them.
public enum Stage: String, CaseIterable, Hashable, Sendable, Codable, Comparable {
  case train, sparsify, prune, finetune, evaluate, benchmark

  public static func < (a: Stage, b: Stage) -> Bool { a.position < b.position }
  private var position: Int { Stage.allCases.firstIndex(of: self)! }

  /// Stages whose result is a model that later stages start from. The others measure it.
  public var makesModel: Bool { self < .evaluate }
}

/// What a file given to a stage is for.
public enum InputRole: String, CaseIterable, Hashable, Sendable, Codable, Comparable {
  /// The packed data set.
  case dataset
  /// Weights that training starts from; names that do not fit the network are left out.
  case weights
  /// A YOLOv5 hyper-parameter file, where the configuration's `hyp` does not name a built-in set.
  case hyp
  /// A YOLOv5 model file, where the backbone is one.
  case network
  /// The parent job's model.
  case model
  /// The checkpoint this stage goes on from.
  case resume

  public static func < (a: InputRole, b: InputRole) -> Bool { a.rawValue < b.rawValue }
}

/// What a file made by a stage is for.
public enum OutputRole: String, CaseIterable, Hashable, Sendable, Codable, Comparable {
  /// The model that child jobs start from and that `pull` hands out.
  case model
  /// Figures in JSON: per class, per layer.
  case report
  /// One line per epoch, as YOLOv5's `results.csv`.
  case epochs
  /// What the stage's process printed.
  case log

  public static func < (a: OutputRole, b: OutputRole) -> Bool { a.rawValue < b.rawValue }
}
