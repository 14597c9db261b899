// Elementwise and channel-wise arithmetic on NHWC maps of float, vectorised and run on libgomp's pool, which oneDNN
// shares.
//
// A map is `rows` pixels (images × height × width) of `channels` values. Its stride is the number of floats from one
// pixel to the next; it exceeds `channels` where the map is a slice of the channels of a wider one. Destinations stand
// first. A destination may be the same memory as a source of equal stride, unless said otherwise; partial overlap is
// never allowed.
//
// Work is cut into one contiguous part per thread and partial sums are joined in the order of the parts, so results
// depend on the thread count but never on timing. Small maps stay on the calling thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------------------- Threads

/// Sets the number of threads for kernels called from the calling thread (an OpenMP setting of that thread: oneDNN
/// follows it too).
void ck_set_thread_count(int count);
int ck_thread_count(void);

/// Calls `body(context, part)` for every part in `0 ..< parts`, on as many threads. Parts may not depend on each other.
/// Inside a part, kernels run on that thread alone.
void ck_parallel(int parts, void *context, void (*body)(void *context, int part));

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
void ck_activate(
  float *dst, long dst_stride, const float *src, long src_stride, long rows, long channels, ck_activation activation);

/// `dst = gradient · activation'(src)`, where `src` is what the activation read; added to `dst` when `accumulate`.
void ck_activate_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, const float *src, long src_stride,
  long rows, long channels, ck_activation activation, bool accumulate);

// -------------------------------------------------------------------------------------------------------- Batch norm

/// Merges `rows` more rows of `src` into per-channel statistics of `count` rows: `mean[c]`, and `deviation[c]`, the sum
/// of squared deviations from it (Chan, Golub and LeVeque's pairwise update). With `count` 0 they are overwritten.
void ck_statistics(
  double *mean, double *deviation, long count, const float *src, long stride, long rows, long channels);

/// Merges per-channel statistics (as of `ck_statistics`) of `other_count` rows into those of `count` rows.
void ck_merge_statistics(
  double *mean, double *deviation, long count, const double *other_mean, const double *other_deviation,
  long other_count, long channels);

/// From the statistics of `count` rows: `batch_mean`, `inverse_deviation` = 1/√(variance + ε) with the biased variance,
/// `scale` = γ·inverse_deviation, `shift` = β, corrected by what rounding the mean lost; `running_mean` and
/// `running_variance` (unbiased) move by `momentum` towards the batch's, unless they are null.
void ck_batch_norm_finish(
  float *batch_mean, float *inverse_deviation, float *scale, float *shift, float *running_mean,
  float *running_variance, const double *mean, const double *deviation, long count, const float *gamma,
  const float *beta, float epsilon, float momentum, long channels);

/// `dst = activation((src − mean[c])·scale[c] + shift[c]) (+ residual)`; `residual` may be null. A null `scale` counts
/// as ones, a null `mean` or `shift` as zeros, so it adds a bias as well. (The mean is taken off first: of a channel
/// whose mean is far from zero, two large terms would cancel otherwise, and leave what they were rounded by.)
void ck_normalize_activate(
  float *dst, long dst_stride, const float *src, long src_stride, const float *mean, const float *scale,
  const float *shift, const float *residual, long residual_stride, long rows, long channels,
  ck_activation activation);

// Backward, on the calling thread: a plan's lanes are threads already.

/// What the backward of activation(u), u = (z − mean)·scale + shift, can do before the sums over the batch are known:
/// du = gradient · activation'(u) into `du`, which may be `gradient` (not for the identity, whose du is the gradient);
/// activation(u) into `activated`, unless null; and Σ du, Σ du·(z − mean) over the rows added to the sums.
void ck_batch_norm_backward_reduce(
  float *du, long du_stride, float *activated, long activated_stride, double *sum_du, double *sum_du_centred,
  const float *gradient, long gradient_stride, const float *z, long z_stride, const float *mean, const float *scale,
  const float *shift, long rows, long channels, ck_activation activation);

/// From the sums over all `count` rows: the gradients of γ and β (added when `accumulate`), and the factors with which
/// dL/dz = du·by_du + (z − mean)·by_z + constant, that is γ·inverse_deviation·(du − Σdu/count − x̂·Σ(du·x̂)/count).
void ck_batch_norm_backward_finish(
  float *gamma_gradient, float *beta_gradient, float *by_du, float *by_z, float *constant, const double *sum_du,
  const double *sum_du_centred, long count, const float *gamma, const float *inverse_deviation, long channels,
  bool accumulate);

/// `dst = du·by_du[c] + (z − mean[c])·by_z[c] + constant[c]`. `dst` may be `du`. (With the mean's part inside the constant,
/// two large terms would cancel where a channel's mean is far from zero.)
void ck_batch_norm_backward_apply(
  float *dst, long dst_stride, const float *du, long du_stride, const float *z, long z_stride, const float *mean,
  const float *by_du, const float *by_z, const float *constant, long rows, long channels);

// -------------------------------------------------------------------------------------------------- Moving and adding

/// 0 … 255 to 0 … 1: `dst = src / 255`.
void ck_unit_from_bytes(float *dst, const uint8_t *src, long count);

void ck_fill(float *dst, long count, float value);
/// `dst = src`: how a concat takes an input in, a slice is taken out, and their gradients go back.
void ck_copy(float *dst, long dst_stride, const float *src, long src_stride, long rows, long channels);
/// `dst += src`.
void ck_accumulate(float *dst, long dst_stride, const float *src, long src_stride, long rows, long channels);
/// `dst = a + b`.
void ck_add(
  float *dst, long dst_stride, const float *a, long a_stride, const float *b, long b_stride, long rows, long channels);

/// `dst = Σ over parts of parts[part·parts_stride + i]`, in the order of the parts; that sum is added to `dst` when
/// `accumulate`. Runs on the calling thread.
void ck_join_parts(float *dst, const float *parts, long parts_stride, int part_count, long count, bool accumulate);

/// `dst[channel i·groups + g] = src[channel g·(channels/groups) + i]` (ShuffleNet). Not in place.
void ck_shuffle(
  float *dst, long dst_stride, const float *src, long src_stride, long rows, long channels, long groups);
/// The inverse permutation; added to `dst` when `accumulate`. Not in place.
void ck_shuffle_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, long rows, long channels, long groups,
  bool accumulate);

/// Nearest neighbour: every pixel becomes `factor × factor`. `height × width` is the source's. Not in place.
void ck_upsample(
  float *dst, long dst_stride, const float *src, long src_stride, long images, long height, long width, long channels,
  long factor);
/// Sums each `factor × factor` block of `gradient` into the pixel it came from; `height × width` is that of `dst`.
void ck_upsample_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, long images, long height, long width,
  long channels, long factor, bool accumulate);

// ------------------------------------------------------------------------------------------------------------ Pooling

/// `height × width` is the source's; the output is `(height + 2·padding − kernel)/stride + 1` high, and likewise wide.
/// Padding never wins. `kernel` ≤ 15; NaN is passed on. `winner`, unless null, gets for each output value (dense,
/// `channels` a pixel) which tap of the window, row-major, holds the first maximum, for the backward pass. Not in place.
void ck_max_pool(
  float *dst, long dst_stride, uint8_t *winner, const float *src, long src_stride, long images, long height,
  long width, long channels, long kernel, long stride, long padding);
/// Routes each gradient to the winner of its window; `height × width` is that of `dst`, which is zeroed first unless
/// `accumulate`.
void ck_max_pool_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, const uint8_t *winner, long images,
  long height, long width, long channels, long kernel, long stride, long padding, bool accumulate);

/// Sum over each window / `kernel`²: padding counts as zeros. Sizes as in `ck_max_pool`. Not in place.
void ck_average_windows(
  float *dst, long dst_stride, const float *src, long src_stride, long images, long height, long width,
  long channels, long kernel, long stride, long padding);
/// `height × width` is that of `dst`.
void ck_average_windows_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, long images, long height, long width,
  long channels, long kernel, long stride, long padding, bool accumulate);

/// Mean over the `pixels` of each image: `dst` is `images × channels`, dense.
void ck_average_pool(float *dst, const float *src, long src_stride, long images, long pixels, long channels);
void ck_average_pool_backward(
  float *dst, long dst_stride, const float *gradient, long images, long pixels, long channels, bool accumulate);

/// Squeeze-excite: `dst = src · factors[image, c]`; `factors` is `images × channels`, dense.
void ck_scale_channels(
  float *dst, long dst_stride, const float *src, long src_stride, const float *factors, long images, long pixels,
  long channels);
/// `d_src = gradient · factors`, `d_factors = Σ over pixels of gradient · src`; each added when its flag says so.
void ck_scale_channels_backward(
  float *d_src, long d_src_stride, float *d_factors, const float *gradient, long gradient_stride, const float *src,
  long src_stride, const float *factors, long images, long pixels, long channels, bool accumulate_src,
  bool accumulate_factors);

/// `dst[c] = Σ over rows` (a bias's gradient); added when `accumulate`.
void ck_sum_rows(float *dst, const float *src, long stride, long rows, long channels, bool accumulate);

// --------------------------------------------------------------------------------------------------------- Convolution

typedef struct ck_window {
  long images, height, width, channels; // of the input
  long out_height, out_width;
  long kernel, stride, padding;
} ck_window;

/// Depthwise convolution: `weights` are `kernel·kernel × channels` (tap-major), `bias` may be null. Not in place.
void ck_depthwise(
  float *dst, long dst_stride, const float *src, long src_stride, const float *weights, const float *bias,
  ck_window window);
/// Gradient of the input; added to `dst` when `accumulate`.
void ck_depthwise_backward_input(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, const float *weights, ck_window window,
  bool accumulate);
/// Gradient of the weights, tap-major; added to `dst` when `accumulate`.
void ck_depthwise_backward_weights(
  float *dst, const float *gradient, long gradient_stride, const float *src, long src_stride, ck_window window,
  bool accumulate);

/// The windows of output pixels `first_row ..< end_row` (counted over images × out_height × out_width) as rows of
/// `kernel·kernel·channels` values, zero where they reach over the border. Runs on the calling thread.
void ck_gather_windows(
  float *dst, const float *src, long src_stride, ck_window window, long first_row, long end_row);
/// The transpose: adds the rows of output line `out_line` (one line of `out_width` windows, counted over
/// images × out_height) to the pixels of `dst` they were gathered from, but only to input lines `first_line ..< end_line`
/// (counted over images × height). Runs on the calling thread.
void ck_scatter_windows(
  float *dst, long dst_stride, const float *windows, ck_window window, long out_line, long first_line, long end_line);

/// `dst[j, i] = src[i, j]` for each of `count` matrices of `rows × columns`; added when `accumulate`. Not in place.
void ck_transpose(float *dst, const float *src, long count, long rows, long columns, bool accumulate);

// ------------------------------------------------------------------------------------------------------------ Updates

/// PyTorch's SGD with Nesterov momentum: d = g + decay·p; buffer = first ? d : momentum·buffer + d;
/// p −= rate·(d + momentum·buffer).
void ck_sgd(
  float *parameters, float *buffer, const float *gradients, long count, double rate, double momentum, double decay,
  bool first);

/// PyTorch's Adam (`decoupled` false: decay is added to the gradient) and AdamW (true: p is multiplied by
/// 1 − rate·decay first). `step` counts from 1.
void ck_adam(
  float *parameters, float *mean, float *square, const float *gradients, long count, double rate, double beta1,
  double beta2, double epsilon, double decay, long step, bool decoupled);

/// `average = decay·average + (1 − decay)·values`.
void ck_moving_average(float *average, const float *values, long count, double decay);
/// `values *= factor`.
void ck_multiply(float *values, long count, float factor);
/// Σ values², in double.
double ck_sum_of_squares(const float *values, long count);
/// `gradients += rate·sign(parameters)`, sign(0) = 0: the subgradient of rate·|p|.
void ck_add_sign(float *gradients, const float *parameters, long count, float rate);

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
