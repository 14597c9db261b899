/// `value` with so many decimals, half away from zero.
public func fixed(_ value: Double, decimals: Int) -> String {
  var scale = 1.0
  for _ in 0..<decimals { scale *= 10 }
  let scaled = (value * scale).rounded()
  guard scaled.isFinite, abs(scaled) < 1e15 else { return "\(value)" }
  let digits = String(Int(abs(scaled)))
  let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
  let sign = scaled < 0 ? "-" : ""
  return sign + padded.dropLast(decimals) + (decimals > 0 ? "." + padded.suffix(decimals) : "")
}

/// The shortest text of a number, without `.0` and, where it is not tiny, without an exponent.
public func plain(_ value: Double) -> String {
  if value == value.rounded(), abs(value) < 1e15 { return String(Int(value)) }
  let text = "\(value)"
  guard text.contains("e-"), abs(value) >= 1e-7 else { return text }
  var digits = fixed(value, decimals: 12)
  while digits.hasSuffix("0") { digits.removeLast() }
  return digits
}
