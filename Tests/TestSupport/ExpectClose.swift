public import Testing

/// Records one issue, naming the worst element, unless every
/// `|actual − expected| ≤ absolute + relative·|expected|`. NaN is never close.
public func expectClose<T: BinaryFloatingPoint>(
  _ actual: [T], _ expected: [T], absolute: Double, relative: Double = 0, _ what: String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let label = what.isEmpty ? "" : "\(what): "
  guard actual.count == expected.count else {
    Issue.record("\(label)\(actual.count) values, expected \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  var worst: (index: Int, excess: Double)?
  var failures = 0
  for index in actual.indices {
    let (a, e) = (Double(actual[index]), Double(expected[index]))
    let difference = a == e ? 0 : abs(a - e)
    let allowed = absolute + relative * abs(e)
    guard !(difference <= allowed) else { continue }
    failures += 1
    let excess = difference.isNaN ? .infinity : difference / max(allowed, .leastNormalMagnitude)
    if worst == nil || excess > worst!.excess { worst = (index, excess) }
  }
  guard let worst else { return }
  Issue.record(
    """
    \(label)\(failures) of \(actual.count) values are off; worst at \(worst.index): \(actual[worst.index]), expected \
    \(expected[worst.index]), \(worst.excess) × the tolerance (\(absolute) + \(relative)·|expected|)
    """, sourceLocation: sourceLocation)
}

public func expectClose<T: BinaryFloatingPoint>(
  _ actual: T, _ expected: T, absolute: Double, relative: Double = 0, _ what: String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  expectClose([actual], [expected], absolute: absolute, relative: relative, what, sourceLocation: sourceLocation)
}

/// `‖actual − expected‖ / ‖expected‖`, in double precision.
public func relativeL2(_ actual: [Float], _ expected: [Float]) -> Double {
  precondition(actual.count == expected.count)
  var difference = 0.0
  var norm = 0.0
  for index in actual.indices {
    let d = Double(actual[index]) - Double(expected[index])
    difference += d * d
    norm += Double(expected[index]) * Double(expected[index])
  }
  return (difference / norm).squareRoot()
}
