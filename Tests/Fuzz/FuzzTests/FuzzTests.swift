import Foundation
import Testing

/// A reader of any file returns a value or an error that names the file: no crash, no hang, no memory beyond the file's
/// own size.
///
/// Every case is a function of reader, seed and number. `cluster/fuzz.sh` runs millions of them, one reader per
/// process, where memory is watched too; here is a sample. A failure names its case, which
/// `cluster/fuzz.sh --reader NAME --seed S --case I` repeats.
@Suite("Fuzz", .serialized) struct FuzzTests {
  static let settings = FuzzSettings(ProcessInfo.processInfo.environment)
  static let readers = FuzzReader.all.filter { settings.reader == nil || $0.name == settings.reader }

  @Test("Hostile files are read or refused", arguments: readers)
  func hostileFiles(_ reader: FuzzReader) throws {
    let report = try Fuzzer(reader, Self.settings).run()
    print(report)
    if Self.settings.onlyCase == nil { #expect(report.accepted > 0 && report.refused > 0, "\(report)") }
  }

  /// The seeds themselves: sound ones are read, hostile ones refused.
  @Test("Seeds are what they are meant to be", arguments: readers)
  func seeds(_ reader: FuzzReader) throws {
    for (index, seed) in reader.seeds.enumerated() {
      let bytes = seed.wrap(seed.content)
      if seed.isSound {
        #expect(throws: Never.self, "seed \(index)") { try reader.read(bytes, reader.fileName) }
      } else {
        let error = #expect(throws: (any Error).self, "seed \(index)") { try reader.read(bytes, reader.fileName) }
        if let error { #expect(Fuzzer.complaint(about: error, reader) == nil, "seed \(index)") }
      }
    }
  }
}

/// From the environment, where `cluster/fuzz.sh` puts its arguments.
struct FuzzSettings {
  var reader: String?
  var count = 10_000
  var seed: UInt64 = 1
  var onlyCase: Int?
  /// Where the number of the case at hand is kept, for when the process dies of it.
  var traceFile: String?
  /// Whether this process does nothing else, so that its memory is the reader's.
  var isAlone = false

  init(_ environment: [String: String]) {
    reader = environment["GREENSWEEP_FUZZ_READER"]
    seed = environment["GREENSWEEP_FUZZ_SEED"].flatMap(UInt64.init) ?? seed
    onlyCase = environment["GREENSWEEP_FUZZ_CASE"].flatMap(Int.init)
    traceFile = environment["GREENSWEEP_FUZZ_TRACE"]
    isAlone = reader != nil
    count = environment["GREENSWEEP_FUZZ_COUNT"].flatMap(Int.init) ?? count
  }
}
