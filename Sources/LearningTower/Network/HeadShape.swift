/// The shape of one raw map of the detection head: `N` images × `H` rows × `W` columns × `A` anchors × `V` values (box
/// 4, objectness, classes).
public struct HeadShape: Sendable, Hashable {
  public var images: Int
  public var height: Int
  public var width: Int
  public var anchors: Int
  public var valuesPerAnchor: Int

  public init(images: Int, height: Int, width: Int, anchors: Int, valuesPerAnchor: Int) {
    self.images = images
    self.height = height
    self.width = width
    self.anchors = anchors
    self.valuesPerAnchor = valuesPerAnchor
  }

  /// `N × H × W × A`.
  public var cellCount: Int { images * height * width * anchors }
  public var count: Int { cellCount * valuesPerAnchor }

  /// The number of a cell and anchor in `N × H × W × A`.
  @inlinable
  public func cell(image: Int, row: Int, column: Int, anchor: Int) -> Int {
    ((image * height + row) * width + column) * anchors + anchor
  }
}
