/// Sebastiano Vigna's splitmix64: a small seeded generator, the same numbers everywhere.
public struct SplitMix64: RandomNumberGenerator, Sendable, Hashable, Codable {
  public var state: UInt64

  public init(seed: UInt64) { state = seed }

  /// A sequence of its own for every name: `seed` mixed with the name's 64-bit FNV-1a hash.
  public init(seed: UInt64, stream name: String) {
    var mixer = SplitMix64(seed: seed)
    let hash = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    state = mixer.next() ^ hash
  }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Uniform in [−1, 1), in steps of 2⁻²³.
  public mutating func nextSignedUnit() -> Float { Float(next() >> 40) / 8_388_608 - 1 }
}
