/// The hashes FNV-1a of Fowler, Noll and Vo. They are the same on every machine, but no obstacle to forgers.
public enum FNV1a {
  /// - Parameter hash: the hash of the bytes before these.
  @inlinable public static func hash64(
    _ bytes: some Sequence<UInt8>, after hash: UInt64 = 0xcbf2_9ce4_8422_2325
  ) -> UInt64 {
    bytes.reduce(hash) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }

  @inlinable public static func hash128(_ bytes: some Sequence<UInt8>) -> UInt128 {
    bytes.reduce(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d as UInt128) {
      ($0 ^ UInt128($1)) &* 0x0000_0000_0100_0000_0000_0000_0000_013b
    }
  }
}
