import Dataset
import Detection
import Geometry

/// Draws detections into a picture: a frame in the class' colour and, above it, its name and confidence.
public struct DetectionDrawing: Sendable {
  private let classNames: [String]
  private let showsConfidence: Bool

  public init(classNames: [String], showsConfidence: Bool = true) {
    self.classNames = classNames
    self.showsConfidence = showsConfidence
  }

  public func callAsFunction(_ detections: [Detection], on image: Image) -> Image {
    var canvas = Canvas(image)
    // As in YOLOv5, a three-hundredth of the picture; text grows with it.
    let line = max((image.width + image.height) / 600, 2)
    let scale = max(line * 3 / 4, 2)
    for detection in detections.reversed() {  // The most confident one is drawn last, on top.
      let colour = Colour.of(classIndex: detection.classIndex)
      let name = detection.classIndex < classNames.count ? classNames[detection.classIndex] : "\(detection.classIndex)"
      let frame = PixelRectangle(detection.box, width: image.width, height: image.height)
      canvas.frame(frame, line: line, colour)
      let percent = Int((detection.confidence * 100).rounded())
      canvas.label(showsConfidence ? "\(name) \(percent)%" : name, above: frame, scale: scale, background: colour)
    }
    return canvas.image
  }
}

struct Colour: Sendable, Hashable {
  var red: UInt8
  var green: UInt8
  var blue: UInt8

  /// Hues a golden angle apart, so that neighbouring classes differ most.
  static func of(classIndex: Int) -> Colour {
    let hue = (Float(classIndex % 1000) * 0.618_034).truncatingRemainder(dividingBy: 1) * 6
    func channel(_ offset: Float) -> UInt8 {
      let distance = abs((hue + offset).truncatingRemainder(dividingBy: 6) - 3)  // 0 … 3, largest at the channel's hue
      return UInt8(40 + 190 * min(max(distance - 1, 0), 1))
    }
    return Colour(red: channel(0), green: channel(4), blue: channel(2))
  }

  /// Black or white, whichever stands out.
  var contrast: Colour {
    let luminance = 299 * Int(red) + 587 * Int(green) + 114 * Int(blue)
    return luminance > 130_000 ? Colour(red: 0, green: 0, blue: 0) : Colour(red: 255, green: 255, blue: 255)
  }
}

extension PixelRectangle {
  /// The pixels of a box that lie in an image; boxes without an extent, or that are no numbers, give an empty one.
  init(_ box: PixelBox, width: Int, height: Int) {
    func pixel(_ value: Float, _ limit: Int) -> Int {
      value.isNaN ? 0 : Int(min(max(value.rounded(), 0), Float(limit)))
    }
    self.init(
      left: pixel(box.x1, width), top: pixel(box.y1, height), right: pixel(box.x2, width),
      bottom: pixel(box.y2, height))
  }
}

struct Canvas {
  var image: Image

  init(_ image: Image) { self.image = image }

  mutating func fill(_ rectangle: PixelRectangle, _ colour: Colour) {
    let (left, right) = (max(rectangle.left, 0), min(rectangle.right, image.width))
    let (top, bottom) = (max(rectangle.top, 0), min(rectangle.bottom, image.height))
    guard left < right, top < bottom else { return }
    for y in top..<bottom {
      for x in left..<right {
        let pixel = (y * image.width + x) * 3
        image.pixels[pixel] = colour.red
        image.pixels[pixel + 1] = colour.green
        image.pixels[pixel + 2] = colour.blue
      }
    }
  }

  /// Lines of `line` pixels, centred on the rectangle's edges.
  mutating func frame(_ r: PixelRectangle, line: Int, _ colour: Colour) {
    let (before, after) = (line / 2, line - line / 2)
    func edge(_ left: Int, _ top: Int, _ right: Int, _ bottom: Int) -> PixelRectangle {
      PixelRectangle(left: left - before, top: top - before, right: right + after, bottom: bottom + after)
    }
    fill(edge(r.left, r.top, r.right, r.top), colour)
    fill(edge(r.left, r.bottom, r.right, r.bottom), colour)
    fill(edge(r.left, r.top, r.left, r.bottom), colour)
    fill(edge(r.right, r.top, r.right, r.bottom), colour)
  }

  /// Text on a ground of its own, above the rectangle where there is room, else inside its upper edge.
  mutating func label(_ text: String, above r: PixelRectangle, scale: Int, background: Colour) {
    let width = (text.count * (TinyFont.width + 1) + 1) * scale
    let height = (TinyFont.height + 2) * scale
    let top = r.top >= height ? r.top - height : r.top
    let left = max(min(r.left, image.width - width), 0)
    fill(PixelRectangle(left: left, top: top, right: left + width, bottom: top + height), background)
    write(text, left: left + scale, top: top + scale, scale: scale, background.contrast)
  }

  /// - Parameter scale: pixels of a letter's dot.
  mutating func write(_ text: String, left: Int, top: Int, scale: Int, _ colour: Colour) {
    for (index, glyph) in text.map({ TinyFont.glyph($0) }).enumerated() {
      for row in 0..<TinyFont.height {
        for column in 0..<TinyFont.width where TinyFont.isSet(glyph, row: row, column: column) {
          let x = left + (index * (TinyFont.width + 1) + column) * scale
          let y = top + row * scale
          fill(PixelRectangle(left: x, top: y, right: x + scale, bottom: y + scale), colour)
        }
      }
    }
  }

  /// Copies a picture, of which only what lies within this one is shown.
  mutating func paste(_ other: Image, left: Int, top: Int) {
    let rowBytes = max(0, min(other.width, image.width - left)) * 3
    for y in 0..<max(0, min(other.height, image.height - top)) {
      let (source, target) = (y * other.width * 3, ((top + y) * image.width + left) * 3)
      image.pixels.replaceSubrange(target..<(target + rowBytes), with: other.pixels[source..<(source + rowBytes)])
    }
  }
}
