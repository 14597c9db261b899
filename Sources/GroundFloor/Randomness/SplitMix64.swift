import Bytes

/// A small seeded generator (Steele, Lea, Flood 2014, in Sebastiano Vigna's form): what is drawn is the same on every
/// machine.
public struct SplitMix64: RandomNumberGenerator, Sendable, Hashable, Codable {
  @usableFromInline var state: UInt64

  @inlinable public init(seed: UInt64) { state = seed }

  /// A sequence of its own for every name: `seed` mixed with the name's 64-bit FNV-1a hash.
  public init(seed: UInt64, stream name: String) {
    var mixer = SplitMix64(seed: seed)
    state = mixer.next() ^ FNV1a.hash64(name.utf8)
  }

  /// A sequence for one item: the parts are mixed one after the other, so that neighbours are unrelated.
  public init(seed: UInt64, _ parts: Int...) {
    state = seed
    for part in parts {
      var mixer = SplitMix64(seed: state ^ UInt64(truncatingIfNeeded: part))
      state = mixer.next()
    }
  }

  @inlinable public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    return Self.mixed(state)
  }

  /// Uniform in [−1, 1), in steps of 2⁻²³.
  @inlinable public mutating func nextSignedUnit() -> Float { Float(next() >> 40) / 8_388_608 - 1 }

  /// The generator's output function: neighbouring values become unrelated ones, and no two become the same.
  @inlinable public static func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
