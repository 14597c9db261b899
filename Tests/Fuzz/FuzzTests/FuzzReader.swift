import Foundation
import Testing

/// One of the program's readers of foreign files, and what it is fed with.
struct FuzzReader: Sendable, CustomTestStringConvertible {
  var name: String
  /// The file is called `fuzz.` and this.
  var fileExtension: String
  /// Words of the format, for the mutations.
  var tokens: [[UInt8]]
  var seeds: [FuzzSeed]
  /// Reads and uses the bytes under the file name; throws to refuse.
  var read: @Sendable ([UInt8], String) throws -> Void
  /// Memory that a file may take because of what it is, in bytes: a picture's pixels.
  var allowance: @Sendable ([UInt8]) -> Int = { _ in 0 }
  /// Damages a seed.
  var mutate: @Sendable (inout Mutator, [UInt8]) -> [UInt8] = { $0.mutated($1) }

  var fileName: String { "fuzz.\(fileExtension)" }
  var testDescription: String { name }

  static let all =
    tensorReaders + textReaders + imageReaders + archiveReaders + messageReaders + brainReaders + webReaders
}

/// A small file to start from.
struct FuzzSeed: Sendable {
  /// The bytes that are to be damaged.
  var content: [UInt8]
  /// Whether it can be read undamaged; otherwise it is refused.
  var isSound: Bool
  /// Makes the file of the content: sums and lengths that agree, so that the damage reaches what lies behind them.
  var wrap: @Sendable ([UInt8]) -> [UInt8]

  init(_ content: [UInt8], isSound: Bool = true, wrap: @escaping @Sendable ([UInt8]) -> [UInt8] = { $0 }) {
    self.content = content
    self.isSound = isSound
    self.wrap = wrap
  }

  init(_ text: String, isSound: Bool = true) { self.init(Array(text.utf8), isSound: isSound) }
}

func words(_ text: String) -> [[UInt8]] { text.split(separator: " ").map { Array($0.utf8) } }
