internal import CKernels
import Network

/// Steps that are one kernel call.
extension ProgramBuilder {
  /// One byte per value of a map, as floats.
  func bytes(_ shape: MapShape) -> MapView {
    map(MapShape(channels: (shape.count + 3) / 4, height: 1, width: 1))
  }

  /// The images of the run, from bytes or from floats.
  func input(_ destination: MapView, stage: Int) {
    let count = destination.shape.count
    step(stage, reads: [], writes: [destination]) { program, chunk in
      let target = unsafe program.pointer(destination, chunk)
      if let bytes = unsafe program.inputBytes {
        unsafe ck_unit_from_bytes(target, bytes + chunk.first * count, chunk.count * count)
      } else if let floats = unsafe program.inputFloats {
        unsafe target.update(from: floats + chunk.first * count, count: chunk.count * count)
      }
    }
  }

  func copy(_ source: MapView, into destination: MapView, stage: Int) {
    step(stage, reads: [source], writes: [destination]) { program, chunk in
      unsafe ck_copy(
        program.pointer(destination, chunk), destination.stride, program.pointer(source, chunk), source.stride,
        chunk.rows(source), source.shape.channels)
    }
  }

  func accumulate(_ source: MapView, into destination: MapView, stage: Int) {
    step(stage, reads: [source, destination], writes: [destination]) { program, chunk in
      unsafe ck_accumulate(
        program.pointer(destination, chunk), destination.stride, program.pointer(source, chunk), source.stride,
        chunk.rows(source), source.shape.channels)
    }
  }

  func add(_ a: MapView, _ b: MapView, into destination: MapView, stage: Int) {
    step(stage, reads: [a, b], writes: [destination]) { program, chunk in
      unsafe ck_add(
        program.pointer(destination, chunk), destination.stride, program.pointer(a, chunk), a.stride,
        program.pointer(b, chunk), b.stride, chunk.rows(a), a.shape.channels)
    }
  }

  func zero(_ destination: MapView, stage: Int) {
    step(stage, reads: [], writes: [destination]) { program, chunk in
      unsafe ck_fill(program.pointer(destination, chunk), chunk.count * destination.shape.count, 0)
    }
  }

  func activate(_ source: MapView, into destination: MapView, _ activation: Activation, stage: Int) {
    let kernel = Optional(activation).kernel
    step(stage, reads: [source], writes: [destination]) { program, chunk in
      unsafe ck_activate(
        program.pointer(destination, chunk), destination.stride, program.pointer(source, chunk), source.stride,
        chunk.rows(source), source.shape.channels, kernel)
    }
  }

  func upsample(_ source: MapView, into destination: MapView, factor: Int, stage: Int) {
    step(stage, reads: [source], writes: [destination]) { program, chunk in
      unsafe ck_upsample(
        program.pointer(destination, chunk), destination.stride, program.pointer(source, chunk), source.stride,
        chunk.count, source.shape.height, source.shape.width, source.shape.channels, factor)
    }
  }

  func shuffle(_ source: MapView, into destination: MapView, groups: Int, stage: Int) {
    step(stage, reads: [source], writes: [destination]) { program, chunk in
      unsafe ck_shuffle(
        program.pointer(destination, chunk), destination.stride, program.pointer(source, chunk), source.stride,
        chunk.rows(source), source.shape.channels, groups)
    }
  }

  /// - Parameter winner: one byte per output value for backward; nil without one.
  func maxPool(_ source: MapView, into destination: MapView, winner: MapView?, _ pool: Pool, stage: Int) {
    step(stage, reads: [source], writes: [destination] + (winner.map { [$0] } ?? [])) { program, chunk in
      for image in chunk.images {
        unsafe ck_max_pool(
          program.pointer(destination, image), destination.stride, winner.map { unsafe program.bytes($0, image) },
          program.pointer(source, image), source.stride, 1, source.shape.height, source.shape.width,
          source.shape.channels, pool.kernel, pool.stride, pool.padding)
      }
    }
  }

  func averagePool(_ source: MapView, into destination: MapView, _ pool: Pool, stage: Int) {
    step(stage, reads: [source], writes: [destination]) { program, chunk in
      unsafe ck_average_windows(
        program.pointer(destination, chunk), destination.stride, program.pointer(source, chunk), source.stride,
        chunk.count, source.shape.height, source.shape.width, source.shape.channels, pool.kernel, pool.stride,
        pool.padding)
    }
  }

  func globalAveragePool(_ source: MapView, into destination: MapView, stage: Int) {
    step(stage, reads: [source], writes: [destination]) { program, chunk in
      unsafe ck_average_pool(
        program.pointer(destination, chunk), program.pointer(source, chunk), source.stride, chunk.count,
        source.pixels, source.shape.channels)
    }
  }

  func scale(_ source: MapView, by factors: MapView, into destination: MapView, stage: Int) {
    step(stage, reads: [source, factors], writes: [destination]) { program, chunk in
      unsafe ck_scale_channels(
        program.pointer(destination, chunk), destination.stride, program.pointer(source, chunk), source.stride,
        program.pointer(factors, chunk), chunk.count, source.pixels, source.shape.channels)
    }
  }
}

extension Program {
  /// The bytes of a map made by `ProgramBuilder.bytes`, to be used image by image: each image's start on a whole float.
  func bytes(_ view: MapView, _ chunk: Chunk) -> UnsafeMutablePointer<UInt8> {
    unsafe UnsafeMutableRawPointer(pointer(view, chunk)).assumingMemoryBound(to: UInt8.self)
  }
}
