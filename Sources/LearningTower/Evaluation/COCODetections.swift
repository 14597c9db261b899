import Detection
import Geometry

/// An image by what COCO's files call it: the number its file is named by, else the file's name.
public enum COCOImageID: Sendable, Hashable, Comparable {
  case number(Int)
  case name(String)

  /// - Parameter stem: the file's name without its extension.
  public init(stem: String) {
    let isNumber = !stem.isEmpty && stem.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    self = (isNumber ? Int(stem) : nil).map(Self.number) ?? .name(stem)
  }

  /// Names are bytes: two spellings of one letter make two files.
  public static func == (a: COCOImageID, b: COCOImageID) -> Bool {
    switch (a, b) {
    case (.number(let a), .number(let b)): a == b
    case (.name(let a), .name(let b)): a.utf8.elementsEqual(b.utf8)
    default: false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .number(let number): hasher.combine(number)
    case .name(let text): hasher.combine(Array(text.utf8))
    }
  }

  public static func < (a: COCOImageID, b: COCOImageID) -> Bool {
    switch (a, b) {
    case (.number(let a), .number(let b)): a < b
    case (.name(let a), .name(let b)): a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
    case (.number, .name): true
    case (.name, .number): false
    }
  }
}

extension COCOImageID: Encodable {
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .number(let number): try container.encode(number)
    case .name(let text): try container.encode(text)
    }
  }
}

extension COCOEvaluation.Found {
  /// The detection as YOLOv5 saves it in JSON: sides in thousandths of a pixel, scores in hundred-thousandths.
  public init(saved detection: Detection) {
    let box = CenteredBox(detection.box)
    func rounded(_ value: Float, _ scale: Double) -> Double {
      (Double(value) * scale).rounded(.toNearestOrEven) / scale
    }
    self.init(
      box: COCOEvaluation.Rectangle(
        x: rounded(box.cx - box.width / 2, 1000), y: rounded(box.cy - box.height / 2, 1000),
        width: rounded(box.width, 1000), height: rounded(box.height, 1000)),
      category: detection.classIndex, score: rounded(detection.confidence, 100_000))
  }
}
