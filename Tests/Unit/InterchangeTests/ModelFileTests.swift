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
  @Test func theAccuracyOfAModelIsReadBack() throws {
    let network = try Zoo.network(named: "yolov5n", classCount: 2)
    var model = ModelFile(network: network, parameters: network.initialParameters(seed: 3), classNames: ["cat", "dog"])
    #expect(try model.encoded().metadata["map50"] == nil)
    model.map50 = 0.1 + 0.2
    var content = try model.encoded()
    #expect(try ModelFile(decoding: content, file: "memory").map50 == 0.1 + 0.2)
    for nonsense in ["", "high", "nan", "-1", "1e9"] {
      content.metadata["map50"] = nonsense
      #expect(try ModelFile(decoding: content, file: "memory").map50 == nil, "\(nonsense)")
    }
  }

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

  // MARK: - Class names

  private func named(_ names: String?) throws -> SafetensorsFile {
    var content = try ModelFile(network: network, parameters: network.goldenParameters, classNames: ["a", "b"])
      .encoded()
    content.metadata["class_names"] = names
    return content
  }

  @Test func namesAreAListOrAMappingFromZero() throws {
    for (text, names) in [
      (#"["cat", "dog"]"#, ["cat", "dog"]), (#"{"1": "dog", "0": "cat"}"#, ["cat", "dog"]),
      (nil, ["class0", "class1"]),
    ] {
      #expect(try ModelFile(decoding: named(text), file: "m").classNames == names)
    }
  }

  @Test(arguments: [
    (#"["cat"]"#, "has 1 class name for 2 classes"), (#"["cat", "dog", "cow"]"#, "has 3 class names for 2 classes"),
    (#"{"1": "cat", "2": "dog"}"#, "counts its class names from 1"),
    (#"{"0": "cat", "2": "dog"}"#, "not numbered from 0 to 1"),
    (#"{"0": "cat", "1": "dog", "2": "cow"}"#, "3 class names"),
    (#"{"a": "cat"}"#, "not numbered from 0 to 1"),
  ])
  func namesThatDoNotFitAreRefusedUnlessOthersAreGiven(_ text: String, _ reason: String) throws {
    let content = try named(text)
    let error = #expect(throws: InterchangeError.self) { try ModelFile(decoding: content, file: "m") }
    #expect(
      error?.reason.contains(reason) == true && error?.reason.contains("--data") == true, "\(error?.reason ?? "")")
    var own: ModelFile.OwnClassNames = nil
    let model = try ModelFile(
      decoding: content, file: "m",
      classNames: { _, names in
        own = names
        return ["x", "y"]
      })
    #expect(model.classNames == ["x", "y"])
    #expect(own == .failure(try #require(error)))
  }

  // MARK: - Other names of tensors

  private func stateDict(_ name: (String) -> String?) throws -> SafetensorsFile {
    var content = SafetensorsFile()
    for (key, tensor) in try named(nil).tensors { if let name = name(key) { content.tensors[name] = tensor } }
    return content
  }

  private func read(_ content: SafetensorsFile) throws -> SafetensorsFile {
    let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Safetensors.write(content, to: path)
    return try ModelFile.readStateDict(path)
  }

  /// DataParallel, an average of it, a compiled network, Lightning's and DeepSpeed's, FSDP, and bare layers.
  @Test(arguments: [
    "module.", "module.module.", "_orig_mod.", "module._orig_mod.", "model.", "_forward_module.", "ema.", "",
  ])
  func wordsOfWrappersAreTakenOff(_ prefix: String) throws {
    var content = try stateDict { prefix + $0 }
    if prefix.hasPrefix("mod") { content.tensors["n_averaged"] = StoredTensor(shape: [], int64s: [3]) }
    let model = try ModelFile(decoding: read(content), file: "m", networkOf: Zoo.matching)
    #expect(model.parameters == network.goldenParameters)
  }

  @Test func wordsWithinNamesAreTakenOff() throws {
    let model = try ModelFile(
      decoding: read(
        stateDict { $0.replacing("model.2.", with: "model.2._fsdp_wrapped_module._checkpoint_wrapped_module.") }),
      file: "m", networkOf: Zoo.matching)
    #expect(model.parameters == network.goldenParameters)
    let layers = try ModelFile(
      decoding: read(stateDict { String($0.dropFirst("model.".count)) }), file: "m", networkOf: Zoo.matching)
    #expect(layers.parameters == network.goldenParameters)
  }

  @Test func oneOfSeveralNetworksIsNotGuessed() throws {
    var content = try stateDict { "student.\($0)" }
    content.tensors.merge(try stateDict { "teacher.\($0)" }.tensors) { first, _ in first }
    let error = #expect(throws: InterchangeError.self) { try read(content) }
    #expect(error?.reason.contains("holds 2 networks (under ‘student’, ‘teacher’)") == true)
  }

  /// A model file's own names are as its network has them.
  @Test func modelFilesKeepTheirNames() throws {
    let content = try named(nil)
    #expect(try read(content) == content)
  }

  // MARK: - Other files

  @Test(arguments: [
    ("", "is empty"), ("<!DOCTYPE html><title>Sign in</title>", "is a web page"), ("\u{feff}\n<html>", "is a web page"),
    ("<?xml version=\"1.0\"?>", "or XML"),
    ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "'git lfs pull'"),
    (#"{"message": "Not Found"}"#, "is text (‘{"), ("PK\u{5}\u{6}", "zip archive"), ("%PDF-1.4 and more", "a PDF"),
    ("\u{8}\u{7}\u{12}\u{7}pytorch", "is an ONNX model"), ("\u{1c}\0\0\0TFL3....", "a TensorFlow Lite model"),
  ])
  func filesInPlaceOfWeightsAreNamed(_ text: String, _ reason: String) throws {
    try expectKind(Array(text.utf8), reason)
  }

  @Test func binaryFilesInPlaceOfWeightsAreNamed() throws {
    let magic: [UInt8] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]
    try expectKind(magic + [0x80, 2, 0x4d, 0xe9, 3, 0x2e], "before 1.6")
    try expectKind([0x80, 4, 0x95, 1, 0, 0, 0, 0, 0, 0, 0, 0x4e, 0x2e], "a bare pickle")
    try expectKind([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], "gzip")
    try expectKind([0x93] + Array("NUMPY\u{1}\0v\0".utf8), "a NumPy array")
    try expectKind([UInt8](repeating: 0x61, count: 257) + Array("ustar".utf8) + [0], "a tar archive")
    try expectKind([0x89] + Array("HDF\r\n".utf8) + [0x1a, 0x0a], "an HDF5 file")
    try expectKind([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x7b], "not a safetensors file, or cut short")
  }

  private func expectKind(
    _ bytes: [UInt8], _ reason: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).pt").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(bytes).write(to: URL(filePath: path))
    let error = #expect(throws: InterchangeError.self, sourceLocation: sourceLocation) {
      try ModelFile.readStateDict(path)
    }
    #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")", sourceLocation: sourceLocation)
  }
}
