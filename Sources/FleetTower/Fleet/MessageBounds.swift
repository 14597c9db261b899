import JSON
import Sweep

/// The bounds of messages. The holder of a token may be malicious, and much of a message is kept: in memory, in the
/// journal, in answers. So every text and list has a bound, far beyond what an honest peer ever says.
enum MessageBounds {
  /// Attempts that one message may list.
  static let attempts = 4_096
  /// Metrics of an epoch or a result, artifacts of a result, labels of a worker.
  static let entries = 256
  /// Bytes of a name: of a worker, a box, a label, a metric.
  static let name = 256
  /// Bytes of a failure's last words. Those of an honest worker have `WorkerBrain.messageLimit` characters.
  static let text = 16 << 10
  static let epochs = 0...10_000_000
  /// Slots beyond it are not used.
  static let slots = 1_024
  /// Objectives of one table.
  static let objectives = 16
  /// Bytes of an assignment's configuration, and what it may name.
  static let configuration = 64 << 10

  static func areNames(_ texts: some Collection<String>) -> Bool {
    texts.count <= entries && texts.allSatisfy { $0.utf8.count <= name }
  }
}

extension WorkerMessage {
  /// Why an honest worker would not say this; nil if it might.
  var problem: String? {
    switch self {
    case .hello(let hello): hello.problem
    case .heartbeat(let attempts, let fetching):
      max(attempts.count, fetching?.count ?? 0) > MessageBounds.attempts ? "a heartbeat of too many attempts" : nil
    case .epochMetrics(_, let metrics): metrics.problem
    case .checkpointStored(_, let checkpoint):
      MessageBounds.epochs.contains(checkpoint.epoch) ? checkpoint.artifact.problem : "an epoch beyond all bounds"
    case .attemptFinished(_, let result): result.problem
    case .attemptFailed(_, let failure): failure.problem
    case .broughtBack(let artifact): artifact.problem
    case .attemptReturned, .cannotBringBack, .goodbye: nil
    }
  }
}

extension Hello {
  fileprivate var problem: String? {
    guard MessageBounds.areNames([worker.name, box.name, name]), !worker.name.isEmpty else {
      return "a name that is empty or too long"
    }
    guard MessageBounds.areNames(labels.keys), MessageBounds.areNames(labels.values) else {
      return "too many labels, or too long ones"
    }
    guard MessageBounds.areNames(metrics ?? []) else { return "too many metrics, or too long names" }
    return attempts.count > MessageBounds.attempts ? "too many attempts" : nil
  }
}

extension EpochMetrics {
  fileprivate var problem: String? {
    guard MessageBounds.epochs.contains(epoch), MessageBounds.epochs.contains(epochs) else {
      return "an epoch beyond all bounds"
    }
    return MessageBounds.areNames(values.keys) ? nil : "too many metrics, or too long names"
  }
}

extension StageResult {
  fileprivate var problem: String? {
    guard MessageBounds.areNames(metrics.keys), MessageBounds.areNames(artifacts.keys) else {
      return "too many metrics or artifacts, or too long names"
    }
    guard MessageBounds.areNames((kinds ?? [:]).keys), MessageBounds.areNames((kinds ?? [:]).values) else {
      return "too many kinds of metrics, or too long names"
    }
    return artifacts.values.lazy.compactMap(\.problem).first
  }
}

extension StageFailure {
  fileprivate var problem: String? {
    message.utf8.count > MessageBounds.text ? "too many last words" : log?.problem
  }
}

extension ArtifactReference {
  fileprivate var problem: String? { byteCount < 0 ? "an artifact of \(byteCount) bytes" : nil }
}

extension Assignment {
  /// Why an honest coordinator would not say this; nil if it might.
  var problem: String? {
    guard inputs.count <= InputRole.allCases.count, inputs.values.allSatisfy({ $0.byteCount >= 0 }) else {
      return "inputs that no stage has"
    }
    var room = MessageBounds.configuration
    return configuration.values.allSatisfy { $0.key.fits(&room) && $0.value.fits(&room) }
      ? nil : "a configuration too large"
  }
}

extension String {
  fileprivate func fits(_ room: inout Int) -> Bool {
    room -= utf8.count + 8
    return room >= 0
  }
}

extension PlainValue {
  fileprivate func fits(_ room: inout Int) -> Bool {
    room -= 8
    guard room >= 0 else { return false }
    switch self {
    case .null, .bool, .int, .double: return true
    case .string(let text): return text.fits(&room)
    case .array(let values): return values.allSatisfy { $0.fits(&room) }
    case .object(let members): return members.allSatisfy { $0.key.fits(&room) && $0.value.fits(&room) }
    }
  }
}

extension Welcome {
  /// With pauses that neither stop the worker nor let it spin.
  var tamed: Welcome {
    let pauses: ClosedRange<Int64> = 10...86_400_000
    var tamed = self
    tamed.leaseMilliseconds = min(max(leaseMilliseconds, pauses.lowerBound), pauses.upperBound)
    tamed.heartbeatMilliseconds = min(max(heartbeatMilliseconds, pauses.lowerBound), pauses.upperBound)
    return tamed
  }
}
