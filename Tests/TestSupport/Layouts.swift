public import Network

/// `N × C × H × W` → `N × H × W × C`, and back: fixtures are the former, plans the latter.
public func nhwc(_ tensor: Tensor) -> Tensor { permuted(tensor, toChannelsLast: true) }

public func nchw(_ tensor: Tensor) -> Tensor { permuted(tensor, toChannelsLast: false) }

private func permuted(_ tensor: Tensor, toChannelsLast: Bool) -> Tensor {
  let s = tensor.shape
  let (n, c, h, w) = toChannelsLast ? (s[0], s[1], s[2], s[3]) : (s[0], s[3], s[1], s[2])
  var result = Tensor(shape: toChannelsLast ? [n, h, w, c] : [n, c, h, w])
  let source = tensor.values
  var values = result.values
  for image in 0..<n {
    for channel in 0..<c {
      for y in 0..<h {
        for x in 0..<w {
          let first = ((image * c + channel) * h + y) * w + x
          let last = ((image * h + y) * w + x) * c + channel
          if toChannelsLast { values[last] = source[first] } else { values[first] = source[last] }
        }
      }
    }
  }
  result.values = values
  return result
}
