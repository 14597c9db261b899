// What a training plan needs besides CKernels.h. All of it runs on the calling thread: a plan's lanes are threads already.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Merges per-channel statistics (as of `ck_statistics`) of `other_count` rows into those of `count` rows.
void ck_merge_statistics(
  double *mean, double *deviation, long count, const double *other_mean, const double *other_deviation,
  long other_count, long channels);

/// What the backward of activation(u), u = z·scale + shift, can do before the sums over the batch are known:
/// du = gradient · activation'(u) into `du`, which may be `gradient` (not for the identity, whose du is the gradient);
/// activation(u) into `activated`, unless null; and Σ du, Σ du·(z − mean) over the rows added to the sums.
void ck_batch_norm_backward_reduce(
  float *du, long du_stride, float *activated, long activated_stride, double *sum_du, double *sum_du_centred,
  const float *gradient, long gradient_stride, const float *z, long z_stride, const float *mean, const float *scale,
  const float *shift, long rows, long channels, ck_activation activation);

/// From the sums over all `count` rows: the gradients of γ and β (added when `accumulate`), and the factors with which
/// dL/dz = du·by_du + z·by_z + constant, that is γ·inverse_deviation·(du − Σdu/count − x̂·Σ(du·x̂)/count).
void ck_batch_norm_backward_finish(
  float *gamma_gradient, float *beta_gradient, float *by_du, float *by_z, float *constant, const double *sum_du,
  const double *sum_du_centred, long count, const float *gamma, const float *mean, const float *inverse_deviation,
  long channels, bool accumulate);

/// `dst = du·by_du[c] + z·by_z[c] + constant[c]`. `dst` may be `du`.
void ck_batch_norm_backward_apply(
  float *dst, long dst_stride, const float *du, long du_stride, const float *z, long z_stride, const float *by_du,
  const float *by_z, const float *constant, long rows, long channels);

/// `dst = Σ over parts of parts[part·parts_stride + i]` in the order of the parts; added to `dst` when `accumulate`.
void ck_join_parts(float *dst, const float *parts, long parts_stride, int part_count, long count, bool accumulate);

/// Whether this processor does better with the following than with oneDNN's weight gradient.
bool ck_prefers_blocked_weight_gradient(void);

/// The weight gradient of a convolution of one group, in oneDNN's blocked layout `OIhw8i8o`: output channels / 8 × input
/// channels / 8 × kernel × kernel × 8 input × 8 output channels, zero where channels do not fill the last block. `input`
/// and `gradient` are dense. Overwrites `dst`, which is aligned to 32 bytes. Runs on the calling thread.
void ck_blocked_weight_gradient(
  float *dst, const float *input, const float *gradient, ck_window window, long out_channels);

#ifdef __cplusplus
}
#endif
