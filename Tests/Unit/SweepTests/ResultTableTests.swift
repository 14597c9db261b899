import JSON
import Sweep
import Testing

func exampleTable() -> ResultTable {
  func row(_ name: String, _ backbone: String, _ ratio: Double, _ metrics: [String: Double]) -> ResultTable.Row {
    ResultTable.Row(
      trial: TrialID(name),
      point: [
        "backbone": .string(backbone), "optimizer": .string("SGD"), "seed": .int(0), "sparsity_rate": .double(0.0001),
        "prune_ratio": .double(ratio),
      ], metrics: metrics, state: metrics.isEmpty ? .running : .done)
  }
  return ResultTable(
    sweep: SweepID("campus-1f3a9c04"), objectives: [Objective(.maximize, .map50), Objective(.minimize, .sizeMB)],
    rows: [
      row("aa", "yolov5n", 0, ["map50": 0.884, "size_mb": 3.9, "parameters": 1_765_930]),
      row("bb", "yolov5n", 0.5, ["map50": 0.871, "size_mb": 1.5, "parameters": 702_113]),
      row("cc", "mobilenetv2", 0, ["map50": 0.86, "size_mb": 5.25, "parameters": 2_500_000]),
      row("dd", "mobilenetv2", 0.5, [:]),
    ])
}

struct ResultTableTests {
  @Test func whatToLookAtFirstIsSaidInWords() {
    #expect(
      exampleTable().advice == [
        "best map50: aa (yolov5n): map50 0.884, size_mb 3.90",
        "best at half its size_mb: bb (yolov5n pruned by 0.5): map50 0.871, size_mb 1.50 (62 % less for 0.013)",
      ])
    let byAccuracyAlone = exampleTable().judged(by: [Objective(.maximize, .map50)])
    #expect(byAccuracyAlone.advice.isEmpty)
  }

  @Test func theTerminalShowsAlignedColumnsBestFirst() {
    #expect(
      exampleTable().terminalText == """
        front  trial  backbone     prune_ratio  map50  size_mb  parameters  state
        *      aa     yolov5n                0  0.884     3.90     1765930  done
        *      bb     yolov5n              0.5  0.871     1.50      702113  done
               cc     mobilenetv2            0  0.860     5.25     2500000  done
               dd     mobilenetv2          0.5      -        -           -  running

        """)
  }

  @Test func markdownIsTheSameTable() {
    let lines = exampleTable().markdown.split(separator: "\n")
    #expect(lines[0] == "| front | trial | backbone | prune_ratio | map50 | size_mb | parameters | state |")
    #expect(lines[1] == "| :-- | :-- | :-- | --: | --: | --: | --: | :-- |")
    #expect(lines[3] == "| * | bb | yolov5n | 0.5 | 0.871 | 1.50 | 702113 | done |")
  }

  @Test func csvHasEverythingAtFullPrecision() {
    let lines = exampleTable().csv.split(separator: "\r\n")
    #expect(
      lines[0]
        == "trial,backbone,optimizer,seed,sparsity_rate,prune_ratio,map50,size_mb,parameters,on_front,state")
    #expect(lines[1] == "aa,yolov5n,SGD,0,0.0001,0,0.884,3.9,1765930.0,true,done")
    #expect(lines[4] == "dd,mobilenetv2,SGD,0,0.0001,0.5,,,,false,running")
  }

  @Test func jsonIsAListOfFlatObjects() {
    guard case .array(let rows) = exampleTable().plainValue, case .object(let first) = rows[0] else {
      Issue.record("no list")
      return
    }
    #expect(rows.count == 4)
    #expect(first["trial"] == .string("aa"))
    #expect(first["on_front"] == .bool(true))
    #expect(first["map50"] == .double(0.884))
    #expect(first["prune_ratio"] == .double(0))
    #expect(exampleTable().json.hasPrefix("[{\"backbone\":\"yolov5n\",\"map50\":0.884,"))
  }

  /// A finished trial without a value is neither on the front nor beaten, in the table as in the files and the plot.
  @Test func aMissingValueIsTold() throws {
    var rows = exampleTable().rows
    for index in rows.indices where rows[index].trial.name != "bb" { rows[index].metrics["energy_j"] = 2 }
    rows[0].metrics["map50"] = .nan
    let objectives = [Objective(.maximize, .map50), Objective(.minimize, .energyJ)]
    let table = ResultTable(sweep: SweepID("campus"), objectives: objectives, rows: rows)
    #expect(table.front.map(\.trial.name) == ["cc"])
    let text = table.terminalText
    #expect(text.contains("\n?      aa") && text.contains("\n?      bb") && text.contains("\n*      cc"))
    #expect(text.contains("? 1 of 3 finished trials have no map50"))
    #expect(text.contains("? 1 of 3 finished trials have no energy_j"))
    #expect(text.contains("'greensweep pareto campus --without energy_j' judges by the other objectives"))
    #expect(table.markdown.contains("1 of 3 finished trials have no energy_j"))
    #expect(table.csv.contains("bb,yolov5n,SGD,0,0.0001,0.5,0.871,,702113.0,1.5,,done"))
    guard case .array(let members) = table.plainValue else { return }
    let unjudged = members.filter { if case .object(let row) = $0 { row["on_front"] == .null } else { false } }
    #expect(unjudged.count == 2)
    #expect(table.svg.contains("not judged: 2 finished trials"))
    #expect(exampleTable().notes.isEmpty)
  }

  /// With more objectives than axes the plot marks those that the table marks.
  @Test func thePlotHasTheTablesFront() {
    var rows = exampleTable().rows
    for (index, energy) in [3.0, 2, 1].enumerated() { rows[index].metrics["energy_j"] = energy }
    let objectives = exampleTable().objectives + [Objective(.minimize, .energyJ)]
    let table = ResultTable(sweep: SweepID("campus"), objectives: objectives, rows: rows)
    #expect(table.front.count == 3)
    // Three points, all of them again in the legend.
    #expect(table.svg.split(separator: "<circle").count - 1 == 6)
  }

  @Test func otherObjectivesMoveTheFront() {
    let table = exampleTable().judged(by: [Objective(.minimize, .sizeMB)])
    #expect(table.rows.map(\.trial.name) == ["bb", "aa", "cc", "dd"])
    #expect(table.front.map(\.trial.name) == ["bb"])
  }

  @Test func thePlotShowsEveryMeasuredTrial() {
    let svg = FrontPlot(exampleTable(), x: Objective(.minimize, .sizeMB), y: Objective(.maximize, .map50)).svg
    #expect(svg.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\""))
    // Three points, and two of them again in the legend.
    #expect(svg.split(separator: "<circle").count - 1 == 5)
    #expect(svg.contains("better ← size (MB)"))
    #expect(svg.contains(">campus-1f3a9c04<"))
  }

  @Test func aPlotOfNothingIsStillAPlot() {
    let table = ResultTable(sweep: SweepID("empty & <odd>"), objectives: [], rows: [])
    let svg = FrontPlot(table, x: Objective(.minimize, .sizeMB), y: Objective(.maximize, .map50)).svg
    #expect(svg.contains("nothing measured yet"))
    #expect(svg.contains("empty &amp; &lt;odd&gt;"))
  }
}
