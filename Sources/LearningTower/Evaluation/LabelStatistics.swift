import Dataset
import Geometry

/// Statistics of a split's labels: how many there are of each class, where, and how large.
public struct LabelStatistics: Sendable, Hashable, Codable {
  /// Fields along each side of the two maps.
  public static let mapSide = 40

  public var imageCount: Int
  /// Images without an object.
  public var backgroundCount: Int
  /// Objects of each class.
  public var classCounts: [Int]
  /// How many centres lie in each field of an image that is cut into `mapSide × mapSide`, row by row from the top.
  public var centres: [Int]
  /// How many boxes have each size: rows are heights, columns widths, both as fractions of the image from 0 up.
  public var sizes: [Int]

  public init(_ images: [LabelledImage], classCount: Int) {
    imageCount = images.count
    backgroundCount = images.count { $0.labels.isEmpty }
    classCounts = Array(repeating: 0, count: classCount)
    centres = Array(repeating: 0, count: Self.mapSide * Self.mapSide)
    sizes = centres
    func field(_ fraction: Float) -> Int {
      fraction.isNaN ? 0 : min(max(Int(fraction * Float(Self.mapSide)), 0), Self.mapSide - 1)
    }
    for label in images.lazy.flatMap(\.labels) {
      if classCounts.indices.contains(label.classIndex) { classCounts[label.classIndex] += 1 }
      centres[field(label.box.cy) * Self.mapSide + field(label.box.cx)] += 1
      sizes[field(label.box.h) * Self.mapSide + field(label.box.w)] += 1
    }
  }
}
