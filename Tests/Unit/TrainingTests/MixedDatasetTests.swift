import Dataset
import Foundation
import Interchange
import Network
import Pipeline
import TestSupport
import Testing
import Training
import Zoo

/// A data set of everything that is legal, beside what is not, has the same images and boxes for whoever reads it.
@Suite("a data set that mixes everything") struct MixedDatasetTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "mixed-\(UUID().uuidString)")
  private let row = "0 0.5 0.5 0.5 0.5\n1 0.25 0.25 0.5 0.5\n"

  private func write(_ bytes: some Sequence<UInt8>, _ name: [UInt8]) throws {
    let path = (Array("\(folder.path)/".utf8) + name + [0]).map { CChar(bitPattern: $0) }
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)  // The path ends with a zero.
    try #require(descriptor >= 0, "\(String(decoding: name, as: UTF8.self))")
    try FileHandle(fileDescriptor: descriptor, closeOnDealloc: true).write(contentsOf: Data(bytes))
  }

  /// Names that are legal on a disk, without ending.
  private static let names: [[UInt8]] =
    [
      "two words", " blank before", "it's \"quoted\"", "[brackets] (and) {more}", "100%", "100%41", "*", "?", "#1",
      "-o",
      "a&b;c|d<e>", "$HOME", "~", "back\\slash", "dots..and.more", "caf\u{e9}", "cafe\u{301}", "\u{301}accent", "止血钳",
      "🙂",
      "line\nbreak",
    ].map { Array($0.utf8) } + [Array("caf".utf8) + [0xE9], [0xFF, 0xFE]]

  private func makeDataset() throws -> (images: Int, leftOut: Int) {
    for split in ["train", "val"] {
      for kind in ["images", "labels"] {
        try FileManager.default.createDirectory(
          at: folder.appending(path: "\(kind)/\(split)"), withIntermediateDirectories: true)
      }
    }
    let fixtures = try FileManager.default.contentsOfDirectory(atPath: Fixtures.path("pictures"))
    func fixture(_ name: String) throws -> [UInt8] {
      [UInt8](try Data(contentsOf: URL(filePath: Fixtures.path("pictures/\(name)"))))
    }
    let pictures = fixtures.filter { !$0.hasSuffix(".ppm") }.map { $0.split(separator: ".").map(String.init) }
    #expect(pictures.count > 50)
    let plain = try fixture("rgba.png")
    let sizes = [(10, 10), (10, 900), (3000, 2000)]
    var images = 0
    for split in ["train", "val"] {
      images = 0
      func add(_ picture: [UInt8], _ stem: [UInt8], _ ending: String) throws {
        try write(picture, Array("images/\(split)/".utf8) + stem + Array(".\(ending)".utf8))
        try write(row.utf8, Array("labels/\(split)/".utf8) + stem + Array(".txt".utf8))
        images += 1
      }
      for name in pictures { try add(fixture(name.joined(separator: ".")), Array(name[0].utf8), name[1]) }
      for (index, name) in Self.names.enumerated() { try add(plain, name, ["png", "jpg", "PNG", "webp"][index % 4]) }
      for (width, height) in sizes {
        let path = folder.appending(path: "images/\(split)/\(width)x\(height).jpg").path
        try ImageFile.write(Image(width: width, height: height), to: path)
        images += 1
      }
      // The images that are left out.
      try write("no picture".utf8, Array("images/\(split)/x-text.jpg".utf8))
      try write(plain.dropLast(40), Array("images/\(split)/x-cut.png".utf8))
      try write(plain, Array("images/\(split)/x-label.png".utf8))
      try write("0 1.5 0 0 0".utf8, Array("labels/\(split)/x-label.txt".utf8))
      try FileManager.default.createSymbolicLink(
        atPath: folder.path + "/images/\(split)/x-link.png", withDestinationPath: "gone.png")
      // Another name for an image that is there.
      try FileManager.default.createSymbolicLink(
        atPath: folder.path + "/images/\(split)/again.png", withDestinationPath: "rgba.png")
    }
    try Data("train: images/train\nval: images/val\nnames: [x, y]\n".utf8).write(
      to: folder.appending(path: "data.yaml"))
    return (images, 4)
  }

  @Test func everyReaderCountsTheSame() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let expected = try makeDataset()
    let check = ImageCheck(threads: 2, memory: nil)
    let description = try DatasetDescription.load(folder.path + "/data.yaml")
    let contents = try description.trainingContents(checking: check)
    #expect(contents.count == 2)
    for (split, found) in contents {
      #expect(found.images.count == expected.images, "\(split)")
      #expect(found.boxCount == 2 * (expected.images - 3) && found.backgroundCount == 3)
      #expect(
        found.leftOut.map { String($0.path.suffix(10)) } == ["/x-cut.png", "-label.png", "x-link.png", "x-text.jpg"])
      #expect(found.repeatedNames == 1 && found.remarks(on: split).count >= 2)
    }
    let data = try TrainingData(description, checking: check)
    #expect(data.training == contents[.train]?.images && data.validation == contents[.val]?.images)

    // As it travels to a worker.
    let pack = folder.appending(path: "pack.tar").path
    try DatasetPack.write(contents, classNames: description.classNames, to: pack)
    let unpacked = try DatasetPack.unpack(pack, into: folder.appending(path: "unpacked").path)
    for (split, before) in contents {
      let after = try unpacked.contents(of: split, checking: check)
      #expect(after.leftOut.isEmpty && after.repeatedNames == 0)
      #expect(after.images.map(\.labels) == before.images.map(\.labels))
      #expect(after.images.map { [$0.width, $0.height] } == before.images.map { [$0.width, $0.height] })
    }

    // As `val` and the stage `evaluate` measure it.
    let model = folder.appending(path: "model.safetensors").path
    let network = try Zoo.network(named: "yolov5n", classCount: 2)
    try ModelFile(network: network, parameters: network.initialParameters(seed: 1), classNames: ["x", "y"])
      .write(to: model)
    let reports = try [description.file, unpacked.file].map { file in
      let request = EvaluateRequest(model: model, dataset: file, imageSize: 64, machine: Machine(threads: 2))
      return try evaluate(request, checking: check)
    }
    for report in reports { #expect(report.images == expected.images && report.labels == 2 * (expected.images - 3)) }
    #expect(reports[0].map50 == reports[1].map50 && reports[0].map50_95 == reports[1].map50_95)
  }
}
