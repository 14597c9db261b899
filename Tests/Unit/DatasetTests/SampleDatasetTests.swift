@testable import Dataset
import Foundation
import Geometry
import Testing

@Suite("sample data set") struct SampleDatasetTests {
  private var small: SampleDataset {
    var sample = SampleDataset()
    sample.trainCount = 6
    sample.valCount = 3
    sample.imageSize = 64
    sample.classCount = 6
    return sample
  }

  @Test func sameParametersGiveTheSameFiles() throws {
    let folder = try TemporaryFolder()
    for name in ["a", "b"] { try small.write(to: "\(folder.path)/\(name)") }
    let files = try FileManager.default.subpathsOfDirectory(atPath: folder.path + "/a").filter { $0.contains(".") }
    #expect(files.count == 2 * 9 + 1)
    for file in files { #expect(try folder.bytes("a/\(file)") == folder.bytes("b/\(file)")) }
    var other = small
    other.seed = 1
    #expect(other.example(.train, 0).image != small.example(.train, 0).image)
    #expect(small.example(.val, 0).image != small.example(.train, 0).image)
    #expect(throws: DatasetError.self) { try small.write(to: folder.path + "/a") }
  }

  @Test func objectsAreLabelledAndOfDecentSize() throws {
    var counts = [Int](repeating: 0, count: 6)
    for index in 0..<60 {
      let (image, labels) = small.example(.train, index)
      #expect(max(image.width, image.height) == 64)
      #expect((1...5).contains(labels.count))
      for label in labels {
        counts[label.classIndex] += 1
        #expect(label.box.cx - label.box.w / 2 >= -1e-6 && label.box.cx + label.box.w / 2 <= 1 + 1e-6)
        #expect(label.box.cy - label.box.h / 2 >= -1e-6 && label.box.cy + label.box.h / 2 <= 1 + 1e-6)
        #expect(label.box.w * Float(image.width) >= 4 && label.box.h * Float(image.height) >= 4)
      }
    }
    #expect(counts.allSatisfy { $0 > 5 })
  }

  @Test func senselessParametersAreRefused() throws {
    let folder = try TemporaryFolder()
    for change in [{ $0.classCount = 7 }, { $0.classCount = 0 }, { $0.imageSize = 8 }, { $0.trainCount = 0 }]
      as [(inout SampleDataset) -> Void]
    {
      var sample = small
      change(&sample)
      #expect(throws: DatasetError.self) { try sample.write(to: folder.path + "/x") }
    }
  }
}
