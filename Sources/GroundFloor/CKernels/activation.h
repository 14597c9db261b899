// Activations and their derivatives, branch-free, so that loops over them vectorise.
#pragma once

#include "values.h"

/// e⁻ᵘ = 2ⁿ·2ᶠ, where n is the whole number nearest to −u·log₂e and f what remains: a polynomial for 2ᶠ (relative
/// error 9e-9: one that float rounding hides, since an error of constant sign would add up over a map), and n added to
/// the exponent. u is clamped at ±87. NaN stays NaN.
CK_INLINE float ck_exp_minus(float u) {
  const float magic = 12582912.0f; // 1.5·2²³: adding it rounds to a whole number and leaves that in the low bits.
  const float minus_log2e = -1.44269504088896341f;
  u = u < -87.0f ? -87.0f : u;
  u = u > 87.0f ? 87.0f : u;
  const ck_float_bits rounded = {.value = u * minus_log2e + magic};
  const float n = rounded.value - magic;
  const float f = (u * minus_log2e - n) - u * 1.9259630e-8f; // The rest of log₂e.
  float p = 1.5461447e-04f;
  p = p * f + 1.3390867e-03f;
  p = p * f + 9.6180567e-03f;
  p = p * f + 5.5503571e-02f;
  p = p * f + 2.4022651e-01f;
  p = p * f + 6.9314719e-01f;
  p = p * f + 1.0f;
  ck_float_bits result = {.value = p};
  result.bits += rounded.bits << 23;
  return result.value;
}

CK_INLINE float ck_sigmoid(float u) { return 1.0f / (1.0f + ck_exp_minus(u)); }

/// Comparisons are written so that NaN passes through: training that diverged must show.
CK_INLINE float ck_clamp6(float u) {
  u = u < 0.0f ? 0.0f : u;
  return u > 6.0f ? 6.0f : u;
}

CK_INLINE float ck_apply(float u, ck_activation activation) {
  switch (activation) {
  case CK_IDENTITY: return u;
  case CK_SILU: return u / (1.0f + ck_exp_minus(u));
  case CK_RELU: return u < 0.0f ? 0.0f : u;
  case CK_RELU6: return ck_clamp6(u);
  case CK_HARD_SWISH: return u * ck_clamp6(u + 3.0f) * (1.0f / 6.0f);
  case CK_HARD_SIGMOID: return ck_clamp6(u + 3.0f) * (1.0f / 6.0f);
  case CK_SIGMOID: return ck_sigmoid(u);
  }
}

/// The gradient in front of the activation. At the kinks PyTorch's side is taken: 0 at relu's and relu6's.
CK_INLINE float ck_apply_backward(float gradient, float u, ck_activation activation) {
  switch (activation) {
  case CK_IDENTITY: return gradient;
  case CK_SILU: {
    float s = ck_sigmoid(u);
    return gradient * (u * s * (1.0f - s) + s);
  }
  case CK_RELU: return u > 0.0f ? gradient : 0.0f;
  case CK_RELU6: return ((u > 0.0f) & (u < 6.0f)) ? gradient : 0.0f;
  case CK_HARD_SWISH: {
    float slope = u < 3.0f ? u * (1.0f / 3.0f) + 0.5f : 1.0f;
    return gradient * (u > -3.0f ? slope : 0.0f);
  }
  case CK_HARD_SIGMOID: return ((u > -3.0f) & (u < 3.0f)) ? gradient * (1.0f / 6.0f) : 0.0f;
  case CK_SIGMOID: {
    float s = ck_sigmoid(u);
    return gradient * (s * (1.0f - s));
  }
  }
}

/// Calls `function(..., ACTIVATION)` with the activation as a constant, so that each gets a loop of its own.
#define CK_FOR_ACTIVATION(activation, function, ...) \
  switch (activation) { \
  case CK_IDENTITY: function(__VA_ARGS__, CK_IDENTITY); break; \
  case CK_SILU: function(__VA_ARGS__, CK_SILU); break; \
  case CK_RELU: function(__VA_ARGS__, CK_RELU); break; \
  case CK_RELU6: function(__VA_ARGS__, CK_RELU6); break; \
  case CK_HARD_SWISH: function(__VA_ARGS__, CK_HARD_SWISH); break; \
  case CK_HARD_SIGMOID: function(__VA_ARGS__, CK_HARD_SIGMOID); break; \
  case CK_SIGMOID: function(__VA_ARGS__, CK_SIGMOID); break; \
  }
