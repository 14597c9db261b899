import Foundation
import Randomness

extension SplitMix64 {
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
