#include "activation.h"
#include <string.h>

// The backward of batch norm as a training plan runs it: everything that can be done while an image is in cache is done
// in one pass, and what has to wait for the sums of the whole batch is a multiply-add.

typedef struct {
  float *du, *activated;
  const float *gradient, *z, *mean, *scale, *shift;
  long du_stride, activated_stride, gradient_stride, z_stride, channels;
  float *block_du, *block_du_z;
} reduce_task;

/// Value and slope at once: they share the exponential.
CK_INLINE float both(float u, float gradient, ck_activation activation, float *value) {
  if (activation == CK_SILU || activation == CK_SIGMOID) {
    const float s = ck_sigmoid(u);
    *value = activation == CK_SILU ? u * s : s;
    return gradient * (activation == CK_SILU ? u * s * (1.0f - s) + s : s * (1.0f - s));
  }
  *value = ck_apply(u, activation);
  return ck_apply_backward(gradient, u, activation);
}

/// Rows `first ..< first + count`, where `count` is a constant; their sums are joined before they are stored.
CK_INLINE void reduce_rows(const reduce_task *t, long first, int count, bool writes_activated, ck_activation activation) {
  const long channels = t->channels;
  const float *mean = t->mean, *scale = t->scale, *shift = t->shift;
  float *block_du = t->block_du, *block_du_z = t->block_du_z;
  const float *gradient = t->gradient + first * t->gradient_stride, *z = t->z + first * t->z_stride;
  const long gradient_stride = t->gradient_stride, z_stride = t->z_stride;
  const long du_stride = t->du_stride, activated_stride = t->activated_stride;
  float *du_rows = activation == CK_IDENTITY ? NULL : t->du + first * du_stride;
  float *activated = writes_activated ? t->activated + first * activated_stride : NULL;
  CK_SIMD for (long c = 0; c < channels; c++) {
    float sum = 0, sum_z = 0;
#pragma clang loop unroll(full)
    for (int r = 0; r < count; r++) {
      float value;
      const float x = z[r * z_stride + c];
      const float du = both((x - mean[c]) * scale[c] + shift[c], gradient[r * gradient_stride + c], activation, &value);
      sum += du;
      sum_z += du * (x - mean[c]);
      if (activation != CK_IDENTITY) du_rows[r * du_stride + c] = du;
      if (writes_activated) activated[r * activated_stride + c] = value;
    }
    block_du[c] += sum;
    block_du_z[c] += sum_z;
  }
}

CK_INLINE void reduce_block(const reduce_task *t, long first, long last, ck_activation activation) {
  long r = first;
  if (t->activated) {
    for (; r + 4 <= last; r += 4) reduce_rows(t, r, 4, true, activation);
    for (; r < last; r++) reduce_rows(t, r, 1, true, activation);
  } else {
    for (; r + 4 <= last; r += 4) reduce_rows(t, r, 4, false, activation);
    for (; r < last; r++) reduce_rows(t, r, 1, false, activation);
  }
}

CK_CLONES static void reduce(
  const reduce_task *t, long rows, double *sum_du, double *sum_du_z, ck_activation activation) {
  const long channels = t->channels;
  const long block = ck_min(ck_max(16384 / channels, 32), 256);
  for (long first = 0; first < rows; first += block) {
    const long last = ck_min(first + block, rows);
    memset(t->block_du, 0, (size_t)channels * sizeof(float));
    memset(t->block_du_z, 0, (size_t)channels * sizeof(float));
    CK_FOR_ACTIVATION(activation, reduce_block, t, first, last)
    for (long c = 0; c < channels; c++) {
      sum_du[c] += t->block_du[c];
      sum_du_z[c] += t->block_du_z[c];
    }
  }
}

void ck_batch_norm_backward_reduce(
  float *du, long du_stride, float *activated, long activated_stride, double *sum_du, double *sum_du_centred,
  const float *gradient, long gradient_stride, const float *z, long z_stride, const float *mean, const float *scale,
  const float *shift, long rows, long channels, ck_activation activation) {
  if (rows <= 0 || channels <= 0) return;
  const bool dense = gradient_stride == channels && z_stride == channels
    && (activation == CK_IDENTITY || du_stride == channels) && (!activated || activated_stride == channels);
  const long pixels = ck_pixels_per_row(rows, channels, dense);
  const long wide_rows = rows / pixels, width = channels * pixels, rest = rows - wide_rows * pixels;
  double *sums = ck_scratch((size_t)(2 * width) * sizeof(double) + (size_t)(5 * width) * sizeof(float));
  float *wide = (float *)(sums + 2 * width);
  memset(sums, 0, (size_t)(2 * width) * sizeof(double));
  ck_repeat(wide, mean, channels, pixels, 0);
  ck_repeat(wide + width, scale, channels, pixels, 0);
  ck_repeat(wide + 2 * width, shift, channels, pixels, 0);
  reduce_task t = {
    .du = du, .activated = activated, .gradient = gradient, .z = z, .mean = wide, .scale = wide + width,
    .shift = wide + 2 * width, .du_stride = du_stride * pixels, .activated_stride = activated_stride * pixels,
    .gradient_stride = gradient_stride * pixels, .z_stride = z_stride * pixels, .channels = width,
    .block_du = wide + 3 * width, .block_du_z = wide + 4 * width};
  reduce(&t, wide_rows, sums, sums + width, activation);
  if (rest > 0) {
    t.du = du ? du + wide_rows * t.du_stride : NULL;
    t.activated = activated ? activated + wide_rows * t.activated_stride : NULL;
    t.gradient += wide_rows * t.gradient_stride;
    t.z += wide_rows * t.z_stride;
    t.channels = rest * channels;
    reduce(&t, 1, sums, sums + width, activation);
  }
  for (long p = 0; p < pixels; p++) {
    for (long c = 0; c < channels; c++) {
      sum_du[c] += sums[p * channels + c];
      sum_du_centred[c] += sums[width + p * channels + c];
    }
  }
}

CK_CLONES static void apply_rows(
  float *dst, long dst_stride, const float *du, long du_stride, const float *z, long z_stride, const float *mean,
  const float *by_du, const float *by_z, const float *constant, long rows, long channels) {
  for (long r = 0; r < rows; r++) {
    float *d = dst + r * dst_stride;
    const float *g = du + r * du_stride, *x = z + r * z_stride;
    CK_SIMD for (long c = 0; c < channels; c++) d[c] = g[c] * by_du[c] + ((x[c] - mean[c]) * by_z[c] + constant[c]);
  }
}

void ck_batch_norm_backward_apply(
  float *dst, long dst_stride, const float *du, long du_stride, const float *z, long z_stride, const float *mean,
  const float *by_du, const float *by_z, const float *constant, long rows, long channels) {
  if (rows <= 0 || channels <= 0) return;
  const bool dense = dst_stride == channels && du_stride == channels && z_stride == channels;
  const long pixels = ck_pixels_per_row(rows, channels, dense);
  const long wide_rows = rows / pixels, width = channels * pixels, done = wide_rows * pixels;
  float *wide = ck_scratch((size_t)(4 * width) * sizeof(float));
  ck_repeat(wide, mean, channels, pixels, 0);
  ck_repeat(wide + width, by_du, channels, pixels, 0);
  ck_repeat(wide + 2 * width, by_z, channels, pixels, 0);
  ck_repeat(wide + 3 * width, constant, channels, pixels, 0);
  apply_rows(
    dst, dst_stride * pixels, du, du_stride * pixels, z, z_stride * pixels, wide, wide + width, wide + 2 * width,
    wide + 3 * width, wide_rows, width);
  apply_rows(
    dst + done * dst_stride, dst_stride, du + done * du_stride, du_stride, z + done * z_stride, z_stride, mean, by_du,
    by_z, constant, rows - done, channels);
}

void ck_batch_norm_backward_finish(
  float *gamma_gradient, float *beta_gradient, float *by_du, float *by_z, float *constant, const double *sum_du,
  const double *sum_du_centred, long count, const float *gamma, const float *inverse_deviation, long channels,
  bool accumulate) {
  for (long c = 0; c < channels; c++) {
    const double inverse = inverse_deviation[c], slope = gamma[c] * inverse;
    const double along = -slope * inverse * inverse * sum_du_centred[c] / (double)count;
    by_du[c] = (float)slope;
    by_z[c] = (float)along;
    constant[c] = (float)(-slope * sum_du[c] / (double)count);
    gamma_gradient[c] = (accumulate ? gamma_gradient[c] : 0) + (float)(sum_du_centred[c] * inverse);
    beta_gradient[c] = (accumulate ? beta_gradient[c] : 0) + (float)sum_du[c];
  }
}
