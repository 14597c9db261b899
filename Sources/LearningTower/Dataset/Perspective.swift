import Foundation
import Geometry
import Randomness

/// The draws of YOLOv5's `random_perspective`.
struct PerspectiveDraw: Sendable, Hashable {
  /// Third row of the matrix, per pixel.
  var perspectiveX = 0.0
  var perspectiveY = 0.0
  var angleDegrees = 0.0
  var zoom = 1.0
  var shearXDegrees = 0.0
  var shearYDegrees = 0.0
  /// Where the centre of the image goes, as fractions of the result.
  var centerX = 0.5
  var centerY = 0.5
}

extension PerspectiveDraw {
  init(_ augmentation: Augmentation, _ generator: inout SplitMix64) {
    perspectiveX = generator.uniform(-augmentation.perspective, augmentation.perspective)
    perspectiveY = generator.uniform(-augmentation.perspective, augmentation.perspective)
    angleDegrees = generator.uniform(-augmentation.degrees, augmentation.degrees)
    zoom = generator.uniform(1 - augmentation.scale, 1 + augmentation.scale)
    shearXDegrees = generator.uniform(-augmentation.shear, augmentation.shear)
    shearYDegrees = generator.uniform(-augmentation.shear, augmentation.shear)
    centerX = generator.uniform(0.5 - augmentation.translate, 0.5 + augmentation.translate)
    centerY = generator.uniform(0.5 - augmentation.translate, 0.5 + augmentation.translate)
  }

  /// From pixels of an image of `width` × `height` to pixels of the result:
  /// translation · shear · rotation and zoom · perspective · (centre to origin).
  func matrix(width: Int, height: Int, resultWidth: Int, resultHeight: Int) -> Matrix3 {
    let toOrigin = Matrix3(1, 0, -Double(width) / 2, 0, 1, -Double(height) / 2, 0, 0, 1)
    let perspective = Matrix3(1, 0, 0, 0, 1, 0, perspectiveX, perspectiveY, 1)
    let angle = angleDegrees * .pi / 180
    let (cosine, sine) = (zoom * cos(angle), zoom * sin(angle))
    let rotation = Matrix3(cosine, sine, 0, -sine, cosine, 0, 0, 0, 1)
    let shear = Matrix3(
      1, tan(shearXDegrees * .pi / 180), 0, tan(shearYDegrees * .pi / 180), 1, 0, 0, 0, 1)
    let translation = Matrix3(
      1, 0, centerX * Double(resultWidth), 0, 1, centerY * Double(resultHeight), 0, 0, 1)
    return translation * shear * rotation * perspective * toOrigin
  }

  /// The boxes after the transformation: the rectangle round the four corners, clipped to the result; those of which
  /// too little is left are dropped.
  func boxes(_ boxes: [LabelledBox], _ matrix: Matrix3, resultWidth: Int, resultHeight: Int) -> [LabelledBox] {
    boxes.compactMap { labelled in
      let box = labelled.box
      let corners = [(box.x1, box.y1), (box.x2, box.y2), (box.x1, box.y2), (box.x2, box.y1)].map {
        matrix.apply(Double($0.0), Double($0.1))
      }
      let (xs, ys) = (corners.map(\.x), corners.map(\.y))
      let moved = PixelBox(
        x1: Float(xs.min() ?? 0), y1: Float(ys.min() ?? 0), x2: Float(xs.max() ?? 0),
        y2: Float(ys.max() ?? 0)
      ).clipped(width: Float(resultWidth), height: Float(resultHeight))
      guard moved.isWorthKeeping(original: box, zoom: zoom) else { return nil }
      return LabelledBox(classIndex: labelled.classIndex, moved)
    }
  }
}

/// A transformation of the plane in homogeneous coordinates, row by row.
struct Matrix3: Sendable, Hashable {
  var a, b, c: Double
  var d, e, f: Double
  var g, h, i: Double

  init(
    _ a: Double, _ b: Double, _ c: Double, _ d: Double, _ e: Double, _ f: Double, _ g: Double, _ h: Double, _ i: Double
  ) {
    (self.a, self.b, self.c) = (a, b, c)
    (self.d, self.e, self.f) = (d, e, f)
    (self.g, self.h, self.i) = (g, h, i)
  }

  static let identity = Matrix3(1, 0, 0, 0, 1, 0, 0, 0, 1)

  var isAffine: Bool { g == 0 && h == 0 && i == 1 }

  static func * (m: Matrix3, n: Matrix3) -> Matrix3 {
    Matrix3(
      m.a * n.a + m.b * n.d + m.c * n.g, m.a * n.b + m.b * n.e + m.c * n.h, m.a * n.c + m.b * n.f + m.c * n.i,
      m.d * n.a + m.e * n.d + m.f * n.g, m.d * n.b + m.e * n.e + m.f * n.h, m.d * n.c + m.e * n.f + m.f * n.i,
      m.g * n.a + m.h * n.d + m.i * n.g, m.g * n.b + m.h * n.e + m.i * n.h, m.g * n.c + m.h * n.f + m.i * n.i)
  }

  func apply(_ x: Double, _ y: Double) -> (x: Double, y: Double) {
    let w = isAffine ? 1 : g * x + h * y + i
    return ((a * x + b * y + c) / w, (d * x + e * y + f) / w)
  }

  /// All zero if there is no inverse: a plane folded to a line maps everything to one point.
  var inverse: Matrix3 {
    if isAffine {  // Stays affine to the last bit.
      let determinant = a * e - b * d
      let scale = determinant == 0 ? 0 : 1 / determinant
      let (p, q, r, s) = (e * scale, -b * scale, -d * scale, a * scale)
      return Matrix3(p, q, -p * c - q * f, r, s, -r * c - s * f, 0, 0, 1)
    }
    let determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    let scale = determinant == 0 ? 0 : 1 / determinant
    return Matrix3(
      (e * i - f * h) * scale, (c * h - b * i) * scale, (b * f - c * e) * scale,
      (f * g - d * i) * scale, (a * i - c * g) * scale, (c * d - a * f) * scale,
      (d * h - e * g) * scale, (b * g - a * h) * scale, (a * e - b * d) * scale)
  }
}
