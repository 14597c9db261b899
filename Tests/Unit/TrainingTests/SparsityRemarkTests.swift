import Pruning
import Testing

@testable import Pipeline

@Suite struct SparsityRemarkTests {
  /// A network's scales: a tenth below `lower`, and a share of them near zero.
  private func scales(lower: Double, nearZero: Double = 0) -> ScaleSummary {
    ScaleSummary(zeroShare: 0, nearZeroShare: nearZero, lowerScale: lower, medianScale: 1, upperScale: 2)
  }

  @Test func trainingThatMovesNothingIsToldWithTheRemedy() throws {
    let remark = try #require(sparsityRemark([scales(lower: 0.735), scales(lower: 0.729)], rate: 0.005))
    #expect(remark.contains("0.005 has had no effect") && remark.contains("0.7350") && remark.contains("0.7290"))
    #expect(remark.contains("--sparsify-target"))
  }

  @Test func trainingThatMovesScalesIsNot() {
    #expect(sparsityRemark([scales(lower: 0.7), scales(lower: 0.5)], rate: 0.01) == nil)
    #expect(sparsityRemark([scales(lower: 0.7), scales(lower: 0.7, nearZero: 0.05)], rate: 0.01) == nil)
    #expect(sparsityRemark([scales(lower: 0.7)], rate: 0.01) == nil)
  }
}
