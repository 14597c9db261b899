import Dataset
import Foundation
import Interchange
import Network
import Pipeline
import Testing
import Training
import Zoo

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

  /// The names of `data.yaml` win, and what the weights call their classes is told where it differs.
  @Test func namesOfADataSetWin() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    try "names: [red, blue]\ntrain: .\n".write(toFile: path("data.yaml"), atomically: true, encoding: .utf8)
    let network = try Zoo.network(named: "yolov5n", classCount: 2)
    var content = try ModelFile(
      network: network, parameters: network.initialParameters(seed: 1), classNames: ["r", "b"]
    ).encoded()
    content.metadata["network"] = nil
    for (names, note) in [
      (#"["red", "blue"]"#, nil), (#"["r", "b"]"#, "says r, b"), (#"["r"]"#, "has 1 class name for 2 classes"),
      (#"{"1": "r", "2": "b"}"#, "counts its class names from 1"), (nil, nil),
    ] {
      content.metadata["class_names"] = names
      try Safetensors.write(content, to: path("w.safetensors"))
      var notes: [String] = []
      _ = try importModel(
        ImportRequest(model: path("w.safetensors"), dataset: path("data.yaml"), output: path("m.safetensors")),
        onNote: { notes.append($0) })
      #expect(try ModelFile.read(path("m.safetensors")).classNames == ["red", "blue"])
      #expect(notes.count == (note == nil ? 0 : 1) && note.map { notes[0].contains($0) } ?? true, "\(notes)")
    }
  }

  /// A network that no family is, such as one of four levels, is told by its model file.
  @Test func weightsOfAModelFile() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let architecture = Architecture(.family("yolov5n"), width: 0.5)
    let network = try architecture.network(classCount: 3)
    var content = try ModelFile(
      network: network, parameters: network.initialParameters(seed: 1), classNames: ["a", "b", "c"]
    ).encoded()
    content.metadata = [:]
    try Safetensors.write(content, to: path("w.safetensors"))
    var request = ImportRequest(model: path("w.safetensors"), output: path("m.safetensors"))
    let error = #expect(throws: InterchangeError.self) { try importModel(request) }
    #expect(error?.reason.contains("import FILE --cfg MODEL.yaml") == true)
    request.architecture = architecture
    _ = try importModel(request)
    #expect(try ModelFile.read(path("m.safetensors")).network == network)
    request.architecture = Architecture(.family("yolov5n"))
    let misfit = #expect(throws: InterchangeError.self) { try importModel(request) }
    #expect(misfit?.reason.contains("model.0.conv.weight has shape [8, 3, 6, 6], expected [16, 3, 6, 6]") == true)
  }

  /// How much of given weights a run begins with is told; weights of another network are no beginning.
  @Test func runsTellHowMuchOfGivenWeightsFits() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    var sample = SampleDataset()
    (sample.trainCount, sample.valCount, sample.imageSize) = (2, 1, 64)
    let data = try sample.write(to: path("data"))
    func run(_ weights: Architecture, classCount: Int) throws -> (TrainResult, [String]) {
      let network = try weights.network(classCount: classCount)
      try ModelFile(
        network: network, parameters: network.initialParameters(seed: 2), classNames: (0..<classCount).map { "\($0)" }
      ).write(to: path("w.safetensors"))
      try FileManager.default.createDirectory(atPath: path("run"), withIntermediateDirectories: true)
      let request = TrainRequest(
        start: .new(Architecture(.family("yolov5n"), width: 0.5), weights: path("w.safetensors")), dataset: data,
        configuration: TrainingConfiguration(epochs: 1, batchSize: 2, imageSize: 64, fitsAnchors: false),
        outputDirectory: path("run"), machine: Machine(threads: 1), checkpointInterval: 0)
      var remarks: [String] = []
      let result = try train(request) { if case .remark(let text) = $0 { remarks.append(text) } }
      return (result, remarks)
    }
    let (result, remarks) = try run(Architecture(.family("yolov5n"), width: 0.5), classCount: 80)
    #expect(result.transferredTensors == 342 && result.totalTensors == 349)
    #expect(remarks.count == 1 && result.remarks == remarks)
    #expect(remarks.first?.contains("w.safetensors: 342 of 349 tensors fit, with 9") == true, "\(remarks)")

    let error = #expect(throws: PipelineError.self) { try run(Architecture(.family("yolov5n")), classCount: 80) }
    for part in ["no layer of yolov5n-w0.5 can begin", "16×3×6×6, not 8×3×6×6", "give it as --model"] {
      #expect(error.map { "\($0)".contains(part) } == true, "\(String(describing: error))")
    }
  }

  /// torchvision's layout of MobileNetV2, of half its width.
  @Test func aNetworkBeginsWithAClassifiersBackbone() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let network = try Architecture(.family("mobilenetv2"), width: 0.5).network(classCount: 2)
    var content = SafetensorsFile()
    for spec in network.parameterSpecs where spec.role != .anchors {
      let layer = Int(spec.name.split(separator: ".")[1])!
      guard layer < 18 else { continue }
      let name = spec.name.replacingOccurrences(of: "model.0.conv.", with: "model.0.0.")
        .replacingOccurrences(of: "model.0.bn.", with: "model.0.1.")
      let tensor = Tensor(shape: spec.shape, repeating: 0.25)
      content.tensors["features" + name.dropFirst(5)] = StoredTensor(tensor, as: .float32)
    }
    content.tensors["classifier.1.weight"] = StoredTensor(Tensor(shape: [3, 640]), as: .float32)
    try Safetensors.write(content, to: path("c.safetensors"))

    var request = ImportRequest(
      model: "mobilenetv2-w0.5", classCount: 2, weights: path("c.safetensors"), output: path("m.safetensors"))
    var notes: [String] = []
    _ = try importModel(request) { notes.append($0) }
    #expect(notes.count == 1)
    for part in [
      "c.safetensors: 100.0 % of the backbone's parameters are those of torchvision's mobilenet_v2",
      "the first activation is SiLU here and ReLU6 there", "1 of the file have no place here",
    ] {
      #expect(notes.first?.contains(part) == true, "\(notes)")
    }
    #expect(
      try ModelFile.read(path("m.safetensors")).parameters["model.17.conv.2.weight"]?.values.allSatisfy { $0 == 0.25 }
        == true)

    request.model = "mobilenetv2"
    let error = #expect(throws: PipelineError.self) { try importModel(request) }
    #expect(error?.message.contains("no layer of mobilenetv2 can begin with these weights, taken for") == true)
    content.tensors = content.tensors.filter { name, _ in name.hasPrefix("features.0.") }
    try Safetensors.write(content, to: path("c.safetensors"))
    request.model = "mobilenetv2-w0.5"
    let stem = #expect(throws: PipelineError.self) { try importModel(request) }
    #expect(stem?.message.contains("too few layers of mobilenetv2-w0.5 can begin with these weights") == true)
    request.model = "ghostnet"
    #expect(throws: PipelineError.self) { try importModel(request) }
  }

  @Test func imagesNeedNotBeSquare() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    _ = try importModel(ImportRequest(model: "yolov5n", classCount: 3, output: path("m.safetensors")))
    let options = ONNXModel.Options(imageHeight: 64, imageWidth: 96)
    let report = try export(
      ExportRequest(model: path("m.safetensors"), output: path("m.onnx"), options: options, sample: path("s")))
    #expect(report.imageHeight == 64 && report.imageWidth == 96 && report.imageSize == 96)
    let sample = try Safetensors.read(path("s")).tensors
    #expect(sample["images"]?.shape == [1, 3, 64, 96])
    #expect(sample["output"]?.shape == [1, 3 * (8 * 12 + 4 * 6 + 2 * 3), 8])
  }

  @Test(arguments: [
    ("model.22.dfl.conv.weight", "YOLOv8"), ("model.24.proto.cv1.conv.weight", "segmentation"),
    ("model.9.linear.weight", "classification"), ("model.0.conv.conv.weight", "Focus"), ("model.0.conv.bias", "folded"),
  ])
  func networksThatAreNotSupportedAreNamed(_ tensor: String, _ word: String) {
    let parameters = Parameters([tensor: Tensor(shape: [1]), "model.1.conv.weight": Tensor(shape: [1])])
    let error = #expect(throws: NetworkError.self) { try Zoo.matching(parameters) }
    #expect(error?.message.contains(word) == true)
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
