import Compute
import Dataset
import Evaluation
import Foundation
import Interchange
import Network
import Platform
import Plotting
import Pruning
import Settings
import Wording

/// How much accuracy a model loses when one layer after the other is pruned, all else left whole and nothing trained:
/// `prune --sensitivity`.
public struct SensitivityRequest: Sendable, Hashable {
  public var model: String
  /// A YOLOv5 `data.yaml`; accuracy is measured on its validation split, the Taylor importance on its training split.
  public var dataset: String
  public var imageSize: Int
  public var importance: Importance
  public var machine: Machine
  public var outputDirectory: String
  /// Shares of a layer's channels, ascending.
  public var ratios = [0.2, 0.4, 0.6, 0.8]
  /// The most images that accuracy is measured on.
  public var imageLimit = 128

  public init(
    model: String, dataset: String, imageSize: Int, importance: Importance = .taylor, machine: Machine,
    outputDirectory: String
  ) {
    self.model = model
    self.dataset = dataset
    self.imageSize = imageSize
    self.importance = importance
    self.machine = machine
    self.outputDirectory = outputDirectory
  }

  /// The files that are written.
  var outputs: [String] { ["sensitivity.csv", "sensitivity.svg"].map(output) }
  private func output(_ name: String) -> String { URL(filePath: outputDirectory).appending(path: name).relativePath }
}

public struct SensitivityReport: Sendable, Hashable, Codable {
  /// Batch norms whose channels go together.
  public struct Layer: Sendable, Hashable, Codable {
    public var batchNorms: [String]
    /// Units of tied channels.
    public var channels: Int
    /// At each of the report's ratios.
    public var map50: [Double]

    enum CodingKeys: String, CodingKey {
      case channels, map50
      case batchNorms = "batch_norms"
    }

    /// For people: the first batch norm, and how many others are tied to it.
    public var name: String { batchNorms[0] + (batchNorms.count > 1 ? " and \(batchNorms.count - 1) more" : "") }
  }

  public var images: Int
  /// The accuracy of the whole model.
  public var map50: Double
  public var ratios: [Double]
  /// In execution order.
  public var layers: [Layer]
  public var files: [String]
}

/// Measures layer by layer, and writes a table and a picture.
/// - Parameter onProgress: called after each measurement with those done so far and their total.
public func sensitivity(
  _ request: SensitivityRequest, checking check: ImageCheck? = nil, onProgress: (_ done: Int, _ total: Int) -> Void
) throws -> SensitivityReport {
  let model = try Model.read(request.model)
  let description = try DatasetDescription.load(request.dataset)
  guard model.network.detect.classCount == description.classCount else {
    throw PipelineError(
      "\(request.model) detects \(counted(model.network.detect.classCount, "class")), "
        + "the data set has \(description.classCount)")
  }
  let stride = model.network.detect.strides.max() ?? 32
  try requireImageSize(request.imageSize, stride: stride)
  try refuseOverwriting(request.outputs, ofInputs: [request.model] + description.files())
  let all = try description.contents(of: .val, checking: check).images
  let count = min(all.count, request.imageLimit)
  var options = ValidationLoader.Options(imageSize: request.imageSize, batchSize: 32)
  options.stride = stride
  options.workers = max(1, request.machine.threads / 2)
  let loader = ValidationLoader(images: (0..<count).map { all[$0 * all.count / count] }, options: options)
  let runtime = try request.machine.runtime()
  func map50(_ parameters: Parameters) throws -> Double {
    var evaluator = try Evaluator(model.network, parameters, runtime: runtime)
    return try evaluator.evaluate(loader).metrics.map50
  }
  let measurement = TaylorMeasurement(
    dataset: request.dataset, imageSize: request.imageSize, machine: request.machine)
  let ranking = try ChannelRanking(
    model.network, model.parameters, PruningMethod(.grouped, importance: request.importance),
    taylor: request.importance == .taylor ? try measurement.scores(model) : nil)
  let groups = ranking.groups
  let total = 1 + groups.count * request.ratios.count
  var report = SensitivityReport(
    images: count, map50: try map50(model.parameters), ratios: request.ratios, layers: [], files: request.outputs)
  onProgress(1, total)
  for (index, (group, channels)) in zip(groups, ranking.unitCounts).enumerated() {
    var layer = SensitivityReport.Layer(batchNorms: group, channels: channels, map50: [])
    for (step, ratio) in request.ratios.enumerated() {
      let plan = try ranking.plan(cutting: ratio, ofGroup: index)
      // Zero scales and shifts compute what the network without the channels computes.
      layer.map50.append(
        plan.cutUnitCount == 0 ? report.map50 : try map50(plan.masked(model.parameters)))
      onProgress(2 + index * request.ratios.count + step, total)
    }
    report.layers.append(layer)
  }
  try makeFolder(request.outputDirectory)
  for (text, path) in zip([report.csv, report.svg], request.outputs) { try writeText(text, to: path) }
  return report
}

extension SensitivityReport {
  /// A line for each layer and ratio.
  var csv: String {
    let rows = layers.flatMap { layer in
      zip(ratios, layer.map50).map { ratio, map50 in
        "\(layer.batchNorms.joined(separator: " ")),\(layer.channels),\(ratio),\(map50)\n"
      }
    }
    return "layers,channels,ratio,map50\n" + rows.joined()
  }

  /// A row for each layer, a column for each ratio: the darker, the more accuracy is lost.
  var svg: String {
    let (cellWidth, cellHeight, top) = (80.0, 20.0, 76.0)
    let left = 40 + 8 * Double(min(layers.map(\.name.count).max() ?? 0, 48))
    var svg = SVG(
      width: left + cellWidth * Double(ratios.count) + 24, height: top + cellHeight * Double(layers.count) + 24)
    svg.heading("mAP50 when a layer alone is pruned", 16, 26)
    svg.text("whole: \(fixed(map50, decimals: 3)), \(counted(images, "image"))", 16, 46, "class=\"dim\"")
    for (column, ratio) in ratios.enumerated() {
      let middle = left + (Double(column) + 0.5) * cellWidth
      svg.text("\(pixels(ratio * 100)) %", middle, top - 10, "text-anchor=\"middle\" class=\"dim\"")
    }
    for (row, layer) in layers.enumerated() {
      let y = top + Double(row) * cellHeight
      svg.text(layer.name, left - 10, y + 14.5, "text-anchor=\"end\" font-size=\"12\"")
      for (column, value) in layer.map50.enumerated() {
        let x = left + Double(column) * cellWidth
        let loss = map50 > 0 ? min(max(1 - value / map50, 0), 1) : 0
        svg.rectangle(
          x, y, width: cellWidth, height: cellHeight,
          title: "\(layer.batchNorms.joined(separator: ", ")), \(counted(layer.channels, "channel"))",
          "class=\"heat\" fill-opacity=\"\(fixed(0.04 + 0.96 * loss, decimals: 3))\"")
        svg.text(
          fixed(value, decimals: 3), x + cellWidth / 2, y + 14.5,
          "text-anchor=\"middle\" font-size=\"12\"" + (loss > 0.5 ? " class=\"on-heat\"" : ""))
      }
    }
    return svg.document
  }
}
