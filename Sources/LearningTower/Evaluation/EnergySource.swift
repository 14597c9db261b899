import Foundation
import Platform

/// How joules were obtained. The fleet knows the same words.
public enum EnergyKind: String, CaseIterable, Sendable, Hashable, Codable {
  /// Read from the host's counters.
  case measured
  /// Computed from the processor time with the host's calibrated power.
  case modelled
}

/// The power of a host without counters, as read from a meter, a management controller or a data sheet.
public struct PowerModel: Sendable, Hashable, Codable {
  public var idleWatts: Double
  /// While all processors compute.
  public var fullWatts: Double
  /// While half of the processors compute; nil: not read.
  public var halfWatts: Double?
  /// The processors of the host.
  public var processors: Int
  /// Where the watts are from, for people.
  public var source: String?

  enum CodingKeys: String, CodingKey {
    case processors, source
    case idleWatts = "idle_watts"
    case fullWatts = "full_watts"
    case halfWatts = "half_watts"
  }

  public init(
    idleWatts: Double, fullWatts: Double, halfWatts: Double? = nil, processors: Int, source: String? = nil
  ) {
    self.idleWatts = idleWatts
    self.fullWatts = fullWatts
    self.halfWatts = halfWatts
    self.processors = processors
    self.source = source
  }

  /// The idle power for the time, and for each second that a processor computed its share of what full load adds.
  public func joules(seconds: Double, processorSeconds: Double) -> Double {
    idleWatts * seconds + processorSeconds * (fullWatts - idleWatts) / Double(processors)
  }

  /// How far the straight line from idle to full load misses the power at half load, as a share of that; nil without a
  /// reading at half load.
  public var error: Double? { halfWatts.map { abs((idleWatts + fullWatts) / 2 - $0) / $0 } }

  /// The first thing that is wrong with it, in words; nil if nothing is.
  public var problem: String? {
    let watts = [idleWatts, fullWatts] + (halfWatts.map { [$0] } ?? [])
    guard watts.allSatisfy({ $0.isFinite && (0...1e6).contains($0) }) else { return "watts must lie in 0...1000000" }
    guard fullWatts > idleWatts else { return "full load must take more watts than idling" }
    if let halfWatts, !(idleWatts...fullWatts).contains(halfWatts) {
      return "half load must take no less than idling and no more than full load"
    }
    return processors >= 1 ? nil : "there must be a processor"
  }
}

/// How the energy of this host can be known.
public enum EnergySource: Sendable {
  case measured(EnergyMeter)
  case modelled(PowerModel)
  /// - Parameter obstacle: why it cannot be known, and what can be done.
  case unknown(obstacle: String)

  public var kind: EnergyKind? {
    switch self {
    case .measured: .measured
    case .modelled: .modelled
    case .unknown: nil
    }
  }

  /// Why energy cannot be known here, and what can be done; nil if it can.
  public var obstacle: String? { if case .unknown(let obstacle) = self { obstacle } else { nil } }
}

/// The energy of the whole host from one reading to the next.
public struct EnergyWindow: Sendable {
  private var source: EnergySource
  private var moment = ContinuousClock.now
  private var processorSeconds = Processors.usedSeconds()

  public init(_ source: EnergySource) { self.source = source }

  /// Joules since the last call, or since the window was opened; nil where they cannot be known.
  /// - Parameter heldSeconds: how long others have held this process up meanwhile. The model leaves it out, so that it
  ///   gives the energy on a host that runs nothing else; counters count what there is.
  public mutating func joules(heldSeconds: Double = 0) -> Double? {
    let (now, used) = (ContinuousClock.now, Processors.usedSeconds())
    defer { (moment, processorSeconds) = (now, used) }
    switch source {
    case .unknown: return nil
    case .modelled(let model):
      let seconds = max(0, (now - moment) / .seconds(1) - heldSeconds)
      return model.joules(seconds: seconds, processorSeconds: used - processorSeconds)
    case .measured(var meter):
      defer { source = .measured(meter) }
      return meter.joulesSinceLastReading()
    }
  }
}
