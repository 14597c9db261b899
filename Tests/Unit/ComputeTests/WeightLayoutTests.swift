import Network
import Testing
import TestSupport

@testable import Compute

/// Orders of weights against the plain one, value by value.
@Suite struct WeightLayoutTests {
  /// 5 output channels, 11 input channels, 3 × 2 taps.
  static let sizes = [5, 11, 3, 2]
  /// `OIhw8i8o`, `hwIO` and `OIhw4i16o2i`, as libraries have them.
  static let orders = [
    Blocking(
      sizes: sizes, strides: [768, 384, 128, 64],
      factors: [.init(dimension: 1, size: 8), .init(dimension: 0, size: 8)]),
    Blocking(sizes: sizes, strides: [1, 5, 110, 55]),
    Blocking(
      sizes: sizes, strides: [1536, 768, 256, 128],
      factors: [.init(dimension: 1, size: 4), .init(dimension: 0, size: 16), .init(dimension: 1, size: 2)]),
    .plain(sizes),
  ]

  @Test(arguments: orders, orders) func conversionsKeepEachValueAndZeroThePadding(from: Blocking, to: Blocking) {
    let (source, destination) = (WeightLayout(from, .float32), WeightLayout(to, .float32))
    let plain = DeterministicValues.uniform("w", count: 330)
    let (before, after) = (AlignedBuffer(count: source.count), AlignedBuffer(count: destination.count))
    before.fill(.nan)
    after.fill(.nan)
    unsafe source.packing().run(plain, before.pointer)
    unsafe destination.converter(from: source).run(before.pointer, after.pointer)
    let values = after.values()
    var (index, places) = (0, Set<Int>())
    for o in 0..<5 {
      for i in 0..<11 {
        for y in 0..<3 {
          for x in 0..<2 {
            var place = Blocking.Place()
            (place[0], place[1], place[2], place[3]) = (o, i, y, x)
            places.insert(to.offset(of: place))
            #expect(values[to.offset(of: place)] == plain[index])
            index += 1
          }
        }
      }
    }
    #expect(places.count == 330)
    #expect(values.indices.allSatisfy { places.contains($0) || values[$0] == 0 })
    var sum = plain
    unsafe destination.unpacking().run(after.pointer, &sum, accumulates: true)
    #expect(sum == plain.map { 2 * $0 })
  }

  @Test(arguments: orders) func valuesAreRoundedOnTheWay(to order: Blocking) {
    let layout = WeightLayout(order, .bfloat16)
    let plain = DeterministicValues.uniform("w", count: 330)
    let packed = AlignedBuffer(count: layout.count)
    unsafe layout.packing().run(plain, packed.pointer)
    var back = [Float](repeating: .nan, count: 330)
    unsafe layout.unpacking().run(packed.pointer, &back)
    #expect(back == plain.map { Float(bfloat16: $0.bfloat16) })
  }
}
