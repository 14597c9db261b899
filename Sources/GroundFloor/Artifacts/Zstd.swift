internal import CZstd

/// Compresses pieces of at most a few hundred kilobytes, each into a zstd frame of its own with a checksum, so that any
/// piece can be sent again, skipped or checked without its neighbours.
@safe public struct ZstdEncoder: ~Copyable {
  private let context: OpaquePointer

  /// - Parameter level: zstd's own scale; 1 is fast, 19 is slow, negative levels trade size for yet more speed.
  public init(level: Int = 1) throws {
    guard let context = unsafe ZSTD_createCCtx() else { throw ArtifactsError.library("ZSTD_createCCtx") }
    // Neither can fail: levels out of range are clamped by zstd, and the checksum flag takes 0 or 1.
    _ = unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, CInt(clamping: level))
    _ = unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    unsafe self.context = context
  }

  deinit { _ = unsafe ZSTD_freeCCtx(context) }

  /// One frame holding `bytes`, with their count in its header.
  public func compress(_ bytes: Span<UInt8>) throws -> [UInt8] {
    let capacity = ZSTD_compressBound(bytes.count)
    return try unsafe [UInt8](unsafeUninitializedCapacity: capacity) { frame, count in
      // Both buffers outlive the call and are passed with their true sizes.
      let size = unsafe bytes.withUnsafeBytes { source in
        unsafe ZSTD_compress2(context, frame.baseAddress, capacity, source.baseAddress, source.count)
      }
      guard ZSTD_isError(size) == 0 else { throw ArtifactsError.library("ZSTD_compress2") }
      count = size
    }
  }
}

/// Undoes `ZstdEncoder`. Safe on hostile bytes: a frame must say how long its content is, and that is checked against
/// the caller's limit before anything is allocated.
@safe public struct ZstdDecoder: ~Copyable {
  private let context: OpaquePointer

  public init() throws {
    guard let context = unsafe ZSTD_createDCtx() else { throw ArtifactsError.library("ZSTD_createDCtx") }
    unsafe self.context = context
  }

  deinit { _ = unsafe ZSTD_freeDCtx(context) }

  /// The content of `frame`, at most `maximumByteCount` bytes.
  /// - Throws: `ArtifactsError.compression` when the frame is damaged, has no stated size or is too large.
  public func decompress(_ frame: Span<UInt8>, maximumByteCount: Int) throws -> [UInt8] {
    // zstd reads only within the given size here; unknown and invalid sizes come back as the two largest integers.
    let declared = unsafe frame.withUnsafeBytes { unsafe ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
    guard declared <= UInt64(maximumByteCount) else {
      throw ArtifactsError.compression("not a zstd frame of at most \(maximumByteCount) bytes")
    }
    let capacity = Int(declared)
    // An array without room would be the one that all empty arrays share, into which its count would be written.
    return try unsafe [UInt8](unsafeUninitializedCapacity: max(capacity, 1)) { content, count in
      // Both buffers outlive the call and are passed with their true sizes.
      let size = unsafe frame.withUnsafeBytes { source in
        unsafe ZSTD_decompressDCtx(context, content.baseAddress, capacity, source.baseAddress, source.count)
      }
      guard ZSTD_isError(size) == 0, size == capacity else {
        throw ArtifactsError.compression("the frame is damaged (its checksum or structure does not hold)")
      }
      count = size
    }
  }
}
