import Foundation

/// Binary cross entropy of logits `x` against targets `t` in [0, 1], with its derivative by `x`:
///
///     loss = (1 − t)·softplus(x) + t·positiveWeight·softplus(−x)
///     gradient = (1 − t)·σ(x) − t·positiveWeight·σ(−x)
///
/// which is PyTorch's `BCEWithLogitsLoss(pos_weight:)`, in a form that neither overflows nor cancels.
struct BinaryCrossEntropy: Sendable {
  typealias Lanes = SIMD8<Float>

  var positiveWeight: Float
  /// Above 0: YOLOv5's `FocalLoss` with `alpha` 0.25 (Lin et al. 2017).
  var focalGamma: Float

  /// Eight at a time; accurate to a few units in the last place, also where the loss nearly vanishes.
  @inline(__always)
  func callAsFunction(_ x: Lanes, target t: Lanes) -> (loss: Lanes, gradient: Lanes) {
    guard focalGamma == 0 else { return focal(x, target: t) }
    let e = exponential(-magnitude(x))  // In (0, 1]
    let inverse = 1 / (1 + e)
    let isPositive = x .>= 0
    let sigmoid = (e * inverse).replacing(with: inverse, where: isPositive)
    let oneMinusSigmoid = inverse.replacing(with: e * inverse, where: isPositive)
    let logTerm = logarithmOnePlus(e)
    let softplus = logTerm.replacing(with: logTerm + x, where: isPositive)
    let softplusOfNegative = (logTerm - x).replacing(with: logTerm, where: isPositive)
    let negative = 1 - t
    let positive = t * positiveWeight
    return (
      loss: negative * softplus + positive * softplusOfNegative,
      gradient: negative * sigmoid - positive * oneMinusSigmoid
    )
  }

  /// A training that nobody runs often: lane by lane, in double.
  @inline(never)
  private func focal(_ x: Lanes, target t: Lanes) -> (loss: Lanes, gradient: Lanes) {
    var loss = Lanes()
    var gradient = Lanes()
    for lane in 0..<Lanes.scalarCount {
      let value = focal(Double(x[lane]), target: Double(t[lane]))
      loss[lane] = Float(value.loss)
      gradient[lane] = Float(value.gradient)
    }
    return (loss, gradient)
  }

  /// BCE · (t·α + (1 − t)(1 − α)) · (1 − p)^γ, where `p` is the probability given to the truth.
  private func focal(_ x: Double, target t: Double) -> (loss: Double, gradient: Double) {
    let alpha = 0.25
    let gamma = Double(focalGamma)
    let weight = Double(positiveWeight)
    let sigmoid = 1 / (1 + exp(-x))
    let complement = 1 / (1 + exp(x))
    let logTerm = log1p(exp(-abs(x)))
    let entropy = (1 - t) * (logTerm + max(x, 0)) + t * weight * (logTerm + max(-x, 0))
    let entropySlope = (1 - t) * sigmoid - t * weight * complement
    let miss = t * complement + (1 - t) * sigmoid
    let missSlope = (1 - 2 * t) * sigmoid * complement
    let balance = t * alpha + (1 - t) * (1 - alpha)
    let modulation = pow(miss, gamma)
    let modulationSlope = miss > 0 ? gamma * modulation / miss * missSlope : 0
    return (balance * entropy * modulation, balance * (entropySlope * modulation + entropy * modulationSlope))
  }
}

@inline(__always)
private func magnitude(_ x: SIMD8<Float>) -> SIMD8<Float> { x.replacing(with: -x, where: x .< 0) }

/// `exp(x)` for `x ≤ 0`; not a number stays so. `x = n·ln 2 + r`, a polynomial of degree 6 for `exp(r)` (Cephes), `2ⁿ`
/// through the exponent's bits.
@inline(__always)
func exponential(_ argument: SIMD8<Float>) -> SIMD8<Float> {
  let x = argument.replacing(with: -87, where: argument .< -87)  // exp(−87) is the last normal number, roughly.
  // Adding 1.5·2²³ rounds to an integer, which then stands in the low bits of the mantissa.
  let magic: Float = 12_582_912
  let shifted = x * 1.442_695_040_9 + magic
  let n = shifted - magic
  let r = (x - n * 0.693_359_375) - n * -2.121_944_400_5e-4
  var p = r * 1.987_569_15e-4 + 1.398_199_950_7e-3
  p = p * r + 8.333_451_907_3e-3
  p = p * r + 4.166_579_589_4e-2
  p = p * r + 1.666_666_545_9e-1
  p = p * r + 0.500_000_012_01
  let mantissa = p * (r * r) + r + 1
  // Lane by lane is how Swift reinterprets bits safely; the compiler makes one instruction of each loop.
  var exponent = SIMD8<UInt32>()
  for lane in 0..<8 { exponent[lane] = shifted[lane].bitPattern }
  exponent = (exponent &- magic.bitPattern &+ 127) &<< 23
  var power = SIMD8<Float>()
  for lane in 0..<8 { power[lane] = Float(bitPattern: exponent[lane]) }
  return mantissa * power
}

/// `log(1 + e)` for `e` in [0, 1], as `2·artanh(e/(2 + e))`: its series ends after eight terms for arguments up to 1/3,
/// and small `e` keep their relative accuracy.
@inline(__always)
private func logarithmOnePlus(_ e: SIMD8<Float>) -> SIMD8<Float> {
  let s = e / (e + 2)
  let q = s * s
  var p = q * (1.0 / 15) + 1.0 / 13
  p = p * q + 1.0 / 11
  p = p * q + 1.0 / 9
  p = p * q + 1.0 / 7
  p = p * q + 1.0 / 5
  p = p * q + 1.0 / 3
  p = p * q + 1
  return 2 * s * p
}
