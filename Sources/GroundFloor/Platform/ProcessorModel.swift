import Foundation

/// The processor's name and its vector instructions, as the kernel lists them.
public struct ProcessorModel: Hashable, Sendable {
  public let name: String
  /// The instructions that make networks faster, in the order of their age.
  public let instructionSets: [String]

  public static let here = ProcessorModel(
    cpuinfo: (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? "")

  private static let names = [
    ("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_vnni", "AVX-512 VNNI"), ("avx_vnni", "AVX-VNNI"),
    ("avx512_bf16", "AVX-512 BF16"), ("avx512_fp16", "AVX-512 FP16"), ("amx_int8", "AMX INT8"),
    ("amx_bf16", "AMX BF16"), ("asimd", "NEON"), ("asimdhp", "NEON FP16"), ("sve", "SVE"), ("i8mm", "I8MM"),
    ("bf16", "BF16"),
  ]

  /// - Parameter cpuinfo: the text of `/proc/cpuinfo`, of which the first processor is read.
  init(cpuinfo: String) {
    func value(_ key: String) -> Substring? {
      cpuinfo.split(separator: "\n").first { $0.prefix { $0 != ":" }.trimmingCharacters(in: .whitespaces) == key }?
        .split(separator: ":", maxSplits: 1).dropFirst().first
    }
    name = value("model name").map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
    let flags = Set((value("flags") ?? value("Features") ?? "").split(separator: " ").map(String.init))
    instructionSets = Self.names.filter { flags.contains($0.0) }.map(\.1)
  }
}
