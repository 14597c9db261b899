import Foundation
import Network

/// Decoded predictions of one image: rows of (cx, cy, w, h in pixels, objectness, class scores), scores in [0, 1].
public struct Predictions: Sendable, Hashable {
  public var classCount: Int
  /// Row-major, `rows × (5 + classes)`.
  public var values: [Float]

  public init(classCount: Int, values: [Float] = []) {
    precondition(classCount > 0 && values.count % (5 + classCount) == 0, "rows of \(5 + classCount) values")
    self.classCount = classCount
    self.values = values
  }

  public var valuesPerRow: Int { 5 + classCount }
  public var rowCount: Int { values.count / valuesPerRow }
}

extension Predictions {
  /// Appends what one level says about one image, as YOLOv5's `Detect` decodes it:
  /// `xy = (2σ − 0.5 + cell)·stride`, `wh = (2σ)²·anchor`. Rows are anchor-major, then row, then column.
  /// - Parameter threshold: only rows with an objectness above it; nil: all.
  public mutating func append(
    level: Int, of detect: Detect, shape: HeadShape, head: Span<Float>, image: Int, objectnessAbove threshold: Float?
  ) {
    precondition(
      shape.count == head.count && shape.valuesPerAnchor == valuesPerRow && image < shape.images
        && shape.anchors == detect.anchors[level].count, "level \(level): a head of another shape")
    decode(
      into: &values, anchors: detect.anchors[level], stride: Float(detect.strides[level]), shape: shape, head: head,
      image: image, threshold: threshold)
  }
}

private func decode(
  into values: inout [Float], anchors: [Anchor], stride: Float, shape: HeadShape, head: Span<Float>, image: Int,
  threshold: Float?
) {
  for (anchorIndex, anchor) in anchors.enumerated() {
    for row in 0..<shape.height {
      for column in 0..<shape.width {
        let start =
          shape.cell(image: image, row: row, column: column, anchor: anchorIndex) * shape.valuesPerAnchor
        let objectness = sigmoid(head[start + 4])
        if let threshold, !(objectness > threshold) { continue }
        values.append((2 * sigmoid(head[start]) - 0.5 + Float(column)) * stride)
        values.append((2 * sigmoid(head[start + 1]) - 0.5 + Float(row)) * stride)
        let w = 2 * sigmoid(head[start + 2])
        let h = 2 * sigmoid(head[start + 3])
        values.append(w * w * anchor.width)
        values.append(h * h * anchor.height)
        values.append(objectness)
        for index in 5..<shape.valuesPerAnchor { values.append(sigmoid(head[start + index])) }
      }
    }
  }
}

@inline(__always)
private func sigmoid(_ x: Float) -> Float { 1 / (1 + exp(-x)) }
