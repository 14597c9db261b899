import Dataset
import Detection
import Geometry

/// A contact sheet: photographs in rows, and in columns what each of several models finds in them.
public struct DetectionSheet: Sendable {
  /// One model, or the labels.
  public struct Column: Sendable {
    /// Lines of the heading.
    public var heading: [String]
    /// The detections in each photograph, in its pixels.
    public var detections: [[Detection]]
    public var showsConfidence: Bool

    public init(heading: [String], detections: [[Detection]], showsConfidence: Bool = true) {
      self.heading = heading
      self.detections = detections
      self.showsConfidence = showsConfidence
    }
  }

  /// The longer side of a shown photograph, and the space around it, pixels.
  private static let side = 320
  private static let gap = 12
  private static let paper = Colour(red: 255, green: 255, blue: 255)
  private static let ink = Colour(red: 30, green: 30, blue: 30)

  private let classNames: [String]

  public init(classNames: [String]) { self.classNames = classNames }

  /// - Precondition: each column has detections for every photograph.
  public func callAsFunction(_ photographs: [Image], _ columns: [Column]) -> Image {
    let shown = photographs.map { $0.letterboxed(longSide: Self.side, stride: 1) }
    let cellWidth = shown.map(\.image.width).max() ?? Self.side
    let headings = columns.flatMap(\.heading)
    let scale = headings.allSatisfy { Self.width(of: $0, scale: 3) <= cellWidth } ? 3 : 2
    let lineHeight = (TinyFont.height + 3) * scale
    let headingHeight = (columns.map(\.heading.count).max() ?? 0) * lineHeight
    let height = shown.reduce(Self.gap + headingHeight) { $0 + $1.image.height + Self.gap }
    let width = Self.gap + columns.count * (cellWidth + Self.gap)
    var canvas = Canvas(Image(width: width, height: height))
    canvas.fill(PixelRectangle(left: 0, top: 0, right: width, bottom: height), Self.paper)
    for (index, column) in columns.enumerated() {
      let left = Self.gap + index * (cellWidth + Self.gap)
      var top = Self.gap
      for (line, text) in column.heading.enumerated() {
        let letters = cellWidth / ((TinyFont.width + 1) * scale)
        canvas.write(String(text.prefix(letters)), left: left, top: top + line * lineHeight, scale: scale, Self.ink)
      }
      top += headingHeight
      let drawing = DetectionDrawing(classNames: classNames, showsConfidence: column.showsConfidence)
      for (photograph, detections) in zip(shown, column.detections) {
        let scaled = detections.map { $0.scaled(by: photograph.placement.gain) }
        canvas.paste(drawing(scaled, on: photograph.image), left: left, top: top)
        top += photograph.image.height + Self.gap
      }
    }
    return canvas.image
  }

  private static func width(of text: String, scale: Int) -> Int { text.count * (TinyFont.width + 1) * scale }
}

extension Detection {
  fileprivate func scaled(by factor: Float) -> Detection {
    Detection(
      box: PixelBox(x1: box.x1 * factor, y1: box.y1 * factor, x2: box.x2 * factor, y2: box.y2 * factor),
      confidence: confidence, classIndex: classIndex)
  }
}
