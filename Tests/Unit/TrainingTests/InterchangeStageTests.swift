import Foundation
import Interchange
import Network
import Pipeline
import Testing

/// `import` and `export` as the command line calls them.
@Suite("Import and export")
struct InterchangeStageTests {
  let folder = FileManager.default.temporaryDirectory.appending(path: "interchange-\(UUID().uuidString)")

  init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

  private func path(_ name: String) -> String { folder.appending(path: name).path }

  @Test func importedWeightsAreAModel() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    try "names: [red, blue]\ntrain: .\n".write(toFile: path("data.yaml"), atomically: true, encoding: .utf8)
    let request = ImportRequest(
      model: "yolov5n", classCount: 2, dataset: path("data.yaml"), output: path("a.safetensors"))
    #expect(try importModel(request).parameters == 1_766_623)
    var half = request
    half.model = path("a.safetensors")
    half.output = path("b.safetensors")
    half.isHalfPrecision = true
    _ = try importModel(half)
    let (whole, halved) = (try ModelFile.read(path("a.safetensors")), try ModelFile.read(path("b.safetensors")))
    #expect(whole.classNames == ["red", "blue"] && halved.classNames == ["red", "blue"])
    #expect(whole.network == halved.network && whole.parameters != halved.parameters)

    half.classCount = 80
    half.model = "yolov5n"
    let error = #expect(throws: PipelineError.self) { try importModel(half) }
    #expect(error.map { "\($0)".contains("names 2") } == true)
  }

  /// The decoded sample follows from the raw one by `Detect`'s formulas, box by box.
  @Test func samplesHaveTheFilesLayout() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let model = path("m.safetensors")
    _ = try importModel(ImportRequest(model: "yolov5n", classCount: 3, output: model))
    func sample(_ head: ONNXModel.Options.Head) throws -> [String: Tensor] {
      let options = ONNXModel.Options(imageHeight: 64, imageWidth: 64, batch: .dynamic, head: head)
      _ = try export(ExportRequest(model: model, output: path("m.onnx"), options: options, sample: path("s")))
      return try Safetensors.read(path("s")).tensors.mapValues(\.tensor)
    }
    let (raw, decoded) = (try sample(.raw), try sample(.decoded))
    #expect(raw["images"] == decoded["images"] && raw["images"]?.shape == [2, 3, 64, 64])
    let output = try #require(decoded["output"])
    #expect(output.shape == [2, 252, 8])
    let anchors = try ModelFile.read(model).network.detect.anchors
    var row = 0
    for image in 0..<2 {
      for level in 0..<3 {
        let head = try #require(raw["head\(level)"])
        let side = 8 >> level
        #expect(head.shape == [2, 3, side, side, 8])
        for anchor in 0..<3 {
          for cell in 0..<side * side {
            let start = (((image * 3 + anchor) * side * side) + cell) * 8
            let sigmoids = head.values[start..<start + 8].map { 1 / (1 + exp(-Double($0))) }
            let stride = Double(8 << level)
            let expected =
              [
                (2 * sigmoids[0] - 0.5 + Double(cell % side)) * stride,
                (2 * sigmoids[1] - 0.5 + Double(cell / side)) * stride,
                4 * sigmoids[2] * sigmoids[2] * Double(anchors[level][anchor].width),
                4 * sigmoids[3] * sigmoids[3] * Double(anchors[level][anchor].height),
              ] + sigmoids[4...]
            let actual = output.values[(row * 8)..<(row * 8 + 8)]
            #expect(zip(actual, expected).allSatisfy { abs(Double($0) - $1) < 1e-3 }, "row \(row)")
            row += 1
          }
        }
      }
    }
  }
}
