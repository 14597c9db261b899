// Elementwise and channel-wise arithmetic on NHWC maps of float or bfloat16, vectorised and run on libgomp's pool,
// which oneDNN shares.
//
// The maps of one call have the same element, except for `ck_copy`, which converts. Arithmetic is in float; a bfloat16
// result is rounded once, to nearest, ties to even, and NaN stays NaN.
//
// Destinations stand first; sources are only read. A destination may be the same memory as a source of equal stride,
// unless said otherwise; partial overlap is never allowed.
//
// Work is cut into one contiguous part per thread and partial sums are joined in the order of the parts, so results
// depend on the thread count but never on timing. Small maps stay on the calling thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum __attribute__((enum_extensibility(closed))) ck_element : int32_t { CK_FLOAT32, CK_BFLOAT16 } ck_element;

/// A map of pixels (images × height × width), each some channels wide. `stride` is the number of values from one pixel
/// to the next; it exceeds the channels where the map is a slice of a wider one.
typedef struct ck_map {
  void *data;
  long stride;
  ck_element element;
} ck_map;

/// The geometry of a convolution or a pooling. The output is `(height + 2·padding − kernel)/stride + 1` high, and
/// likewise wide.
typedef struct ck_window {
  long images, height, width, channels; // of the input
  long out_height, out_width;
  long kernel, stride, padding;
} ck_window;

// ---------------------------------------------------------------------------------------------------------- Threads

/// Sets the number of threads for kernels called from the calling thread (an OpenMP setting of that thread: oneDNN
/// follows it too).
void ck_set_thread_count(int count);
int ck_thread_count(void);

/// Calls `body(context, part)` for every part in `0 ..< parts`, on as many threads. Parts may not depend on each other.
/// Inside a part, kernels run on that thread alone.
void ck_parallel(int parts, void *context, void (*body)(void *context, int part));

/// A clock that never goes back.
long ck_nanoseconds(void);

// ------------------------------------------------------------------------------------------------------- Activations

typedef enum __attribute__((enum_extensibility(closed))) ck_activation : int32_t {
  CK_IDENTITY,
  CK_SILU,         // u·σ(u)
  CK_RELU,         // max(u, 0)
  CK_RELU6,        // min(max(u, 0), 6)
  CK_HARD_SWISH,   // u·min(max(u + 3, 0), 6)/6
  CK_HARD_SIGMOID, // min(max(u + 3, 0), 6)/6
  CK_SIGMOID,      // σ(u)
} ck_activation;

/// `dst = activation(src)`.
void ck_activate(ck_map dst, ck_map src, long rows, long channels, ck_activation activation);

/// `dst = gradient · activation'(src)`, where `src` is what the activation read; added to `dst` when `accumulate`.
void ck_activate_backward(
  ck_map dst, ck_map gradient, ck_map src, long rows, long channels, ck_activation activation, bool accumulate);

// -------------------------------------------------------------------------------------------------------- Batch norm

/// Per-channel statistics of `count` rows: `mean[c]`, and `deviation[c]`, the sum of squared deviations from it.
typedef struct ck_moments {
  double *mean, *deviation;
  long count;
} ck_moments;

/// Merges `rows` rows of `src` into `moments` (Chan, Golub and LeVeque's pairwise update), which are overwritten where
/// their count is 0. The count is the caller's to keep.
void ck_statistics(ck_moments moments, ck_map src, long rows, long channels);

/// Merges `other` into `moments`.
void ck_merge_statistics(ck_moments moments, ck_moments other, long channels);

/// Computes from the statistics of a whole batch: `batch_mean`, `inverse_deviation` = 1/√(variance + ε) with the
/// biased variance, `scale` = γ·inverse_deviation, `shift` = β, corrected by what rounding the mean lost.
/// `running_mean` and `running_variance` (unbiased) move by `momentum` towards the batch's.
typedef struct ck_batch_norm_finish_args {
  float *batch_mean, *inverse_deviation, *scale, *shift, *running_mean, *running_variance;
  ck_moments moments;
  const float *gamma, *beta;
  float epsilon, momentum;
  long channels;
} ck_batch_norm_finish_args;
void ck_batch_norm_finish(ck_batch_norm_finish_args args);

/// `dst = activation((src − mean[c])·scale[c] + shift[c]) (+ residual)`. A null `scale` counts as ones, a null `mean`
/// or `shift` as zeros, so it adds a bias as well; the data of `residual` may be null. (The mean is taken off first: of
/// a channel whose mean is far from zero, two large terms would cancel otherwise, and leave what they were rounded by.)
typedef struct ck_normalize_args {
  ck_map dst, src, residual;
  const float *mean, *scale, *shift;
  long rows, channels;
  ck_activation activation;
} ck_normalize_args;
void ck_normalize_activate(ck_normalize_args args);

// Backward, on the calling thread: a plan's lanes are threads already.

/// The backward pass of activation(u), u = (z − mean)·scale + shift, as far as it needs no sums over the batch:
/// du = gradient · activation'(u) into `du`, which may be `gradient` (not for the identity, whose du is the gradient);
/// activation(u) into `activated`, unless its data is null; and Σ du, Σ du·(z − mean) over the rows added to the sums.
typedef struct ck_batch_norm_reduce_args {
  ck_map du, activated;
  double *sum_du, *sum_du_centred;
  ck_map gradient, z;
  const float *mean, *scale, *shift;
  long rows, channels;
  ck_activation activation;
} ck_batch_norm_reduce_args;
void ck_batch_norm_backward_reduce(ck_batch_norm_reduce_args args);

/// From the sums over all `count` rows: the gradients of γ and β (added when `accumulate`), and the factors with which
/// dL/dz = du·by_du + (z − mean)·by_z + constant, that is γ·inverse_deviation·(du − Σdu/count − x̂·Σ(du·x̂)/count).
typedef struct ck_batch_norm_backward_finish_args {
  float *gamma_gradient, *beta_gradient, *by_du, *by_z, *constant;
  const double *sum_du, *sum_du_centred;
  long count;
  const float *gamma, *inverse_deviation;
  long channels;
  bool accumulate;
} ck_batch_norm_backward_finish_args;
void ck_batch_norm_backward_finish(ck_batch_norm_backward_finish_args args);

/// `dst = du·by_du[c] + (z − mean[c])·by_z[c] + constant[c]`. `dst` may be `du`. (With the mean's part inside the
/// constant, two large terms would cancel where a channel's mean is far from zero.)
typedef struct ck_batch_norm_apply_args {
  ck_map dst, du, z;
  const float *mean, *by_du, *by_z, *constant;
  long rows, channels;
} ck_batch_norm_apply_args;
void ck_batch_norm_backward_apply(ck_batch_norm_apply_args args);

// ------------------------------------------------------------------------------------------------- Copying and adding

/// 0 … 255 to 0 … 1: `dst = src / 255`.
void ck_unit_from_bytes(ck_map dst, const uint8_t *src, long rows, long channels);

void ck_fill(ck_map dst, long rows, long channels, float value);
/// `dst = src`: how a concat takes an input in, a slice is taken out, and their gradients go back. Converts where the
/// elements differ, and is not in place then.
void ck_copy(ck_map dst, ck_map src, long rows, long channels);
/// `dst = a + b`.
void ck_add(ck_map dst, ck_map a, ck_map b, long rows, long channels);

/// `dst = Σ over parts of parts[part·parts_stride + i]`, in the order of the parts; that sum is added to `dst` when
/// `accumulate`. Runs on the calling thread.
void ck_join_parts(float *dst, const float *parts, long parts_stride, int part_count, long count, bool accumulate);

/// `dst[to[i]] = src[from[i]]` for `count` values, added when `accumulate`; 0 at the `zeros` places that follow in `to`,
/// which ascends. One of the two may be bfloat16. Runs on the calling thread.
void ck_move_values(
  ck_map dst, ck_map src, const int32_t *to, const int32_t *from, long count, long zeros, bool accumulate);

// -------------------------------------------------------------------------------------------------------- Rearranging

/// `dst[channel i·groups + g] = src[channel g·(channels/groups) + i]` (ShuffleNet). Not in place.
void ck_shuffle(ck_map dst, ck_map src, long rows, long channels, long groups);
/// The inverse permutation; added to `dst` when `accumulate`. Not in place.
void ck_shuffle_backward(ck_map dst, ck_map gradient, long rows, long channels, long groups, bool accumulate);

/// Nearest neighbour: every pixel becomes `factor × factor`. `lines × width` is the source's, lines counted over the
/// images. Not in place.
void ck_upsample(ck_map dst, ck_map src, long lines, long width, long channels, long factor);
/// Sums each `factor × factor` block of `gradient` into the pixel it came from; `lines × width` is that of `dst`.
void ck_upsample_backward(
  ck_map dst, ck_map gradient, long lines, long width, long channels, long factor, bool accumulate);

// ------------------------------------------------------------------------------------------------------------ Pooling

/// Padding never wins. `kernel` ≤ 15; NaN is passed on. `winner`, unless null, gets for each output value (dense,
/// `channels` a pixel) which tap of the window, row-major, holds the first maximum, for the backward pass. Not in
/// place.
void ck_max_pool(ck_map dst, uint8_t *winner, ck_map src, ck_window window);
/// Routes each gradient to the winner of its window; `dst` is zeroed first unless `accumulate`.
void ck_max_pool_backward(ck_map dst, ck_map gradient, const uint8_t *winner, ck_window window, bool accumulate);

/// Sum over each window / `kernel`²: padding counts as zeros. Not in place.
void ck_average_windows(ck_map dst, ck_map src, ck_window window);
void ck_average_windows_backward(ck_map dst, ck_map gradient, ck_window window, bool accumulate);

/// Mean over the `pixels` of each image: `dst` is `images × channels`.
void ck_average_pool(ck_map dst, ck_map src, long images, long pixels, long channels);
void ck_average_pool_backward(ck_map dst, ck_map gradient, long images, long pixels, long channels, bool accumulate);

/// Squeeze-excite: `dst = src · factors[image, c]`; `factors` is `images × channels`.
void ck_scale_channels(ck_map dst, ck_map src, ck_map factors, long images, long pixels, long channels);
/// The gradient of the factors: `dst[image, c] = Σ over pixels of a · b`.
void ck_sum_products(ck_map dst, ck_map a, ck_map b, long images, long pixels, long channels);

/// `dst[c] = Σ over rows` (a bias's gradient); added when `accumulate`.
void ck_sum_rows(float *dst, ck_map src, long rows, long channels, bool accumulate);

// --------------------------------------------------------------------------------------------------------- Convolution

/// Depthwise convolution: `weights` are `kernel·kernel × channels` (tap-major), `bias` may be null. Not in place.
void ck_depthwise(ck_map dst, ck_map src, const float *weights, const float *bias, ck_window window);
/// The gradient of the input.
void ck_depthwise_backward_input(ck_map dst, ck_map gradient, const float *weights, ck_window window);
/// The gradient of the weights, tap-major.
void ck_depthwise_backward_weights(float *dst, ck_map gradient, ck_map src, ck_window window);

/// The windows of output pixels `first_row ..< end_row` (counted over images × out_height × out_width) as rows of
/// `kernel·kernel·channels` values, zero where they reach over the border. `src` is a map of float. Runs on the calling
/// thread.
void ck_gather_windows(float *dst, ck_map src, ck_window window, long first_row, long end_row);
/// The transpose: adds the rows of output line `out_line` (one line of `out_width` windows, counted over images ×
/// out_height) to the pixels of `dst` they were gathered from, but only to input lines `first_line ..< end_line`
/// (counted over images × height). Runs on the calling thread. `dst` is a map of float.
void ck_scatter_windows(
  ck_map dst, const float *windows, ck_window window, long out_line, long first_line, long end_line);

/// Whether this processor does better with the following than with oneDNN's weight gradient.
bool ck_prefers_blocked_weight_gradient(void);

/// The weight gradient of a convolution of one group, in oneDNN's blocked layout `OIhw8i8o`: output channels / 8 ×
/// input channels / 8 × kernel × kernel × 8 input × 8 output channels, zero where channels do not fill the last block.
/// `input` and `gradient` are dense. Overwrites `dst`, which is aligned to 32 bytes. Runs on the calling thread.
void ck_blocked_weight_gradient(
  float *dst, const float *input, const float *gradient, ck_window window, long out_channels);

// ------------------------------------------------------------------------------------------------------------ Updates

/// PyTorch's SGD with Nesterov momentum: d = g + decay·p; m = is_first ? d : momentum·m + d; p −= rate·(d +
/// momentum·m).
typedef struct ck_sgd_args {
  float *parameters, *momenta;
  const float *gradients;
  long count;
  double rate, momentum, decay;
  bool is_first;
} ck_sgd_args;
void ck_sgd(ck_sgd_args args);

/// PyTorch's Adam (decay is added to the gradient) and AdamW (`is_decoupled`: p is multiplied by 1 − rate·decay first).
/// `step` counts from 1.
typedef struct ck_adam_args {
  float *parameters, *means, *squares;
  const float *gradients;
  long count;
  double rate, beta1, beta2, epsilon, decay;
  long step;
  bool is_decoupled;
} ck_adam_args;
void ck_adam(ck_adam_args args);

/// `average = decay·average + (1 − decay)·values`.
void ck_moving_average(float *average, const float *values, long count, double decay);
/// `values *= factor`.
void ck_multiply(float *values, long count, float factor);
/// Σ values², in double.
double ck_sum_of_squares(const float *values, long count);
/// `gradients += rate·sign(parameters)`, sign(0) = 0: the subgradient of rate·|p|.
void ck_add_sign(float *gradients, const float *parameters, long count, float rate);

#ifdef __cplusplus
}
#endif
