import Detection
import Evaluation
import Geometry
import Testing

@Suite("COCO's names and figures")
struct COCOTests {
  private func rectangle(_ x: Double, _ side: Double) -> COCOEvaluation.Rectangle {
    COCOEvaluation.Rectangle(x: x, y: 0, width: side, height: side)
  }

  @Test("Sizes without objects have no figure") func sizes() {
    var evaluation = COCOEvaluation()
    evaluation.addImage(
      found: [COCOEvaluation.Found(box: rectangle(0, 20), category: 0, score: 0.5)],
      truths: [COCOEvaluation.Truth(box: rectangle(0, 20), category: 0)])
    let summary = evaluation.summary()
    #expect(abs(summary.ap - 1) < 1e-9 && abs(summary.apSmall - 1) < 1e-9 && summary.ar1 == 1)
    #expect(summary.apMedium == -1 && summary.apLarge == -1 && summary.arMedium == -1 && summary.arLarge == -1)
    #expect(COCOEvaluation().summary().ap == -1)
  }

  @Test("What lies on a crowd counts neither for nor against") func crowds() {
    var evaluation = COCOEvaluation()
    evaluation.addImage(
      found: [0, 10, 20].map { COCOEvaluation.Found(box: rectangle($0, 10), category: 0, score: 0.9) }
        + [COCOEvaluation.Found(box: rectangle(200, 10), category: 0, score: 0.1)],
      truths: [
        COCOEvaluation.Truth(box: rectangle(0, 40), category: 0, isCrowd: true),
        COCOEvaluation.Truth(box: rectangle(200, 10), category: 0),
      ])
    #expect(abs(evaluation.summary().ap - 1) < 1e-9)
  }

  @Test func imagesAreCalledByNumberOrName() {
    #expect(COCOImageID(stem: "000000000139") == .number(139))
    #expect(COCOImageID(stem: "BloodImage_00000") == .name("BloodImage_00000"))
    #expect(COCOImageID(stem: "99999999999999999999") == .name("99999999999999999999"))
    #expect(COCOImageID(stem: "") == .name(""))
    let sorted = ["b", "10", "9", "a"].map(COCOImageID.init(stem:)).sorted()
    #expect(sorted == [.number(9), .number(10), .name("a"), .name("b")])
    // Two files, though Swift takes their names for equal.
    #expect(Set([COCOImageID.name("caf\u{e9}"), .name("cafe\u{301}")]).count == 2)
  }

  @Test("As YOLOv5 saves a detection") func rounding() {
    let found = COCOEvaluation.Found(
      saved: Detection(box: PixelBox(x1: 1.00049, y1: 2, x2: 4.25, y2: 3.1239), confidence: 0.123456, classIndex: 3))
    #expect(found.box == COCOEvaluation.Rectangle(x: 1, y: 2, width: 3.25, height: 1.124))
    #expect(found.score == 0.12346 && found.category == 3)
  }

  @Test func eightyClassesHaveCOCOsIDs() {
    #expect(COCOCategories.ids.count == 80)
    #expect(COCOCategories.ids.first == 1 && COCOCategories.ids[11] == 13 && COCOCategories.ids.last == 90)
    #expect(COCOCategories.ids(of: ["person", "bicycle"]) == [0, 1])
  }
}
