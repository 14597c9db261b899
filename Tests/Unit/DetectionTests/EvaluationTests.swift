import Dataset
import Detection
import Evaluation
import Foundation
import Geometry
import Testing

@Suite("Non-maximum suppression")
struct SuppressionTests {
  /// One row: a box of 10 × 10 with its left upper corner at (x, 0).
  private func predictions(_ rows: [(x: Float, objectness: Float, scores: [Float])]) -> Predictions {
    Predictions(
      classCount: rows[0].scores.count, values: rows.flatMap { [$0.x + 5, 5, 10, 10, $0.objectness] + $0.scores })
  }

  @Test("The most confident of overlapping boxes stays; other classes do not mind")
  func classes() {
    let rows = predictions([(0, 0.8, [0.9, 0]), (1, 0.9, [0.9, 0]), (2, 1, [0, 0.5]), (30, 0.5, [0.5, 0])])
    var suppression = NonMaximumSuppression(confidenceThreshold: 0.1)
    #expect(suppression(rows).map(\.box.x1) == [1, 2, 30])
    suppression.isClassAgnostic = true
    #expect(suppression(rows).map(\.box.x1) == [1, 30])
    suppression.classes = [1]
    #expect(suppression(rows).map(\.box.x1) == [2])
    suppression.classes = nil
    suppression.maximumDetections = 1
    #expect(suppression(rows).map(\.box.x1) == [1])
    suppression.maximumCandidates = 0
    #expect(suppression(rows).isEmpty)
  }

  @Test("Several labels a box, or only its best")
  func labels() {
    let rows = predictions([(0, 1, [0.5, 0.7, 0.1])])
    var suppression = NonMaximumSuppression(confidenceThreshold: 0.2)
    #expect(suppression(rows).map(\.classIndex) == [1, 0])
    suppression.isMultiLabel = false
    #expect(suppression(rows).map(\.classIndex) == [1])
  }

  @Test("Equals stay in their order; a threshold must be exceeded; no number is no detection")
  func edges() {
    let equal = predictions([(50, 0.5, [1]), (0, 0.5, [1]), (100, 0.5, [1])])
    #expect(NonMaximumSuppression()(equal).map(\.box.x1) == [50, 0, 100])
    #expect(NonMaximumSuppression(confidenceThreshold: 0.5)(equal).isEmpty)
    #expect(NonMaximumSuppression()(predictions([(0, .nan, [1]), (0, 1, [.nan])])).isEmpty)
    #expect(NonMaximumSuppression()(Predictions(classCount: 3)).isEmpty)
  }
}

@Suite("Detection metrics")
struct MetricsTests {
  private func metrics(
    _ detections: [(confidence: Float, classIndex: Int, isCorrect: Bool)], labels: [Int]
  ) -> DetectionMetrics {
    var metrics = AveragePrecision(thresholdCount: 1)
    metrics.addImage(
      confidences: detections.map(\.confidence), classes: detections.map(\.classIndex),
      correct: detections.map(\.isCorrect), labelClasses: labels)
    return metrics.metrics()
  }

  @Test("Everything found: as good as 101 points allow")
  func perfect() {
    let result = metrics([(0.9, 0, true), (0.8, 0, true)], labels: [0, 0])
    #expect(result.recall == 1 && result.precision == 1)
    #expect(abs(result.map50 - 0.995) < 1e-9)
    #expect(abs(result.fitness - 0.995) < 1e-9)
  }

  @Test("Nothing found, nothing labelled, nothing at all")
  func nothing() {
    for result in [metrics([], labels: [0]), metrics([(0.9, 0, false)], labels: [0])] {
      #expect(result.perClass.map(\.labelCount) == [1])
      #expect(result.precision == 0 && result.recall == 0 && result.map50 == 0)
    }
    #expect(metrics([(0.9, 0, false)], labels: []).perClass.isEmpty)
    #expect(AveragePrecision().metrics().fitness == 0)
  }

  @Test("A class without labels counts nowhere; one without detections counts as missed")
  func classes() {
    let result = metrics([(0.9, 0, true), (0.8, 5, false)], labels: [0, 3])
    #expect(result.perClass.map(\.classIndex) == [0, 3])
    #expect(abs(result.map50 - 0.995 / 2) < 1e-9)
  }

  @Test("An object counts for the most confident detection of its class, at each threshold")
  func matching() {
    let truth = GroundTruth(box: PixelBox(x1: 0, y1: 0, x2: 10, y2: 10), classIndex: 1)
    func detection(_ width: Float, _ classIndex: Int = 1) -> Detection {
      Detection(box: PixelBox(x1: 0, y1: 0, x2: width, y2: 10), confidence: 1, classIndex: classIndex)
    }
    #expect(
      DetectionMatching.correct([detection(6), detection(8), detection(10, 0)], [truth], thresholds: [0.5, 0.7])
        == [true, false, false, true, false, false])
    #expect(DetectionMatching.correct([detection(8)], [], thresholds: [0.5]) == [false])
    #expect(DetectionMatching.correct([], [truth]).isEmpty)
  }
}

@Suite("Energy meter")
struct EnergyMeterTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "powercap-\(UUID())")

  private func write(_ zone: String, name: String = "package-0", energy: Int, range: Int = 1_000_000_000) throws {
    let path = folder.appending(path: zone)
    try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
    for (file, text) in [("name", name), ("energy_uj", "\(energy)"), ("max_energy_range_uj", "\(range)")] {
      try Data((text + "\n").utf8).write(to: path.appending(path: file))
    }
  }

  @Test("Adds packages, leaves their parts out and sees a counter start again")
  func reading() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    try write("intel-rapl:0", energy: 999_000_000)
    try write("intel-rapl:1", name: "package-1", energy: 5_000_000)
    try write("intel-rapl:0:0", name: "core", energy: 0)
    var meter = try #require(EnergyMeter(folder: folder.path()))
    try write("intel-rapl:0", energy: 1_500_000)
    try write("intel-rapl:1", name: "package-1", energy: 6_000_000)
    try write("intel-rapl:0:0", name: "core", energy: 77_000_000)
    #expect(meter.joulesSinceLastReading() == 3.5)
    #expect(meter.joulesSinceLastReading() == 0)
    try FileManager.default.removeItem(at: folder)
    #expect(meter.joulesSinceLastReading() == nil)
  }

  @Test func noCounter() {
    #expect(EnergyMeter(folder: "/nowhere") == nil)
    #expect(EnergyMeter.obstacle(folder: "/nowhere")?.contains("shows no energy counter") == true)
  }

  @Test func aCounterThatCannotBeReadIsNamed() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "powercap-\(UUID().uuidString)")
    let zone = folder.appending(path: "intel-rapl:0")
    try FileManager.default.createDirectory(at: zone, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try "package-0\n".write(to: zone.appending(path: "name"), atomically: true, encoding: .utf8)
    #expect(EnergyMeter.obstacle(folder: folder.path)?.contains("intel-rapl:0/energy_uj cannot be read") == true)
  }
}

@Suite("Drawing detections")
struct DrawingTests {
  private let image = Image(width: 120, height: 90, grey: 100)

  private func pixel(_ image: Image, _ x: Int, _ y: Int) -> [UInt8] {
    Array(image.pixels[(y * image.width + x) * 3..<(y * image.width + x) * 3 + 3])
  }

  /// Photographs of other sizes stand in rows, models in columns; a box lies where it lies in the photograph.
  @Test func aContactSheetHasAPlaceForEachPhotographAndModel() {
    func photograph(_ width: Int, _ height: Int, _ grey: UInt8) -> Image {
      Image(width: width, height: height, grey: grey)
    }
    let photographs = [photograph(640, 320, 40), photograph(160, 320, 90)]
    let box = Detection(box: PixelBox(x1: 320, y1: 160, x2: 480, y2: 240), confidence: 0.9, classIndex: 0)
    let columns = ["a", "b"].map { name in
      DetectionSheet.Column(heading: [name, "1 MB"], detections: [name == "b" ? [box] : [], []])
    }
    let sheet = DetectionSheet(classNames: ["cell"])(photographs, columns)
    #expect(sheet.width == 12 + 2 * (320 + 12))
    func pixel(_ x: Int, _ y: Int) -> [UInt8] {
      Array(sheet.pixels[(y * sheet.width + x) * 3..<(y * sheet.width + x) * 3 + 3])
    }
    let top = sheet.height - (160 + 12) - (320 + 12)
    #expect(pixel(2, 2) == [255, 255, 255])
    #expect(pixel(12, top) == [40, 40, 40] && pixel(12 + 319, top + 159) == [40, 40, 40])
    #expect(pixel(12, top + 160 + 12) == [90, 90, 90] && pixel(12 + 160, top + 160 + 12) == [255, 255, 255])
    // The box's left upper corner at half the size, in the second column only.
    let second = 12 + 320 + 12
    #expect(pixel(12 + 160, top + 90) == [40, 40, 40])
    #expect(pixel(second + 160, top + 90) != [40, 40, 40] && pixel(second + 200, top + 100) == [40, 40, 40])
    // There is ink in both headings.
    for left in [12, second] {
      let ink = (12..<top).contains { y in (left..<left + 320).contains { pixel($0, y) == [30, 30, 30] } }
      #expect(ink)
    }
  }

  @Test("Frames in the class' colour, the inside untouched")
  func frame() {
    let boxes = [
      Detection(box: PixelBox(x1: 20, y1: 30, x2: 100, y2: 80), confidence: 0.9, classIndex: 0),
      Detection(box: PixelBox(x1: 40, y1: 50, x2: 60, y2: 70), confidence: 0.5, classIndex: 1),
    ]
    let drawn = DetectionDrawing(classNames: ["cell"])(boxes, on: image)
    #expect(pixel(drawn, 20, 60) != [100, 100, 100])
    #expect(pixel(drawn, 20, 60) == pixel(drawn, 100, 60))
    #expect(pixel(drawn, 40, 60) != pixel(drawn, 20, 60))
    #expect(pixel(drawn, 50, 60) == [100, 100, 100])
    #expect(pixel(drawn, 24, 25) != [100, 100, 100], "the label's ground")
  }

  @Test("Boxes beyond the picture, without extent or without numbers do no harm")
  func oddBoxes() {
    let corners: [Float] = [-1e30, .nan, .infinity, -5, 0, 500]
    for a in corners {
      for b in corners {
        let odd = Detection(box: PixelBox(x1: a, y1: b, x2: b, y2: a), confidence: 2, classIndex: 7)
        let drawn = DetectionDrawing(classNames: [])([odd], on: Image(width: 3, height: 2))
        #expect(drawn.width == 3 && drawn.height == 2)
      }
    }
  }
}
