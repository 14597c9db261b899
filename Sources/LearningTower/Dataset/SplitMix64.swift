import Foundation

/// A small seeded generator (Steele, Lea, Flood 2014), so that what is drawn is the same on every machine.
struct SplitMix64: Sendable {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// A generator for one item: the parts are mixed one after the other, so that neighbours are unrelated.
  init(seed: UInt64, _ parts: Int...) {
    var state = seed
    for part in parts {
      var mixer = SplitMix64(seed: state ^ UInt64(truncatingIfNeeded: part))
      state = mixer.next()
    }
    self.state = state
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform in [0, 1), 53 bits.
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  mutating func uniform(_ low: Double, _ high: Double) -> Double { low + (high - low) * unit() }

  /// Uniform in 0 ..< count, by multiplication; the bias is below 2⁻⁵⁰ for the counts used here.
  mutating func index(below count: Int) -> Int {
    precondition(count > 0, "nothing to choose from")
    return Int(next().multipliedFullWidth(by: UInt64(count)).high)
  }

  /// Standard normal, by Box and Muller.
  mutating func normal() -> Double {
    let radius = (-2 * log(1 - unit())).squareRoot()
    return radius * cos(2 * Double.pi * unit())
  }

  mutating func shuffle<Element>(_ items: inout [Element]) {
    guard items.count > 1 else { return }
    for last in stride(from: items.count - 1, to: 0, by: -1) { items.swapAt(last, index(below: last + 1)) }
  }
}
