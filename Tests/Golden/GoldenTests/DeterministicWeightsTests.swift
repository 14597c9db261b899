import Network
import TestSupport
import Testing

/// The formula that stands for stored weights, against its worked examples.
@Test func deterministicWeights() throws {
  #expect(DeterministicValues.seed("") == 0xcbf2_9ce4_8422_2325)
  #expect(DeterministicValues.random(seed: 0, 0) == 0xe220_a839_7b1d_cdaf)
  for example in try Fixtures.json("weights_formula.json")["examples"].array {
    let name = example["name"].string
    let shape = example["shape"].ints
    let tensor =
      switch example["kind"].string {
      case "input": DeterministicValues.images(name: name, shape: shape)
      case "weight": DeterministicValues.values(.init(name: name, shape: shape, role: .weight))
      case "bias": DeterministicValues.values(.init(name: name, shape: shape, role: .bias))
      case "gamma": DeterministicValues.values(.init(name: name, shape: shape, role: .gamma))
      case "beta": DeterministicValues.values(.init(name: name, shape: shape, role: .beta))
      case "running_mean": DeterministicValues.values(.init(name: name, shape: shape, role: .runningMean))
      default: DeterministicValues.values(.init(name: name, shape: shape, role: .runningVariance))
      }
    #expect(
      tensor.values[example["element"].int].bitPattern == UInt32(example["value_bits_hex"].string, radix: 16), "\(name)"
    )
  }
}
