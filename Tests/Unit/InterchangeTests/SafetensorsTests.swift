import Foundation
import Interchange
import Network
import Randomness
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  @Test(arguments: ElementType.allCases) func roundTrip(_ type: ElementType) throws {
    let tensor = Tensor(shape: [2, 3], values: [0, 1, 0, 1, 1, 0])
    let content = SafetensorsFile(
      tensors: ["a": StoredTensor(tensor, as: type), "empty": StoredTensor(Tensor(shape: [0, 4]), as: type)],
      metadata: ["note": "quote \" backslash \\ line\nend é"])
    let read = try Safetensors.decode(Safetensors.encode(content), file: "memory")
    #expect(read == content)
    #expect(read.tensors["a"]?.tensor == tensor)
    #expect(read.tensors["a"]?.integers == [0, 1, 0, 1, 1, 0])
  }

  @Test func scalarsAndWideIntegers() throws {
    let content = SafetensorsFile(tensors: [
      "count": StoredTensor(shape: [], int64s: [.min]), "bytes": StoredTensor(shape: [2], uint8s: [7, 255]),
    ])
    let read = try Safetensors.decode(Safetensors.encode(content), file: "memory")
    #expect(read.tensors["count"]?.integers == [.min])
    #expect(read.tensors["count"]?.shape == [])
    #expect(read.tensors["bytes"]?.integers == [7, 255])
  }

  @Test func halfPrecisionRoundsToNearestEven() {
    let values: [Float] = [1 + 1 / 2048, 1 + 3 / 2048, 65519, 65520, 1e-8, -2]
    let stored = StoredTensor(Tensor(shape: [6], values: values), as: .float16)
    #expect(stored.floats == [1, 1 + 4 / 2048, 65504, .infinity, 0, -2])
    let brain = StoredTensor(Tensor(shape: [3], values: [1 + 1 / 256, 1 + 3 / 256, .nan]), as: .bfloat16).floats
    #expect(brain[0] == 1 && brain[1] == 1 + 4 / 256 && brain[2].isNaN)
  }

  /// The same content, the same bytes; the reference writer's order: wide elements first, then names.
  @Test func bytesAreDetermined() throws {
    let tensor = Tensor(shape: [1], values: [1])
    let content = SafetensorsFile(
      tensors: ["b": .init(tensor), "a": .init(tensor, as: .float16), "c": .init(tensor, as: .int64)],
      metadata: ["y": "2", "x": "1"])
    let header =
      #"{"__metadata__":{"x":"1","y":"2"},"c":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"#
      + #""b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"#
      + #""a":{"dtype":"F16","shape":[1],"data_offsets":[12,14]}}"#
    let bytes = Safetensors.encode(content)
    let padded = header + String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    #expect(String(decoding: bytes[8..<(8 + padded.utf8.count)], as: UTF8.self) == padded)
    #expect(Int(bytes[0]) + 256 * Int(bytes[1]) == padded.utf8.count)
    #expect(bytes.count == 8 + padded.utf8.count + 14)
  }

  // MARK: - What is not believed

  @Test(arguments: [
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "do not hold"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#, 8, "do not hold"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4, "do not lie within"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, "do not lie within"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}"#, 8, "do not lie within"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4]}}"#, 4, "do not lie within"),
    (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, "impossible"),
    (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 0, "impossible"),
    (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999]}}"#, 4, "not the JSON"),
    (#"{"a":{"dtype":"F8","shape":[4],"data_offsets":[0,4]}}"#, 4, "F8"),
    (
      #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#, 6,
      "overlap"
    ),
    (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#, 4, "gap"),
    (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 4, "accounts for 2"),
    (#"{"a":{"text":"no tensor"}}"#, 0, "neither type nor offsets"),
    (#"{"__metadata__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, 0, "text only"),
    (
      #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, 0,
      "twice"
    ),
    (#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"shape":[0]}}"#, 0, "twice"),
    (
      #"{"a":{"dtype":"U8","shape":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"data_offsets":[0,0]}}"#, 0, "more than 16"
    ),
    (#"{"__metadata__":{"a":"\ud800"}}"#, 0, "half a character"), (#"{"__metadata__":{"a":"\x41"}}"#, 0, "escape"),
    (#"{"__metadata__":{"a":"b"}"#, 0, "no comma and no end"), (#"{} {}"#, 0, "follows"),
    (#"{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}"#, 1, "not the JSON"),
    (#"["a"]"#, 0, "not the JSON"),
    ("", 0, "not the JSON"),
  ])
  func refuses(_ header: String, _ dataCount: Int, _ reason: String) {
    let count = UInt64(header.utf8.count)
    let bytes =
      (0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + Array(header.utf8)
      + Array(repeating: 0, count: dataCount)
    let error = #expect(throws: InterchangeError.self) { try Safetensors.decode(bytes, file: "hostile.safetensors") }
    #expect(error?.file == "hostile.safetensors")
    #expect(error?.reason.contains(reason) == true, "\(String(describing: error))")
  }

  /// Escapes as other writers make them.
  @Test func textsAreUnescaped() throws {
    let header =
      Array(#"{ "__metadata__" : {"a\u00e9" : "\ud83e\udd93\t\"\/\\", "b":""} , "x":"#.utf8)
      + Array(#"{"shape": [ ], "data_offsets":[0,1],"dtype":"U8"}}  "#.utf8)
    let bytes = littleEndian(header.count, 8) + header + [7]
    let content = try Safetensors.decode(bytes, file: "memory")
    #expect(content.metadata == ["aé": "🦓\t\"/\\", "b": ""])
    #expect(content.tensors["x"]?.integers == [7])
  }

  @Test func refusesImpossibleHeaderLengths() {
    for bytes: [UInt8] in [[], [1, 2, 3], Array(repeating: 255, count: 16), [9, 0, 0, 0, 0, 0, 0, 0, 123, 125]] {
      #expect(throws: InterchangeError.self) { try Safetensors.decode(bytes, file: "short") }
    }
  }

  /// Reading ends in a value or an error, whichever bytes of a real file change.
  @Test func damagedFilesNeverTrap() throws {
    let bytes = Safetensors.encode(try Fixtures.safetensors("loss/no_targets.safetensors"))
    var random = SplitMix64(seed: 7)
    for _ in 0..<300 {
      var damaged = bytes
      for _ in 0..<3 { damaged[Int(random.next() % 1200)] = UInt8(truncatingIfNeeded: random.next()) }
      if random.next() % 2 == 0 { damaged.removeLast(Int(random.next() % UInt64(bytes.count))) }
      _ = try? Safetensors.decode(damaged, file: "damaged")
    }
  }

  @Test func missingFileIsNamed() {
    let error = #expect(throws: InterchangeError.self) { try Safetensors.read("/nowhere/model.safetensors") }
    #expect(error?.description == "/nowhere/model.safetensors: cannot be read (no such file or folder)")
    let folder = #expect(throws: InterchangeError.self) { try Safetensors.read("/tmp") }
    #expect(folder?.description == "/tmp: cannot be read (it is a folder)")
    let target = #expect(throws: InterchangeError.self) { try Safetensors.write(SafetensorsFile(), to: "/tmp") }
    #expect(target?.description == "/tmp: cannot be written (it is a folder)")
  }
}
