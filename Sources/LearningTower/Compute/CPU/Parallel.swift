internal import CKernels

/// Runs `body(0)` … `body(parts − 1)` on the pool that the kernels and oneDNN use. Parts must not depend on each other.
func parallel(_ parts: Int, _ body: (Int) -> Void) {
  withoutActuallyEscaping(body) { body in
    var body = body
    // Sound: the pool is done with the closure when the call returns.
    unsafe withUnsafeMutablePointer(to: &body) { context in
      unsafe ck_parallel(Int32(parts), context) { context, part in
        unsafe context!.assumingMemoryBound(to: ((Int) -> Void).self).pointee(Int(part))
      }
    }
  }
}

/// The `part`-th of `parts` contiguous shares of `0 ..< count`.
func share(_ part: Int, of parts: Int, _ count: Int) -> Range<Int> {
  (count * part / parts)..<(count * (part + 1) / parts)
}
