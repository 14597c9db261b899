import Foundation
import Geometry

/// How much two boxes agree: IoU and what the papers subtract from it so that boxes apart have a slope too.
public enum BoxOverlap: String, Sendable, Hashable, CaseIterable {
  /// Intersection over union.
  case iou
  /// Minus the share of the enclosing box that neither covers (Rezatofighi et al. 2019).
  case giou
  /// Minus squared distance of the centres by squared diagonal of the enclosing box (Zheng et al. 2020, section 3).
  case diou
  /// DIoU minus `α·v` for differing aspect ratios (same paper, section 3.3); what YOLOv5 trains with.
  case ciou

  public struct Value: Sendable, Hashable {
    public var value: Double
    /// Derivative with respect to the first box: (cx, cy, width, height).
    public var gradient: SIMD4<Double>
  }

  /// YOLOv5's `bbox_iou` up to v6.1, and the gradient PyTorch derives for it.
  ///
  /// 1e-7 is added to both heights, to the union and to the diagonal, which keeps zero-size boxes finite; `α` counts as
  /// a constant; where two edges coincide, `min` and `max` share the gradient half and half; boxes that only touch have
  /// an intersection without gradient. In double, so that small boxes far from the origin lose nothing.
  public func callAsFunction(_ a: CenteredBox, _ b: CenteredBox) -> Value {
    evaluate(
      SIMD4(Double(a.cx), Double(a.cy), Double(a.width), Double(a.height)),
      SIMD4(Double(b.cx), Double(b.cy), Double(b.width), Double(b.height)))
  }

  /// The same for boxes given as (cx, cy, width, height).
  func evaluate(_ a: SIMD4<Double>, _ b: SIMD4<Double>) -> Value {
    let epsilon = 1e-7
    let x = AxisOverlap(a.x, a.z, b.x, b.z)
    let y = AxisOverlap(a.y, a.w, b.y, b.w)
    let (w1, h1) = (x.sizeA, y.sizeA + epsilon)
    let (w2, h2) = (x.sizeB, y.sizeB + epsilon)
    let intersection = x.inner * y.inner
    let union = w1 * h1 + w2 * h2 - intersection + epsilon
    let iou = intersection / union

    // Gradients are kept per axis as (d/d low edge, d/d high edge) of the first box.
    let dIntersectionX = x.innerGradient * y.inner
    let dIntersectionY = y.innerGradient * x.inner
    let sizeGradient = SIMD2(-1.0, 1.0)
    let dUnionX = sizeGradient * h1 - dIntersectionX
    let dUnionY = sizeGradient * w1 - dIntersectionY
    var value = iou
    var gradientX = (dIntersectionX - iou * dUnionX) / union
    var gradientY = (dIntersectionY - iou * dUnionY) / union

    switch self {
    case .iou: break
    case .giou:
      let enclosing = x.outer * y.outer + epsilon
      value -= (enclosing - union) / enclosing
      // −(C − U)/C = U/C − 1
      gradientX += (dUnionX - union / enclosing * (x.outerGradient * y.outer)) / enclosing
      gradientY += (dUnionY - union / enclosing * (y.outerGradient * x.outer)) / enclosing
    case .diou, .ciou:
      let diagonal = x.outer * x.outer + y.outer * y.outer + epsilon
      let distance = (x.centreSum * x.centreSum + y.centreSum * y.centreSum) / 4
      value -= distance / diagonal
      gradientX += (x.centreSum / 2 + distance / diagonal * 2 * x.outer * x.outerGradient) / diagonal
      gradientY += (y.centreSum / 2 + distance / diagonal * 2 * y.outer * y.outerGradient) / diagonal
      guard self == .ciou else { break }
      let angle = atan(w2 / h2) - atan(w1 / h1)
      let scale = 4 / (Double.pi * Double.pi)
      let v = scale * angle * angle
      let alpha = v / (v - iou + (1 + epsilon))
      value -= v * alpha
      // d atan(w/h) = (h·dw − w·dh)/(w² + h²)
      let slope = alpha * scale * 2 * angle / (w1 * w1 + h1 * h1)
      gradientX += slope * h1 * sizeGradient
      gradientY -= slope * w1 * sizeGradient
    }
    return Value(
      value: value,
      gradient: SIMD4(
        gradientX.x + gradientX.y, gradientY.x + gradientY.y, (gradientX.y - gradientX.x) / 2,
        (gradientY.y - gradientY.x) / 2))
  }
}

/// Two intervals: where they meet, what encloses both, and the derivatives by the first one's (low, high) edge.
private struct AxisOverlap {
  var sizeA: Double
  var sizeB: Double
  var inner: Double
  var innerGradient: SIMD2<Double>
  var outer: Double
  var outerGradient: SIMD2<Double>
  /// Sum of the second's edges minus sum of the first's: twice the distance of the centres.
  var centreSum: Double

  init(_ centreA: Double, _ lengthA: Double, _ centreB: Double, _ lengthB: Double) {
    let (lowA, highA) = (centreA - lengthA / 2, centreA + lengthA / 2)
    let (lowB, highB) = (centreB - lengthB / 2, centreB + lengthB / 2)
    sizeA = highA - lowA
    sizeB = highB - lowB
    let gap = min(highA, highB) - max(lowA, lowB)
    inner = max(gap, 0)
    innerGradient = gap > 0 ? SIMD2(-share(lowA > lowB, lowA == lowB), share(highA < highB, highA == highB)) : .zero
    outer = max(highA, highB) - min(lowA, lowB)
    outerGradient = SIMD2(-share(lowA < lowB, lowA == lowB), share(highA > highB, highA == highB))
    centreSum = lowB + highB - lowA - highA
  }
}

/// The part of a `min`'s or `max`'s gradient that goes to the first argument.
private func share(_ isChosen: Bool, _ isTie: Bool) -> Double { isChosen ? 1 : isTie ? 0.5 : 0 }
