import Dataset
import Geometry
import Network

/// One cell and anchor that shall predict one target.
public struct AnchorMatch: Sendable, Hashable {
  public var image: Int
  public var anchor: Int
  public var row: Int
  public var column: Int
  public var classIndex: Int
  /// The target in cells: centre as offset from the cell's corner, size.
  public var box: CenteredBox
}

/// YOLOv5's `build_targets`: which cells and anchors of a level answer for which target.
///
/// An anchor takes a target if neither side is `ratioLimit` times larger or smaller than its own; no IoU is asked. The
/// target's cell is joined by its nearer neighbour in each direction, unless that lies outside the map.
public struct AnchorAssignment: Sendable {
  /// `anchor_t` of the hyper-parameters.
  public var ratioLimit: Float
  private var candidates: [Candidate] = []

  public init(ratioLimit: Float) { self.ratioLimit = ratioLimit }

  /// Fills `matches`, keeping its memory, in YOLOv5's order, which decides who wins a contested cell: offsets (none,
  /// left, up, right, down), inside them anchors, inside them targets.
  /// - Parameter anchors: the level's anchors in cells.
  public mutating func assign(
    _ targets: [Target], anchors: [Anchor], height: Int, width: Int, into matches: inout [AnchorMatch]
  ) {
    matches.removeAll(keepingCapacity: true)
    candidates.removeAll(keepingCapacity: true)
    let (h, w) = (Float(height), Float(width))
    for (index, anchor) in anchors.enumerated() {
      for target in targets {
        let box = target.box.on(width: w, height: h)
        let ratioW = box.width / anchor.width
        let ratioH = box.height / anchor.height
        guard max(max(ratioW, 1 / ratioW), max(ratioH, 1 / ratioH)) < ratioLimit else { continue }
        candidates.append(Candidate(target: target, anchor: index, box: box, neighbours: .of(box, h, w)))
      }
    }
    for (neighbour, dx, dy) in Neighbours.offsets {
      for candidate in candidates where candidate.neighbours.contains(neighbour) {
        matches.append(candidate.match(dx: dx, dy: dy, height: height, width: width))
      }
    }
  }
}

private struct Candidate: Sendable {
  var target: Target
  var anchor: Int
  var box: CenteredBox
  var neighbours: Neighbours

  func match(dx: Float, dy: Float, height: Int, width: Int) -> AnchorMatch {
    // A centre on the right or lower edge of the image belongs to the last cell.
    let column = min(max(Int(box.cx - dx), 0), width - 1)
    let row = min(max(Int(box.cy - dy), 0), height - 1)
    return AnchorMatch(
      image: target.imageIndex, anchor: anchor, row: row, column: column, classIndex: target.classIndex,
      box: CenteredBox(cx: box.cx - Float(column), cy: box.cy - Float(row), width: box.width, height: box.height))
  }
}

/// Which cells around a centre take part.
private struct Neighbours: OptionSet, Sendable {
  let rawValue: UInt8

  static let none = Neighbours(rawValue: 1)
  static let left = Neighbours(rawValue: 2)
  static let up = Neighbours(rawValue: 4)
  static let right = Neighbours(rawValue: 8)
  static let down = Neighbours(rawValue: 16)

  /// In the order of YOLOv5, with what is subtracted from the centre to reach the neighbour.
  static let offsets: [(Neighbours, dx: Float, dy: Float)] = [
    (.none, 0, 0), (.left, 0.5, 0), (.up, 0, 0.5), (.right, -0.5, 0), (.down, 0, -0.5),
  ]

  /// - Parameter box: in cells, as the size of the map.
  static func of(_ box: CenteredBox, _ height: Float, _ width: Float) -> Neighbours {
    func isNear(_ distance: Float) -> Bool { distance > 1 && distance - distance.rounded(.down) < 0.5 }
    var neighbours = Neighbours.none
    if isNear(box.cx) { neighbours.insert(.left) }
    if isNear(box.cy) { neighbours.insert(.up) }
    if isNear(width - box.cx) { neighbours.insert(.right) }
    if isNear(height - box.cy) { neighbours.insert(.down) }
    return neighbours
  }
}

extension HeadShape {
  @inline(__always)
  func cell(_ match: AnchorMatch) -> Int {
    cell(image: match.image, row: match.row, column: match.column, anchor: match.anchor)
  }
}
