/// How training images are varied: YOLOv5's augmentation hyper-parameters, defaults those of `hyp.scratch-low`.
public struct Augmentation: Sendable, Hashable {
  /// Largest relative change of hue, saturation and value (`hsv_h`, `hsv_s`, `hsv_v`).
  public var hue: Double = 0.015
  public var saturation: Double = 0.7
  public var value: Double = 0.4
  /// Rotation up to ± this, degrees.
  public var degrees: Double = 0
  /// Shift up to ± this fraction of the image.
  public var translate: Double = 0.1
  /// Zoom by 1 ± this.
  public var scale: Double = 0.5
  /// Shear up to ± this, degrees.
  public var shear: Double = 0
  /// Perspective up to ± this, per pixel (0 … 0.001).
  public var perspective: Double = 0
  /// Probabilities.
  public var flipUpDown: Double = 0
  public var flipLeftRight: Double = 0.5
  public var mosaic: Double = 1
  public var mixup: Double = 0

  public init() {}

  /// Images are only letterboxed.
  public static var none: Augmentation {
    var none = Augmentation()
    none.hue = 0
    none.saturation = 0
    none.value = 0
    none.translate = 0
    none.scale = 0
    none.flipLeftRight = 0
    none.mosaic = 0
    return none
  }
}
