import Detection
import Evaluation
import Geometry
import Interchange
import Network
import TestSupport
import Testing

@Suite("Golden: non-maximum suppression")
struct NonMaximumSuppressionTests {
  static let cases: [String: NonMaximumSuppression] = [
    "val_conf.001_iou.6_multilabel": .init(),
    "detect_conf.25_iou.45": .detect,
    "multilabel_conf.25_iou.45": .init(confidenceThreshold: 0.25, iouThreshold: 0.45),
    "agnostic_conf.25_iou.45": .init(
      confidenceThreshold: 0.25, iouThreshold: 0.45, isMultiLabel: false, isClassAgnostic: true),
    "classes_0_3_7_conf.1_iou.45": .init(
      confidenceThreshold: 0.1, iouThreshold: 0.45, isMultiLabel: false, classes: [0, 3, 7]),
    "multilabel_conf.05_iou.6": .init(confidenceThreshold: 0.05),
    "max_det_20_conf.001_iou.6_multilabel": .init(maximumDetections: 20),
  ]

  @Test("The same boxes in the same order", arguments: cases.keys.sorted())
  func detections(name: String) throws {
    let file = try Fixtures.safetensors("nms/nms.safetensors")
    let prediction = try #require(file.tensors["prediction"])
    let suppression = try #require(Self.cases[name])
    let count = prediction.shape[1] * prediction.shape[2]
    for image in 0..<3 {
      let values = Array(prediction.floats[image * count..<(image + 1) * count])
      let detections = suppression(Predictions(classCount: 14, values: values))
      let expected = try #require(file.tensors["\(name).image\(image)"]).rows
      #expect(detections.count == expected.count)
      #expect(detections.map(\.classIndex) == expected.map { Int($0[5]) })
      expectClose(detections.flatMap(\.box.values), expected.flatMap { $0[..<4] }, absolute: 1e-4)
      expectClose(detections.map(\.confidence), expected.map { $0[4] }, absolute: 1e-6)
    }
  }
}

@Suite("Golden: detection metrics")
struct DetectionMetricsTests {
  let expected = DetectionSet.expected

  @Test("Curves from YOLOv5's own hits")
  func referenceHits() throws {
    let set = DetectionSet()
    let hits = try #require(set.tensors["correct"]).integers.map { $0 == 1 }
    let metrics = set.metrics { range, _, _ in Array(hits[range.lowerBound * 10..<range.upperBound * 10]) }
    // The reference's F1 is not smoothed.
    let values = metrics.metrics(smoothing: 0)
    #expect(values.perClass.map(\.classIndex) == expected["classes"].ints)
    #expect(values.perClass.map(\.labelCount) == expected["labels_per_class"].ints)
    expectClose(values.perClass.map(\.precision), expected["precision"].doubles, absolute: 1e-6)
    expectClose(values.perClass.map(\.recall), expected["recall"].doubles, absolute: 1e-6)
    expectClose(values.perClass.map(\.f1), expected["f1"].doubles, absolute: 1e-6)
    for (actual, row) in zip(values.perClass, expected["ap"].array) {
      expectClose(actual.averagePrecision, row.doubles, absolute: 1e-6)
    }
    expectClose(values.perClass.map(\.map50_95), expected["ap50_95"].doubles, absolute: 1e-6)
    expectClose(
      [values.precision, values.recall, values.map50, values.map50_95, values.fitness],
      ["P", "R", "mAP50", "mAP50_95", "fitness"].map { expected[$0].double }, absolute: 1e-6)
    #expect(values.imageCount == 30 && values.labelCount == 95)
  }

  @Test("Hits and curves of v7.0")
  func ownHits() throws {
    let set = DetectionSet()
    let reference = try #require(set.tensors["correct"]).integers.map { $0 == 1 }
    var differing = 0
    let metrics = set.metrics { range, detections, truths in
      let hits = DetectionMatching.correct(detections, truths)
      differing += zip(hits, reference[range.lowerBound * 10..<range.upperBound * 10]).count { $0 != $1 }
      return hits
    }.metrics()
    #expect(differing == expected["v7_process_batch"]["differs_in_entries"].int)
    expectClose(metrics.map50, expected["v7_process_batch"]["mAP50"].double, absolute: 1e-6)
    expectClose(metrics.map50_95, expected["v7_process_batch"]["mAP50_95"].double, absolute: 1e-6)
  }

  @Test("Greedy order matters")
  func cornerCase() throws {
    let corner = try Fixtures.json("metrics/process_batch_corner.json")
    let truths = corner["labels"].array.map { GroundTruth(label: $0.floats) }
    let detections = corner["detections"].array.map { Detection(row: $0.floats) }
    let hits = DetectionMatching.correct(detections, truths)
    #expect(hits == corner["correct_v7"].array.flatMap { $0.ints.map { $0 == 1 } })
  }

  @Test func confusion() throws {
    let set = DetectionSet()
    var matrix = ConfusionMatrix(classCount: 14)
    // The reference leaves images without labels or without detections out, and false positives where nothing matches.
    set.forEachImage { _, detections, truths in
      guard !detections.isEmpty, !truths.isEmpty else { return }
      matrix.addImage(DetectionSet.anyMatches(detections, truths) ? detections : [], truths)
    }
    #expect(
      matrix.counts == expected["confusion_matrix_rows_predicted_cols_true_last_background"].array.flatMap(\.ints))
  }

  @Test("Nothing matches, nothing found, equal overlaps") func confusionCorners() throws {
    let corner = try Fixtures.json("metrics/process_batch_corner.json")
    let truths = corner["labels"].array.map { GroundTruth(label: $0.floats) }
    let detections = corner["detections"].array.map { Detection(row: $0.floats) }
    func counts(_ detections: [Detection]) -> [Int] {
      var matrix = ConfusionMatrix(classCount: 3)
      matrix.addImage(detections, truths)
      return matrix.counts
    }
    func reference(_ key: String) -> [Int] { corner[key].array.flatMap(\.ints) }
    #expect(counts([]) == reference("confusion_matrix_no_detections"))

    // The reference forgets the false positive.
    var unmatched = reference("confusion_matrix_no_match_at_all")
    unmatched[2 * 4 + 3] += 1
    #expect(counts([detections[5]]) == unmatched)

    // Two objects of different classes in one place, and two detections of both classes there: which of them makes a
    // pair hangs on how NumPy's unstable sort orders equal overlaps. Here each goes to its own class.
    var swapped = reference("confusion_matrix")
    swapped[0 * 4 + 1] -= 1
    swapped[1 * 4 + 0] -= 1
    swapped[0 * 4 + 0] += 1
    swapped[1 * 4 + 1] += 1
    #expect(counts(detections) == swapped)
  }

  @Test("Areas under toy curves", arguments: ["perfect", "one_of_two", "zigzag", "none", "late"])
  func areas(name: String) {
    let curve = expected["compute_ap"][name]
    let area = AveragePrecision.area(recall: curve["recall"].doubles, precision: curve["precision"].doubles)
    expectClose(area, curve["ap"].double, absolute: 1e-6)
  }
}

@Suite("Golden: COCO's figures")
struct COCOEvaluationTests {
  @Test("What pycocotools gives", arguments: ["plain", "crowd", "tied", "repeated"])
  func figures(name: String) throws {
    let expected = try Fixtures.json("metrics/coco.json")[name].doubles
    var evaluation = COCOEvaluation()
    var labelCount = 0
    DetectionSet().forEachImage { _, detections, truths in
      let truths = truths.map { truth in
        let isCrowd = name == "crowd" && labelCount % 5 == 0
        labelCount += 1
        let box = COCOEvaluation.Rectangle(truth.box)
        return COCOEvaluation.Truth(
          box: box, category: truth.classIndex, area: name == "crowd" ? box.area * 0.6 : nil, isCrowd: isCrowd)
      }
      let found = detections.flatMap { detection in
        (0..<(name == "repeated" ? 60 : 1)).map { copy in
          var box = COCOEvaluation.Rectangle(detection.box)
          box.x += Double(copy) * 0.25
          let score = Double(detection.confidence) * (1 - Double(copy) * 0.01)
          return COCOEvaluation.Found(
            box: box, category: detection.classIndex, score: name == "tied" ? (score * 10).rounded() / 10 : score)
        }
      }
      evaluation.addImage(found: found, truths: truths)
    }
    let s = evaluation.summary()
    expectClose(
      [
        s.ap, s.ap50, s.ap75, s.apSmall, s.apMedium, s.apLarge, s.ar1, s.ar10, s.ar100, s.arSmall, s.arMedium,
        s.arLarge,
      ], expected, absolute: 1e-9)
  }
}

extension COCOEvaluation.Rectangle {
  fileprivate init(_ box: PixelBox) {
    let (x1, y1) = (Double(box.x1), Double(box.y1))
    self.init(x: x1, y: y1, width: Double(box.x2) - x1, height: Double(box.y2) - y1)
  }
}

private struct DetectionSet {
  static let expected = try! Fixtures.json("metrics/metrics.json")
  let tensors = try! Fixtures.safetensors("metrics/detection_set.safetensors").tensors

  /// Hands over each image's rows among all detections, its detections and its labels.
  func forEachImage(_ body: (Range<Int>, [Detection], [GroundTruth]) -> Void) {
    let rows = tensors["detections"]!.rows
    let labels = tensors["labels"]!.rows
    var start = 0
    for image in 0..<30 {
      let detections = rows.filter { $0[0] == Float(image) }.map { Detection(row: Array($0[1...])) }
      let truths = labels.filter { $0[0] == Float(image) }.map { GroundTruth(label: Array($0[1...])) }
      body(start..<start + detections.count, detections, truths)
      start += detections.count
    }
  }

  /// Whether the reference's matrix takes any of the detections for an object.
  static func anyMatches(_ detections: [Detection], _ truths: [GroundTruth]) -> Bool {
    detections.contains { found in
      found.confidence > 0.25 && truths.contains { $0.box.iou(found.box) > 0.45 }
    }
  }

  func metrics(_ hits: (Range<Int>, [Detection], [GroundTruth]) -> [Bool]) -> AveragePrecision {
    var metrics = AveragePrecision()
    forEachImage { range, detections, truths in
      metrics.addImage(
        confidences: detections.map(\.confidence), classes: detections.map(\.classIndex),
        correct: hits(range, detections, truths), labelClasses: truths.map(\.classIndex))
    }
    return metrics
  }
}

extension GroundTruth {
  /// (class, x1, y1, x2, y2)
  fileprivate init(label: [Float]) {
    self.init(box: PixelBox(x1: label[1], y1: label[2], x2: label[3], y2: label[4]), classIndex: Int(label[0]))
  }
}

extension Detection {
  /// (x1, y1, x2, y2, confidence, class)
  fileprivate init(row: [Float]) {
    self.init(
      box: PixelBox(x1: row[0], y1: row[1], x2: row[2], y2: row[3]), confidence: row[4], classIndex: Int(row[5]))
  }
}
