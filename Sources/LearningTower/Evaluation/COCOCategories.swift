/// COCO numbers its 80 categories from 1 to 90, with gaps where eleven more were meant to be.
public enum COCOCategories {
  private static let gaps: Set = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]

  /// By class index of the data sets that have COCO's 80 classes in order.
  public static let ids = (1...90).filter { !gaps.contains($0) }

  static let names = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, \
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, \
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, \
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, \
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, \
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, \
    teddy bear, hair drier, toothbrush
    """.split(separator: ", ").map(String.init)

  /// COCO's ids if these are COCO's classes, else the class indices themselves.
  public static func ids(of classNames: [String]) -> [Int] { classNames == names ? ids : Array(classNames.indices) }
}
