import Bytes
import Sweep

/// A request of an operator about the coordinator's folder of artifacts. Reading it through takes long, so that it is
/// begun with one request and followed with others.
public enum StoreRequest: Hashable, Sendable, Codable {
  /// Begins to read everything through, unless that is being done; damaged and missing artifacts are repaired.
  case verify
  /// How far that is.
  case verification
  /// Removes artifacts that nothing references.
  case clean(isDryRun: Bool)
}

/// The findings of reading the store through, so far.
public struct VerificationReport: Hashable, Sendable, Codable {
  public struct Finding: Hashable, Sendable, Codable {
    public enum State: String, Hashable, Sendable, Codable {
      case repaired
      /// Workers are being asked for it.
      case asked
      /// Nobody has brought it.
      case lost
      /// Nothing references it.
      case unneeded
    }
    public var artifact: Digest
    /// Its description for people: `model of train 1f3a9c04`.
    public var what: String
    /// It was there and its bytes were wrong; else it was not there.
    public var isDamaged: Bool
    public var state: State

    public init(artifact: Digest, what: String, isDamaged: Bool, state: State) {
      self.artifact = artifact
      self.what = what
      self.isDamaged = isDamaged
      self.state = state
    }
  }

  public var isRunning = false
  public var artifactsChecked = 0
  public var artifacts = 0
  public var bytesChecked = 0
  public var findings: [Finding] = []
  /// Why it ended early.
  public var failure: String?

  public init() {}

  public func count(_ state: Finding.State) -> Int { findings.count { $0.state == state } }
}

/// The space that cleaning the store has freed, or would free.
public struct CleaningReport: Hashable, Sendable, Codable {
  public var artifactsRemoved = 0
  public var bytesFreed = 0
  public var artifactsKept = 0
  public var bytesKept = 0

  public init() {}
}
