/// Average precision and recall as the COCO challenge counts them, number by number what `pycocotools` gives for boxes.
///
/// Other than YOLOv5's: the area is a mean over 101 recalls rather than a trapezoid sum, an object counts for the
/// detection that overlaps it most among the free ones, each class has at most 100 detections an image, and figures by
/// the size of objects exist.
public struct COCOEvaluation: Sendable {
  /// Pixels of the original image, from its left upper corner.
  public struct Rectangle: Sendable, Hashable {
    public var x: Double
    public var y: Double
    public var width: Double
    public var height: Double

    public init(x: Double, y: Double, width: Double, height: Double) {
      (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }

    public var area: Double { width * height }
  }

  public struct Truth: Sendable, Hashable {
    public var box: Rectangle
    public var category: Int
    /// Pixels; of the object itself where its outline is known, else of its box.
    public var area: Double
    /// Stands for many objects: any number of detections may lie on it, and none of them counts.
    public var isCrowd: Bool

    public init(box: Rectangle, category: Int, area: Double? = nil, isCrowd: Bool = false) {
      self.box = box
      self.category = category
      self.area = area ?? box.area
      self.isCrowd = isCrowd
    }
  }

  public struct Found: Sendable, Hashable {
    public var box: Rectangle
    public var category: Int
    public var score: Double

    public init(box: Rectangle, category: Int, score: Double) {
      self.box = box
      self.category = category
      self.score = score
    }
  }

  /// Which objects count, by their area in pixels; the ends belong to the range.
  enum AreaRange: Int, CaseIterable {
    case all, small, medium, large

    var limits: ClosedRange<Double> {
      switch self {
      case .all: 0...1e10
      case .small: 0...1024
      case .medium: 1024...9216
      case .large: 9216...1e10
      }
    }
  }

  static let iouThresholds = evenlySpaced(from: 0.5, to: 0.95, count: 10)
  static let recallThresholds = evenlySpaced(from: 0, to: 1, count: 101)
  static let detectionLimits = [1, 10, 100]

  /// The outcome of one detection in one range of areas; one bit per IoU threshold.
  private struct Outcome {
    var score: Double
    /// Its place among those of its image and category.
    var rank: Int
    var isMatched: UInt16
    /// On a crowd, on an object of another size, or of another size and on none.
    var isIgnored: UInt16
  }

  private struct Group: Hashable {
    var category: Int
    var area: AreaRange
  }

  private var outcomes: [Group: [Outcome]] = [:]
  /// Objects that count. A group in which there are none has no precision.
  private var truthCounts: [Group: Int] = [:]

  public init() {}

  /// Images have to come in the order of their ids: of equal scores the earlier one ranks first.
  /// - Parameter found: of equal scores the earlier one ranks first.
  public mutating func addImage(found: [Found], truths: [Truth]) {
    let categories = Set(found.map(\.category)).union(truths.map(\.category))
    for category in categories.sorted() {
      let own = found.enumerated().filter { $0.element.category == category }
        .sorted { ($1.element.score, $0.offset) < ($0.element.score, $1.offset) }
        .prefix(Self.detectionLimits[2]).map(\.element)
      let truths = truths.filter { $0.category == category }
      for area in AreaRange.allCases { add(own, truths, Group(category: category, area: area)) }
    }
  }

  private mutating func add(_ found: [Found], _ truths: [Truth], _ group: Group) {
    let limits = group.area.limits
    let isIgnored = truths.map { $0.isCrowd || !limits.contains($0.area) }
    truthCounts[group, default: 0] += isIgnored.count { !$0 }
    // The boxes that count come first, so that the search can stop where the others begin.
    let order = truths.indices.filter { !isIgnored[$0] } + truths.indices.filter { isIgnored[$0] }
    let overlaps = found.map { item in
      order.map { item.box.overlap(truths[$0].box, isCrowd: truths[$0].isCrowd) }
    }
    var results = found.enumerated().map { Outcome(score: $1.score, rank: $0, isMatched: 0, isIgnored: 0) }
    for (bit, threshold) in Self.iouThresholds.enumerated() {
      var isTaken = Array(repeating: false, count: truths.count)
      for index in found.indices {
        var best: Int?
        var least = min(threshold, 1 - 1e-10)
        for (place, truth) in order.enumerated() {
          if isTaken[place], !truths[truth].isCrowd { continue }
          if let best, !isIgnored[order[best]], isIgnored[truth] { break }
          guard overlaps[index][place] >= least else { continue }
          (best, least) = (place, overlaps[index][place])
        }
        if let best {
          isTaken[best] = true
          results[index].isMatched |= 1 << UInt16(bit)
          if isIgnored[order[best]] { results[index].isIgnored |= 1 << UInt16(bit) }
        } else if !limits.contains(found[index].box.area) {
          results[index].isIgnored |= 1 << UInt16(bit)
        }
      }
    }
    outcomes[group, default: []] += results
  }
}

/// NumPy's `linspace`, to the last bit.
private func evenlySpaced(from start: Double, to end: Double, count: Int) -> [Double] {
  let step = (end - start) / Double(count - 1)
  return (0..<count).map { index in index == count - 1 ? end : Double(index) * step + start }
}

extension COCOEvaluation.Rectangle {
  /// Intersection over union; with a crowd, over this box alone.
  fileprivate func overlap(_ other: Self, isCrowd: Bool) -> Double {
    let w = min(x + width, other.x + other.width) - max(x, other.x)
    let h = min(y + height, other.y + other.height) - max(y, other.y)
    guard w > 0, h > 0 else { return 0 }
    let intersection = w * h
    return intersection / (isCrowd ? area : area + other.area - intersection)
  }
}

/// The twelve numbers of a COCO evaluation; -1 where no object counts.
public struct COCOSummary: Sendable, Hashable, Codable {
  /// Average precision: mean over IoU 0.50 … 0.95, at 0.50, at 0.75, of small (up to 32² pixels), medium (up to 96²)
  /// and large objects.
  public var ap: Double
  public var ap50: Double
  public var ap75: Double
  public var apSmall: Double
  public var apMedium: Double
  public var apLarge: Double
  /// Average recall with at most 1, 10 and 100 detections of a class in an image, then by size with 100.
  public var ar1: Double
  public var ar10: Double
  public var ar100: Double
  public var arSmall: Double
  public var arMedium: Double
  public var arLarge: Double

  enum CodingKeys: String, CodingKey {
    case ap, ap50, ap75, ar1, ar10, ar100
    case apSmall = "ap_small"
    case apMedium = "ap_medium"
    case apLarge = "ap_large"
    case arSmall = "ar_small"
    case arMedium = "ar_medium"
    case arLarge = "ar_large"
  }
}

extension COCOEvaluation {
  public func summary() -> COCOSummary {
    let curves = truthCounts.filter { $0.value > 0 }.map { group, truths in
      Curve(area: group.area, category: group.category, truths: truths, outcomes[group] ?? [])
    }.sorted { ($0.area.rawValue, $0.category) < ($1.area.rawValue, $1.category) }
    func precision(_ area: AreaRange, at threshold: Int? = nil) -> Double {
      let own = curves.filter { $0.area == area }
      guard !own.isEmpty else { return -1 }
      return mean(own.map { curve in threshold.map { curve.precisions[$0] } ?? mean(curve.precisions) })
    }
    func recall(_ area: AreaRange, limit: Int = 2) -> Double {
      let own = curves.filter { $0.area == area }
      return own.isEmpty ? -1 : mean(own.map { mean($0.recalls[limit]) })
    }
    return COCOSummary(
      ap: precision(.all), ap50: precision(.all, at: 0), ap75: precision(.all, at: 5),
      apSmall: precision(.small), apMedium: precision(.medium), apLarge: precision(.large),
      ar1: recall(.all, limit: 0), ar10: recall(.all, limit: 1), ar100: recall(.all),
      arSmall: recall(.small), arMedium: recall(.medium), arLarge: recall(.large))
  }

  /// The curve of a category in a range of areas.
  private struct Curve {
    var area: AreaRange
    var category: Int
    /// Mean over the recall thresholds, at each IoU threshold, with the largest detection limit.
    var precisions: [Double]
    /// The highest recall, at each detection limit and IoU threshold.
    var recalls: [[Double]]

    init(area: AreaRange, category: Int, truths: Int, _ outcomes: [Outcome]) {
      self.area = area
      self.category = category
      let ranked = outcomes.enumerated().sorted { ($1.element.score, $0.offset) < ($0.element.score, $1.offset) }
        .map(\.element)
      precisions = iouThresholds.indices.map { meanPrecision(ranked, bit: $0, truths: truths) }
      recalls = detectionLimits.map { limit in
        let shown = ranked.filter { $0.rank < limit }
        return iouThresholds.indices.map { bit in
          let hits = shown.count { ($0.isMatched & ~$0.isIgnored) >> UInt16(bit) & 1 == 1 }
          return Double(hits) / Double(truths)
        }
      }
    }
  }

  /// - Parameter ranked: by falling score.
  private static func meanPrecision(_ ranked: [Outcome], bit: Int, truths: Int) -> Double {
    var hits = 0.0
    var misses = 0.0
    var recalls: [Double] = []
    var precisions: [Double] = []
    for outcome in ranked {
      if outcome.isIgnored >> UInt16(bit) & 1 == 0 {
        if outcome.isMatched >> UInt16(bit) & 1 == 1 { hits += 1 } else { misses += 1 }
      }
      recalls.append(hits / Double(truths))
      precisions.append(hits / (misses + hits + Double.ulpOfOne))
    }
    for index in precisions.indices.dropLast().reversed() {
      precisions[index] = max(precisions[index], precisions[index + 1])
    }
    var sum = 0.0
    var place = 0
    for threshold in recallThresholds {
      while place < recalls.count, recalls[place] < threshold { place += 1 }
      if place < precisions.count { sum += precisions[place] }
    }
    return sum / Double(recallThresholds.count)
  }
}
