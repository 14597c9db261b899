import Sweep
import Testing

private let accuracyAndSize = [Objective(.maximize, .map50), Objective(.minimize, .sizeMB)]

struct ParetoFrontTests {
  @Test func membersAreThoseNobodyBeats() {
    let points: [[Double?]] = [[0.9, 10], [0.8, 5], [0.7, 6], [0.9, 11], [0.5, 1]]
    #expect(ParetoFront.membership(of: points, objectives: accuracyAndSize) == [true, true, false, false, true])
  }

  @Test func equalsShareTheFront() {
    let points: [[Double?]] = [[0.9, 10], [0.9, 10], [0.9, 12]]
    #expect(ParetoFront.membership(of: points, objectives: accuracyAndSize) == [true, true, false])
  }

  @Test func missingValuesNeitherBeatNorStay() {
    let points: [[Double?]] = [[0.9, nil], [0.8, 5], [.nan, 1], [nil, nil]]
    #expect(ParetoFront.membership(of: points, objectives: accuracyAndSize) == [false, true, false, false])
  }

  @Test func oneObjectiveKeepsItsBestOnly() {
    let points: [[Double?]] = [[3], [1], [2], [1]]
    #expect(
      ParetoFront.membership(of: points, objectives: [Objective(.minimize, .latencyMS)]) == [false, true, false, true])
    #expect(ParetoFront.membership(of: [], objectives: accuracyAndSize) == [])
  }

  /// Against the definition, on three objectives with many ties.
  @Test func agreesWithTheDefinition() {
    let objectives = accuracyAndSize + [Objective(.minimize, .latencyMS)]
    var state: UInt64 = 1
    func digit() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 60)
    }
    let points = (0..<200).map { _ in [digit(), digit(), digit()] }
    func beats(_ a: [Double], _ b: [Double]) -> Bool {
      a != b && a[0] >= b[0] && a[1] <= b[1] && a[2] <= b[2]
    }
    let expected = points.map { point in !points.contains { beats($0, point) } }
    #expect(ParetoFront.membership(of: points, objectives: objectives) == expected)
    #expect(expected.contains(true) && expected.contains(false))
  }
}
