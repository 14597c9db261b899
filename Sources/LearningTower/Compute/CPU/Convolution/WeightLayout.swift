internal import CKernels

/// The order of a convolution's weights in memory. Its dimensions are `(groups,) O, I/groups, kH, kW`. Each may be cut
/// into blocks, whose number counts by the dimension's stride; all values of a block lie together.
struct Blocking: Hashable, Sendable {
  /// A loop over part of a block.
  struct Factor: Hashable, Sendable {
    var dimension: Int
    var size: Int
  }

  var sizes: [Int]
  /// Values from one block to the next.
  var strides: [Int]
  /// The loops over a block, the outermost first.
  var factors: [Factor] = []

  /// Row-major.
  static func plain(_ sizes: [Int]) -> Blocking {
    var strides = sizes
    var count = 1
    for dimension in sizes.indices.reversed() {
      strides[dimension] = count
      count *= sizes[dimension]
    }
    return Blocking(sizes: sizes, strides: strides)
  }

  /// The width of a dimension's blocks.
  func block(_ dimension: Int) -> Int {
    factors.reduce(1) { $1.dimension == dimension ? $0 * $1.size : $0 }
  }

  /// The size of a dimension in whole blocks.
  func paddedSize(_ dimension: Int) -> Int { sizes[dimension].rounded(upTo: block(dimension)) }

  /// Values including padding.
  var count: Int { sizes.indices.reduce(1) { $0 * paddedSize($1) } }

  /// A value's place by dimension; there are five at most.
  typealias Place = SIMD8<Int>

  /// How far from the first one a value lies.
  func offset(of place: Place) -> Int {
    var (rest, offset, width) = (place, 0, 1)
    for factor in factors.reversed() {
      offset += rest[factor.dimension] % factor.size * width
      rest[factor.dimension] /= factor.size
      width *= factor.size
    }
    for dimension in strides.indices { offset += rest[dimension] * strides[dimension] }
    return offset
  }
}

extension Int {
  func rounded(upTo multiple: Int) -> Int { (self + multiple - 1) / multiple * multiple }
}

/// The order and the type of a convolution's weights as a kernel reads them, possibly padded (padding is zero).
class WeightLayout {
  struct Identity: Hashable, Sendable {
    var blocking: Blocking
    var element: Element
  }

  /// Layouts with equal identities hold equal bytes.
  let identity: Identity
  /// Values including padding.
  let count: Int

  init(_ blocking: Blocking, _ element: Element) {
    identity = Identity(blocking: blocking, element: element)
    count = blocking.count
  }

  var element: Element { identity.element }

  /// Returns what writes this layout from the plain `O × I/groups × kH × kW` of float32.
  func packing() -> WeightConverter { converter(from: plain) }
  /// Returns what writes the plain order, in float32, from this layout.
  func unpacking() -> WeightConverter { plain.converter(from: self) }

  /// Returns what writes this layout from another one of the same convolution.
  func converter(from other: WeightLayout) -> WeightConverter { WeightConverter(from: other, to: self) }

  private var plain: WeightLayout { WeightLayout(.plain(identity.blocking.sizes), .float32) }
}

/// Brings weights from one layout into another, tile by tile. A tile is made of whole blocks of both layouts, so that
/// the moves within it are the same in each.
final class WeightConverter {
  /// The moves within a tile, as ranges of the tables. Tiles at the end of a dimension are cut off.
  private struct Moves {
    var first: Int
    var count: Int
    /// Places of padding, which follow in the table of destinations.
    var zeros: Int
  }

  private struct Tile {
    /// The offset of its first value.
    var from: Int
    var to: Int
    var moves: Moves
  }

  private let elements: (from: Element, to: Element)
  private var tiles: [Tile] = []
  /// The offsets within a tile that moves begin and end at.
  private var from: [Int32] = []
  private var to: [Int32] = []

  /// The values of a tile, about: so many that tiles are few, and so few that the tables stay in cache.
  private static let tileCount = 256

  init(from source: WeightLayout, to destination: WeightLayout) {
    elements = (source.element, destination.element)
    let (source, destination) = (source.identity.blocking, destination.identity.blocking)
    precondition(source.sizes == destination.sizes, "weights of \(source.sizes) are none of \(destination.sizes)")
    let sizes = source.sizes
    var widths = sizes.indices.map { leastCommonMultiple(source.block($0), destination.block($0)) }
    for dimension in sizes.indices.reversed() {
      let whole = sizes[dimension].rounded(upTo: widths[dimension])
      while widths[dimension] < whole, widths.reduce(1, *) < Self.tileCount {
        widths[dimension] = min(2 * widths[dimension], whole)
      }
    }
    // Tiles with as many values and as many places, padding included, have the same moves.
    var known: [[Blocking.Place]: Moves] = [:]
    forEachPlace(in: sizes.indices.map { (destination.paddedSize($0) + widths[$0] - 1) / widths[$0] }) { number in
      var (first, values, places) = (Blocking.Place(), Blocking.Place(), Blocking.Place())
      for d in sizes.indices {
        first[d] = number[d] * widths[d]
        values[d] = max(0, min(widths[d], sizes[d] - first[d]))
        places[d] = min(widths[d], destination.paddedSize(d) - first[d])
      }
      let size = [values, places]
      if known[size] == nil { known[size] = addMoves(of: values, among: places, source, destination) }
      let moves = known[size]!  // Added just now, if not before.
      // A tile behind the source's end is padding alone.
      tiles.append(
        Tile(
          from: moves.count == 0 ? 0 : source.offset(of: first), to: destination.offset(of: first), moves: moves))
    }
  }

  private func addMoves(
    of values: Blocking.Place, among places: Blocking.Place, _ source: Blocking, _ destination: Blocking
  ) -> Moves {
    var (pairs, zeros) = ([(from: Int32, to: Int32)](), [Int32]())
    forEachPlace(in: source.sizes.indices.map { places[$0] }) { place in
      let to = Int32(destination.offset(of: place))
      if source.sizes.indices.allSatisfy({ place[$0] < values[$0] }) {
        pairs.append((Int32(source.offset(of: place)), to))
      } else {
        zeros.append(to)
      }
    }
    pairs.sort { $0.to < $1.to }
    let moves = Moves(first: to.count, count: pairs.count, zeros: zeros.count)
    from += pairs.map(\.from) + zeros.map { _ in 0 }
    to += pairs.map(\.to) + zeros
    return moves
  }

  /// - Parameter accumulates: adds to the destination instead of overwriting it.
  func run(_ source: UnsafeRawPointer, _ destination: UnsafeMutableRawPointer, accumulates: Bool = false) {
    // The kernel only reads it.
    let source = unsafe UnsafeMutableRawPointer(mutating: source)
    unsafe from.withUnsafeBufferPointer { from in
      unsafe to.withUnsafeBufferPointer { to in
        guard let from = from.baseAddress, let to = to.baseAddress else { return }
        for tile in tiles {
          let first = tile.moves.first
          unsafe ck_move_values(
            ck_map(data: destination + tile.to * elements.to.bytes, stride: 1, element: elements.to.kernel),
            ck_map(data: source + tile.from * elements.from.bytes, stride: 1, element: elements.from.kernel),
            to + first, from + first, tile.moves.count, tile.moves.zeros, accumulates)
        }
      }
    }
  }
}

private func leastCommonMultiple(_ a: Int, _ b: Int) -> Int {
  var (x, y) = (a, b)
  while y != 0 { (x, y) = (y, x % y) }
  return a / x * b
}

/// Calls `body` with each place of a grid, row-major.
private func forEachPlace(in sizes: [Int], _ body: (Blocking.Place) -> Void) {
  var place = Blocking.Place()
  for _ in 0..<sizes.reduce(1, *) {
    body(place)
    for dimension in sizes.indices.reversed() {
      place[dimension] += 1
      if place[dimension] < sizes[dimension] { break }
      place[dimension] = 0
    }
  }
}
