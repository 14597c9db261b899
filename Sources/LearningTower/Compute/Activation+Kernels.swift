internal import CKernels
import Network

extension Activation? {
  var kernel: ck_activation {
    switch self {
    case nil: .CK_IDENTITY
    case .silu: .CK_SILU
    case .relu: .CK_RELU
    case .relu6: .CK_RELU6
    case .hardSwish: .CK_HARD_SWISH
    case .hardSigmoid: .CK_HARD_SIGMOID
    case .sigmoid: .CK_SIGMOID
    }
  }
}
