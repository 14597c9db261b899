import Detection
import Foundation
import Geometry
import Testing

@Suite("Overlap of boxes")
struct BoxOverlapTests {
  let a = CenteredBox(cx: 3.1, cy: 4.2, width: 2.5, height: 3.5)
  let b = CenteredBox(cx: 4, cy: 3.7, width: 3, height: 2)

  @Test("Gradients agree with finite differences", arguments: [BoxOverlap.iou, .giou, .diou])
  func gradients(kind: BoxOverlap) {
    let value = kind(a, b)
    let step: Float = 1.0 / 128
    for coordinate in 0..<4 {
      func moved(_ distance: Float) -> Double { kind(a.moved(coordinate, by: distance), b).value }
      // Fourth-order central difference.
      let slope = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * Double(step))
      #expect(abs(slope - value.gradient[coordinate]) < 2e-5, "coordinate \(coordinate)")
    }
  }

  @Test("CIoU takes alpha as a constant")
  func completeIoU() {
    // With equal aspect ratios v and its gradient vanish, so that CIoU is DIoU.
    let square = CenteredBox(cx: 1, cy: 1, width: 2, height: 2)
    let larger = CenteredBox(cx: 2, cy: 1.5, width: 3, height: 3)
    let (diou, ciou) = (BoxOverlap.diou(square, larger), BoxOverlap.ciou(square, larger))
    #expect(abs(diou.value - ciou.value) < 1e-12)
    for coordinate in 0..<4 { #expect(abs(diou.gradient[coordinate] - ciou.gradient[coordinate]) < 1e-6) }
    // Elsewhere it is DIoU − α·v, with the α of where one stands.
    func v(_ box: CenteredBox) -> Double {
      let angle = atan(Double(b.width / b.height)) - atan(Double(box.width) / Double(box.height))
      return 4 / (.pi * .pi) * angle * angle
    }
    let alpha = (BoxOverlap.diou(a, b).value - BoxOverlap.ciou(a, b).value) / v(a)
    #expect(abs(alpha - v(a) / (v(a) - BoxOverlap.iou(a, b).value + 1)) < 1e-5)
    let step: Float = 1.0 / 1024
    for coordinate in 0..<4 {
      func moved(_ distance: Float) -> Double {
        let box = a.moved(coordinate, by: distance)
        return BoxOverlap.diou(box, b).value - alpha * v(box)
      }
      let slope = (moved(step) - moved(-step)) / Double(2 * step)
      #expect(abs(slope - BoxOverlap.ciou(a, b).gradient[coordinate]) < 1e-5, "coordinate \(coordinate)")
    }
  }

  @Test("Boxes without extent stay finite", arguments: BoxOverlap.allCases)
  func degenerate(kind: BoxOverlap) {
    let point = CenteredBox(cx: 1, cy: 1, width: 0, height: 0)
    for (first, second) in [(point, point), (point, a), (a, point)] {
      let value = kind(first, second)
      #expect(value.value.isFinite)
      for coordinate in 0..<4 { #expect(value.gradient[coordinate].isFinite) }
    }
  }

  @Test func corners() {
    let box = PixelBox(x1: 0, y1: 0, x2: 2, y2: 2)
    #expect(box.iou(PixelBox(x1: 1, y1: 1, x2: 3, y2: 3)) == 1.0 / 7)
    #expect(box.iou(PixelBox(x1: 2, y1: 0, x2: 3, y2: 2)) == 0)
    #expect(PixelBox(x1: 1, y1: 1, x2: 1, y2: 1).iou(PixelBox(x1: 1, y1: 1, x2: 1, y2: 1)) == 0)
    #expect(PixelBox(CenteredBox(box)) == box)
  }
}

extension CenteredBox {
  fileprivate func moved(_ coordinate: Int, by distance: Float) -> CenteredBox {
    var box = self
    switch coordinate {
    case 0: box.cx += distance
    case 1: box.cy += distance
    case 2: box.width += distance
    default: box.height += distance
    }
    return box
  }
}
