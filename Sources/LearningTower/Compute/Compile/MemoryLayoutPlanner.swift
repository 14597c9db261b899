/// Offsets for buffers such that those alive at the same time do not overlap: largest first, each at the lowest place
/// that is free for all of its life.
struct MemoryLayoutPlanner {
  private struct Request {
    var id: Int
    var bytes: Int
    var life: ClosedRange<Int>
    var offset = 0

    var end: Int { offset + bytes }
  }

  private var requests: [Request] = []
  /// Bytes needed in all; known after `offsets()`.
  private(set) var bytes = 0

  mutating func add(_ id: Int, bytes: Int, _ life: ClosedRange<Int>) {
    requests.append(Request(id: id, bytes: max(bytes, 1).paddedToLine, life: life))
  }

  mutating func offsets() -> [(id: Int, offset: Int)] {
    var placed: [Request] = []
    for var request in requests.sorted(by: { ($1.bytes, $0.id) < ($0.bytes, $1.id) }) {
      for other in placed where other.life.overlaps(request.life) {
        // `placed` is in order of offset: the first gap that is wide enough ends the search.
        if other.offset >= request.offset + request.bytes { break }
        request.offset = max(request.offset, other.end)
      }
      let place = placed.firstIndex { $0.offset > request.offset } ?? placed.count
      placed.insert(request, at: place)
      bytes = max(bytes, request.end)
    }
    return placed.map { ($0.id, $0.offset) }
  }
}

extension Int {
  /// Up to the next multiple of a cache line's 64 bytes.
  var paddedToLine: Int { (self + 63) / 64 * 64 }
}
