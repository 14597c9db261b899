import JSON
import Testing

@testable import Sweep

/// Sweeps with several seeds: one row per configuration, and a front of means.
struct SeedsTests {
  private let objectives = [Objective(.maximize, .map50), Objective(.minimize, .sizeMB)]

  /// A trial for each value of mAP50, seeds from 0.
  private func trials(_ backbone: String, size: Double, _ accuracies: [Double?]) -> [ResultTable.Row] {
    accuracies.enumerated().map { seed, accuracy in
      var metrics = ["size_mb": size]
      metrics["map50"] = accuracy
      return ResultTable.Row(
        trial: TrialID("\(backbone)\(seed)"),
        point: ["backbone": .string(backbone), "seed": .int(seed), "prune_ratio": .double(0)], metrics: metrics,
        state: accuracy == nil ? .failed : .done)
    }
  }

  private func table(_ rows: [ResultTable.Row]...) -> ResultTable {
    ResultTable(sweep: SweepID("campus"), objectives: objectives, rows: rows.flatMap { $0 })
  }

  @Test func aConfigurationHasTheMeanOfItsSeedsAndTheirDeviation() throws {
    let table = table(trials("a", size: 4, [0.70, 0.72, 0.77]), trials("b", size: 2, [0.5, 0.5, 0.5])).averaged
    #expect(table.rows.map(\.trial.name) == ["a1", "b0"])  // 0.72 is nearest to 0.73.
    let row = table.rows[0]
    #expect(abs(row.metrics["map50"]! - 0.73) < 1e-12)
    // Squares of -0.03, -0.01, 0.04 add up to 0.0026.
    #expect(abs(row.seeds!.deviations["map50"]! - (0.0026 / 2).squareRoot()) < 1e-12)
    #expect(row.seeds?.deviations["size_mb"] == 0)
    #expect(table.rows[1].metrics["map50"] == 0.5)
    #expect(
      table.terminalText == """
        front  trial  backbone  seeds         map50  size_mb  state
        *      a1     a             3  0.730 ±0.036     4.00  done
        *      b0     b             3         0.500     2.00  done

        """)
  }

  /// A single trial with luck beats a mean, but not on the front of means.
  @Test func theFrontIsThatOfMeans() {
    let table = table(
      trials("steady", size: 2, [0.80, 0.801, 0.802]), trials("lucky", size: 4, [0.60, 0.70, 0.85]))
    #expect(table.averaged.front.map(\.trial.name) == ["steady1"])
    #expect(Set(table.front.map(\.trial.name)) == ["steady0", "steady1", "steady2"])
  }

  @Test func trialsWithoutAValueAreNotCounted() {
    let table = table(trials("a", size: 4, [0.7, nil, 0.8]), trials("b", size: 2, [nil, nil, nil]))
    let rows = table.averaged.rows
    #expect(rows.map { table.averaged.seedText(of: $0) } == ["2 of 3", "3"])
    #expect(abs(rows[0].metrics["map50"]! - 0.75) < 1e-12)
    #expect(rows.map(\.state) == [.failed, .failed])
    #expect(rows.map { table.averaged.mark(of: $0) } == ["*", "?"])
    #expect(table.rows.filter(\.isOnFront).map(\.trial.name).sorted() == ["a0", "a2"])
  }

  /// The larger model is better by less than seeds differ: the smaller one may be as good.
  @Test func placesWithinTheNoiseAreTies() {
    let noisy = table(trials("big", size: 4, [0.70, 0.74, 0.78]), trials("small", size: 2, [0.69, 0.73, 0.77])).averaged
    #expect(noisy.rows.map { noisy.mark(of: $0) } == ["*~", "*"])
    #expect(noisy.rows[0].ties == [TrialID("small1")])
    #expect(noisy.notes == ["~ on the front, or off it, by less than the noise of the seeds: big1 with small1"])
    let clear = table(
      trials("big", size: 4, [0.840, 0.841, 0.842]), trials("small", size: 2, [0.690, 0.691, 0.692])
    ).averaged
    #expect(clear.rows.allSatisfy { $0.ties == nil })
    // Off the front by chance: as large as the best, and hardly worse.
    let twin = table(trials("best", size: 4, [0.70, 0.74, 0.78]), trials("twin", size: 4, [0.69, 0.73, 0.77])).averaged
    #expect(twin.rows.map { twin.mark(of: $0) } == ["*", "~"])
    #expect(twin.rows[1].ties == [TrialID("best1")])
    #expect(twin.svg.contains("stroke-dasharray=\"2 2\"") && twin.svg.contains("bars of one standard deviation"))
  }

  /// Just below and just above the tabulated quantiles of Student's distribution.
  @Test func theNoiseIsWelchs() {
    #expect(isDifference(1.0, beyondNoiseOf: (0, 3), (0, 3)))
    #expect(!isDifference(0, beyondNoiseOf: (0, 3), (0, 3)))
    // Equal deviations and numbers: 2n - 2 degrees of freedom; for three seeds 4, where the quantile is 2.776.
    let error = (2.0 / 3).squareRoot()
    #expect(isDifference(2.777 * error, beyondNoiseOf: (1, 3), (1, 3)))
    #expect(!isDifference(2.775 * error, beyondNoiseOf: (1, 3), (1, 3)))
    // One side without noise: n - 1 degrees of freedom of the other; for two seeds 1, where the quantile is 12.706.
    #expect(isDifference(-12.71 * 0.5.squareRoot(), beyondNoiseOf: (1, 2), (0, 2)))
    #expect(!isDifference(-12.70 * 0.5.squareRoot(), beyondNoiseOf: (1, 2), (0, 2)))
    // A thousand seeds: nearly the normal distribution.
    #expect(isDifference(1.961 * 0.002.squareRoot(), beyondNoiseOf: (1, 1000), (1, 1000)) == false)
    #expect(isDifference(1.963 * 0.002.squareRoot(), beyondNoiseOf: (1, 1000), (1, 1000)))
  }

  @Test func filesHaveTheTrialsAndTheMeans() {
    let table = table(trials("a", size: 4, [0.5, 0.75]), trials("b", size: 2, [0.25, 0.25]))
    let lines = table.csv.split(separator: "\r\n")
    #expect(
      lines[0]
        == "trial,backbone,optimizer,seed,sparsity_rate,prune_ratio,map50,size_mb,on_front,state,configuration,"
        + "seeds,is_tied,map50_mean,map50_deviation,size_mb_mean,size_mb_deviation")
    #expect(lines[1].hasPrefix("a1,a,null,1,null,0,0.75,4.0,true,done,a0,2,true,0.625,0.17677"))
    #expect(lines[1].hasSuffix(",4.0,0.0"))
    guard case .array(let rows) = table.plainValue, case .object(let first) = rows[0] else { return }
    #expect(rows.count == 4 && first["seed"] == .int(1) && first["map50"] == .double(0.75))
    #expect(first["map50_mean"] == .double(0.625) && first["seeds"] == .int(2))
  }

  /// Without a second seed nothing looks different from a sweep that knows no seeds.
  @Test func oneSeedHasNoMeans() {
    let table = table(trials("a", size: 4, [0.5]), trials("b", size: 2, [0.25]))
    #expect(table.averaged == table && !table.hasSeeds)
    #expect(table.csv.split(separator: "\r\n")[0].hasSuffix("on_front,state"))
  }

  @Test func averagingTwiceChangesNothing() {
    let table = table(trials("a", size: 4, [0.5, 0.75]), trials("b", size: 2, [0.25, nil]))
    #expect(table.averaged.averaged == table.averaged)
    #expect(table.averaged.judged(by: objectives) == table.averaged)
    #expect(table.averaged.measured == table.averaged)
  }
}

/// The size of a front and its points with names.
struct LandmarkTests {
  private let objectives = [Objective(.maximize, .map50), Objective(.minimize, .sizeMB)]

  @Test func theHypervolumeIsTheShareOfTheBox() {
    // One best in everything: the whole box.
    #expect(ParetoFront.hypervolume(of: [[0.9, 1], [0.5, 2]], objectives: objectives) == 1)
    // Two corners: strips of 0.1 beside each other in a box of 1.1, which share a square.
    let corners = ParetoFront.hypervolume(of: [[0.9, 2], [0.5, 1]], objectives: objectives)!
    #expect(abs(corners - (0.11 + 0.11 - 0.01) / 1.21) < 1e-12)
    #expect(ParetoFront.hypervolume(of: [], objectives: objectives) == nil)
    #expect(ParetoFront.hypervolume(of: [[0.5, 1], [0.5, 1]], objectives: objectives) == 1)
  }

  /// Against counting random points, in three and four dimensions.
  @Test(arguments: [3, 4]) func theHypervolumeAgreesWithCounting(dimensions: Int) throws {
    var state: UInt64 = 7
    func draw() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 11) / Double(1 << 53)
    }
    let objectives = Array(repeating: Objective(.minimize, .sizeMB), count: dimensions)
    let ends = [Array(repeating: 0.0, count: dimensions), Array(repeating: 1.0, count: dimensions)]
    var points = (0..<12).map { _ in (0..<dimensions).map { _ in draw() } }
    // The corners of the box, each extreme in one objective, fix the scale.
    for axis in 0..<dimensions { points.append((0..<dimensions).map { $0 == axis ? ends[0][0] : ends[1][0] }) }
    let volume = try #require(ParetoFront.hypervolume(of: points, objectives: objectives))
    var hits = 0
    let draws = 200_000
    for _ in 0..<draws {
      let sample = (0..<dimensions).map { _ in draw() * 1.1 }
      if points.contains(where: { zip($0, sample).allSatisfy { $0 <= $1 } }) { hits += 1 }
    }
    #expect(abs(volume - Double(hits) / Double(draws)) < 0.005)
  }

  @Test func theKneeIsNearestToTheBestValues() {
    let front: [[Double]] = [[0.9, 10], [0.85, 3], [0.5, 1]]
    #expect(ParetoFront.knee(of: front, objectives: objectives) == 1)
    #expect(ParetoFront.knee(of: [[0.9, 10], [0.5, 1]], objectives: objectives) == 0)
    #expect(ParetoFront.knee(of: [], objectives: objectives) == nil)
  }

  @Test func pointsOfTheFrontHaveNames() {
    let table = exampleTable()
    #expect(table.row(at: .best)?.trial.name == "aa" && table.row(at: .smallest)?.trial.name == "bb")
    #expect(table.frontSummary?.hasPrefix("front: 2 of 4 trials, hypervolume 0.") == true)
    #expect(table.frontSummary?.hasSuffix("@best aa, @knee aa, @smallest bb") == true)
    guard case .array(let rows) = table.plainValue else { return }
    let places = rows.map { row -> PlainValue in
      guard case .object(let members) = row else { return .null }
      return members["places"] ?? .null
    }
    let expected = [["best", "knee"], ["smallest"], [], []].map { PlainValue.array($0.map { .string($0) }) }
    #expect(places == expected)
    let nothing = ResultTable(sweep: SweepID("empty"), objectives: objectives, rows: [])
    #expect(nothing.row(at: .knee) == nil && nothing.row(at: .best) == nil && nothing.frontSummary == nil)
  }
}

/// Values that can be had in several ways.
struct MetricKindTests {
  private func table(_ kinds: [String?]) -> ResultTable {
    let rows = kinds.enumerated().map { index, kind in
      var row = ResultTable.Row(
        trial: TrialID("t\(index)"), point: ["backbone": .string("b\(index)")],
        metrics: ["map50": 0.5 + Double(index) / 10, "energy_j": 2 + Double(index)], state: .done)
      row.kinds = kind.map { ["energy_j": $0] }
      return row
    }
    return ResultTable(
      sweep: SweepID("campus"), objectives: [Objective(.maximize, .map50), Objective(.minimize, .energyJ)], rows: rows)
  }

  @Test func theKindStandsBesideTheFigure() {
    let table = table(["modelled", "modelled"])
    #expect(table.terminalText.contains("3.00 modelled  done"))
    #expect(table.csv.split(separator: "\r\n")[0].hasSuffix("on_front,state,energy_j_kind"))
    #expect(table.csv.contains("true,done,modelled"))
    #expect(table.json.contains("\"energy_j_kind\":\"modelled\""))
    #expect(table.svg.contains("better ← energy (J), modelled"))
    // A value without a kind, or with one that only a newer program knows, is unknown.
    #expect(self.table([nil]).terminalText.contains("2.00 unknown"))
    #expect(self.table(["guessed"]).terminalText.contains("2.00 unknown"))
  }

  /// Row 2 would be on the front, but its energy is of another kind.
  @Test func aFrontNeverMixesKinds() {
    let table = table(["measured", "measured", "modelled"])
    #expect(table.front.map(\.trial.name).sorted() == ["t0", "t1"])
    #expect(table.notes.count == 1)
    #expect(
      table.notes[0].hasPrefix(
        "? 1 of 3 finished trials have no energy_j to compare (t2), as theirs is modelled, that of most others measured"
      ))
    #expect(table.judged(by: [Objective(.maximize, .map50)]).front.map(\.trial.name) == ["t2"])
    #expect(table.judged(by: table.objectives) == table)
  }
}

/// Latencies of one host at different speeds.
struct HostDriftTests {
  private func rows(_ figures: [(latency: Double, reference: Double?)]) -> [ResultTable.Row] {
    figures.enumerated().map { index, figures in
      var metrics = ["map50": 0.5, "latency_ms": figures.latency, "latency_p95_ms": 2 * figures.latency]
      metrics["reference_ms"] = figures.reference
      return ResultTable.Row(trial: TrialID("t\(index)"), point: [:], metrics: metrics, state: .done)
    }
  }

  /// The second was measured while the host was slower by a quarter.
  @Test func latenciesAreBroughtToOneSpeed() {
    var rows = rows([(10, 0.4), (10, 0.5), (8, 0.4)])
    rows.correctDrift()
    #expect(rows.map { $0.metrics["latency_ms"]! } == [10, 8, 8])
    #expect(rows.map { $0.metrics["latency_p95_ms"]! } == [20, 16, 16])
    #expect(rows[1].metrics["latency_uncorrected_ms"] == 10)
    let objectives = [Objective(.maximize, .map50), Objective(.minimize, .latencyMS)]
    let table = ResultTable(sweep: SweepID("campus"), objectives: objectives, rows: rows)
    #expect(table.front.map(\.trial.name) == ["t1", "t2"])
    #expect(table.notes == ["the host's speed changed by 25 % between benchmarks; the latencies are corrected for it"])
  }

  /// Results of older versions have no reference.
  @Test func withoutReferencesNothingIsCorrected() {
    var rows = rows([(10, 0.4), (10, nil)])
    rows.correctDrift()
    #expect(rows.map { $0.metrics["latency_ms"]! } == [10, 10])
    #expect(rows[0].metrics["latency_uncorrected_ms"] == nil)
  }

  @Test func busyHostsAndScatteredPassesAreNamed() {
    var rows = rows([(10, 0.4), (11, 0.4)])
    rows[0].metrics["others_processors"] = 1.5
    rows[1].metrics["latency_spread"] = 0.08
    let latency = ResultTable(sweep: SweepID("campus"), objectives: [Objective(.minimize, .latencyMS)], rows: rows)
    #expect(
      latency.notes == ["! measured while others used the host: t0", "! latencies that did not repeat within 3 %: t1"])
    #expect(latency.judged(by: [Objective(.maximize, .map50)]).notes.isEmpty)
  }
}
