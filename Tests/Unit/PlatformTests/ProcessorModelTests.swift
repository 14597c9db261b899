import Testing

@testable import Platform

@Suite("What the kernel says of a processor")
struct ProcessorModelTests {
  @Test func theFirstProcessorIsNamedWithItsVectorInstructions() {
    let model = ProcessorModel(
      cpuinfo: """
        processor\t: 0
        model\t\t: 97
        model name\t: Example 9000 @ 2.0 GHz: fast
        flags\t\t: fpu avx512f avx2 avx512_bf16 amx_int8
        vmx flags\t: avx512_vnni

        processor\t: 1
        model name\t: another
        """)
    #expect(model.name == "Example 9000 @ 2.0 GHz: fast")
    #expect(model.instructionSets == ["AVX2", "AVX-512", "AVX-512 BF16", "AMX INT8"])
  }

  @Test func armProcessorsHaveFeaturesAndNoName() {
    let model = ProcessorModel(cpuinfo: "processor\t: 0\nFeatures\t: fp asimd sve bf16\n")
    #expect(model.name == "unknown")
    #expect(model.instructionSets == ["NEON", "SVE", "BF16"])
    #expect(ProcessorModel(cpuinfo: "").instructionSets.isEmpty)
  }
}
