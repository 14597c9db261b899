import Foundation
import Interchange
import Network
import TestSupport
import Testing
import Zoo

@Suite struct ModelFileTests {
  let network = try! Zoo.network(named: "yolov5n", classCount: 2)

  @Test func roundTrip() throws {
    let model = ModelFile(network: network, parameters: network.initialParameters(seed: 3), classNames: ["cat", "dog"])
    let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).safetensors").path()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try model.write(to: path)
    #expect(try ModelFile.read(path) == model)
    let bytes = try Data(contentsOf: URL(filePath: path))
    try model.write(to: path)
    #expect(try Data(contentsOf: URL(filePath: path)) == bytes)
  }

  /// Half precision is what `sizeMegabytes` counts; the rest of the file is names.
  @Test func halfPrecision() throws {
    let model = ModelFile(network: network, parameters: network.initialParameters(seed: 3), classNames: ["cat", "dog"])
    let content = try model.encoded(as: .float16)
    let byteCount = content.tensors.values.reduce(0) { $0 + $1.bytes.count }
    #expect(Double(byteCount) / 1e6 == network.sizeMegabytes)
    let read = try ModelFile(decoding: content, file: "memory")
    #expect(read.network == network)
    for (name, tensor) in read.parameters.tensors {
      expectClose(tensor.values, model.parameters[name]!.values, absolute: 3e-8, relative: 1.0 / 2048, name)
    }
  }

  /// A file that does not say what it is: the family is found by names and shapes, anchors are taken from the file.
  @Test(arguments: ["yolov5s", "mobilenetv2", "ghostnet"]) func familyIsRecognised(_ name: String) throws {
    var network = try Zoo.network(named: name, classCount: 5)
    network.detect.anchors[1][2].width = 100
    var content = try ModelFile(
      network: network, parameters: network.goldenParameters, classNames: (0..<5).map { "class\($0)" }
    ).encoded()
    content.metadata = [:]
    #expect(throws: InterchangeError.self) { try ModelFile(decoding: content, file: "memory") }
    let read = try ModelFile(decoding: content, file: "memory", networkOf: { try Zoo.matching($0) })
    #expect(read.network == network)
    content.tensors["model.0.conv.weight"] = nil
    #expect(throws: InterchangeError.self) {
      try ModelFile(decoding: content, file: "memory", networkOf: { try Zoo.matching($0) })
    }
  }

  @Test(arguments: [
    ("model.0.conv.weight", Float.nan, "nan"), ("model.24.m.1.bias", .infinity, "inf"),
    ("model.2.cv1.bn.running_var", -0.5, "negative"),
  ])
  func valuesThatNoTrainingLeavesAreNamed(_ name: String, _ value: Float, _ reason: String) throws {
    var model = ModelFile(network: network, parameters: network.goldenParameters, classNames: ["cat", "dog"])
    model.parameters[name]!.values[3] = value
    let error = #expect(throws: InterchangeError.self) {
      _ = try ModelFile(decoding: model.encoded(), file: "m.safetensors")
    }
    #expect(error?.description.hasPrefix("m.safetensors: tensor \(name)") == true)
    #expect(error?.reason.contains(reason) == true, "\(String(describing: error))")
  }

  @Test func networkAndTensorsMustAgree() throws {
    let model = ModelFile(network: network, parameters: network.goldenParameters, classNames: ["cat", "dog"])
    var missing = try model.encoded()
    missing.tensors["model.0.bn.bias"] = nil
    var foreign = try model.encoded()
    foreign.tensors["more"] = StoredTensor(Tensor(shape: [1]))
    var names = try model.encoded()
    names.metadata["class_names"] = #"["cat"]"#
    var text = try model.encoded()
    text.metadata["network"] = "{"
    for (content, reason) in [
      (missing, "model.0.bn.bias is missing"), (foreign, "more"), (names, "1 class"), (text, "network"),
    ] {
      let error = #expect(throws: InterchangeError.self) { try ModelFile(decoding: content, file: "m.safetensors") }
      #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
    }
  }
}
