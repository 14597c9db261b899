import Detection
import Evaluation
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
    // The reference leaves images without labels or without detections out.
    set.forEachImage { _, detections, truths in
      if !detections.isEmpty, !truths.isEmpty { matrix.addImage(detections, truths) }
    }
    #expect(
      matrix.counts == expected["confusion_matrix_rows_predicted_cols_true_last_background"].array.flatMap(\.ints))
  }

  // The fixture's third matrix hangs on how NumPy's unstable sort orders two equal overlaps.
  @Test("Nothing matches, nothing found") func confusionCorners() throws {
    let corner = try Fixtures.json("metrics/process_batch_corner.json")
    let truths = corner["labels"].array.map { GroundTruth(label: $0.floats) }
    let detections = corner["detections"].array.map { Detection(row: $0.floats) }
    for (key, detections) in [
      ("confusion_matrix_no_match_at_all", [detections[5]]), ("confusion_matrix_no_detections", []),
    ] {
      var matrix = ConfusionMatrix(classCount: 3)
      matrix.addImage(detections, truths)
      #expect(matrix.counts == corner[key].array.flatMap(\.ints), "\(key)")
    }
  }

  @Test("Areas under toy curves", arguments: ["perfect", "one_of_two", "zigzag", "none", "late"])
  func areas(name: String) {
    let curve = expected["compute_ap"][name]
    let area = AveragePrecision.area(recall: curve["recall"].doubles, precision: curve["precision"].doubles)
    expectClose(area, curve["ap"].double, absolute: 1e-6)
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
    self.init(box: Box(x1: label[1], y1: label[2], x2: label[3], y2: label[4]), classIndex: Int(label[0]))
  }
}

extension Detection {
  /// (x1, y1, x2, y2, confidence, class)
  fileprivate init(row: [Float]) {
    self.init(
      box: Box(x1: row[0], y1: row[1], x2: row[2], y2: row[3]), confidence: row[4], classIndex: Int(row[5]))
  }
}
