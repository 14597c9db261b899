#include "activation.h"
#include "rows.h"
#include <string.h>

// The backward of batch norm as a training plan runs it: everything that can be done while an image is in cache is done
// in one pass, and what has to wait for the sums of the whole batch is a multiply-add.

/// A block of rows, and the block's sums in float.
typedef struct {
  ck_batch_norm_reduce_args a;
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
CK_INLINE void reduce_rows(
  const reduce_task *t, long first, int count, bool writes_activated, ck_element e, ck_activation activation) {
  const ck_batch_norm_reduce_args *a = &t->a;
  const long channels = a->channels;
  const float *mean = a->mean, *scale = a->scale, *shift = a->shift;
  float *block_du = t->block_du, *block_du_z = t->block_du_z;
  const ck_map gradient = ck_after(ck_as(e, a->gradient), first), z = ck_after(ck_as(e, a->z), first);
  const ck_map du_rows = ck_after(ck_as(e, a->du), first), activated = ck_after(ck_as(e, a->activated), first);
  CK_SIMD for (long c = 0; c < channels; c++) {
    float sum = 0, sum_z = 0;
#pragma clang loop unroll(full)
    for (int r = 0; r < count; r++) {
      float value;
      const float x = ck_get(z, r * z.stride + c), g = ck_get(gradient, r * gradient.stride + c);
      const float du = both((x - mean[c]) * scale[c] + shift[c], g, activation, &value);
      sum += du;
      sum_z += du * (x - mean[c]);
      if (activation != CK_IDENTITY) ck_set(du_rows, r * du_rows.stride + c, du);
      if (writes_activated) ck_set(activated, r * activated.stride + c, value);
    }
    block_du[c] += sum;
    block_du_z[c] += sum_z;
  }
}

CK_INLINE void reduce_block(const reduce_task *t, long first, long last, ck_element e, ck_activation activation) {
  long r = first;
  if (t->a.activated.data) {
    for (; r + 4 <= last; r += 4) reduce_rows(t, r, 4, true, e, activation);
    for (; r < last; r++) reduce_rows(t, r, 1, true, e, activation);
  } else {
    for (; r + 4 <= last; r += 4) reduce_rows(t, r, 4, false, e, activation);
    for (; r < last; r++) reduce_rows(t, r, 1, false, e, activation);
  }
}

CK_INLINE void reduce(const reduce_task *t, long begin, long end, int part, ck_element e) {
  const long channels = t->a.channels;
  const long block = ck_min(ck_max(16384 / channels, 32), 256);
  for (long first = begin; first < end; first += block) {
    const long last = ck_min(first + block, end);
    memset(t->block_du, 0, (size_t)channels * sizeof(float));
    memset(t->block_du_z, 0, (size_t)channels * sizeof(float));
    CK_FOR_ACTIVATION(t->a.activation, reduce_block, t, first, last, e)
    for (long c = 0; c < channels; c++) {
      t->a.sum_du[c] += t->block_du[c];
      t->a.sum_du_centred[c] += t->block_du_z[c];
    }
  }
}
CK_BODY(reduce, reduce_task, a.z)

void ck_batch_norm_backward_reduce(ck_batch_norm_reduce_args a) {
  if (a.rows <= 0 || a.channels <= 0) return;
  const long channels = a.channels;
  const bool is_dense = a.gradient.stride == channels && a.z.stride == channels
    && (a.activation == CK_IDENTITY || a.du.stride == channels)
    && (!a.activated.data || a.activated.stride == channels);
  const ck_wide wide = ck_widen(a.rows, channels, is_dense);
  const long width = wide.width;
  double *sums = ck_scratch((size_t)(2 * width) * sizeof(double) + (size_t)(5 * width) * sizeof(float));
  float *parameters = (float *)(sums + 2 * width);
  memset(sums, 0, (size_t)(2 * width) * sizeof(double));
  reduce_task t = {a, parameters + 3 * width, parameters + 4 * width};
  t.a.du = ck_wide_map(a.du, wide);
  t.a.activated = ck_wide_map(a.activated, wide);
  t.a.gradient = ck_wide_map(a.gradient, wide);
  t.a.z = ck_wide_map(a.z, wide);
  t.a.sum_du = sums;
  t.a.sum_du_centred = sums + width;
  t.a.mean = ck_repeat(parameters, a.mean, channels, wide, 0);
  t.a.scale = ck_repeat(parameters + width, a.scale, channels, wide, 0);
  t.a.shift = ck_repeat(parameters + 2 * width, a.shift, channels, wide, 0);
  t.a.channels = width;
  reduce_body(&t, 0, wide.rows, 0);
  if (wide.rest > 0) {
    t.a.du = ck_after(t.a.du, wide.rows);
    t.a.activated = ck_after(t.a.activated, wide.rows);
    t.a.gradient = ck_after(t.a.gradient, wide.rows);
    t.a.z = ck_after(t.a.z, wide.rows);
    t.a.channels = wide.rest * channels;
    reduce_body(&t, 0, 1, 0);
  }
  for (long p = 0; p < wide.pixels; p++) {
    for (long c = 0; c < channels; c++) {
      a.sum_du[c] += sums[p * channels + c];
      a.sum_du_centred[c] += sums[width + p * channels + c];
    }
  }
}

CK_INLINE void apply(const ck_batch_norm_apply_args *a, long begin, long end, int part, ck_element e) {
  const float *mean = a->mean, *by_du = a->by_du, *by_z = a->by_z, *constant = a->constant;
  const long channels = a->channels;
  const ck_map to = ck_as(e, a->dst), du_map = ck_as(e, a->du), z_map = ck_as(e, a->z);
  for (long r = begin; r < end; r++) {
    const ck_map dst = ck_after(to, r), du = ck_after(du_map, r), z = ck_after(z_map, r);
    CK_SIMD for (long c = 0; c < channels; c++) {
      ck_set(dst, c, ck_get(du, c) * by_du[c] + ((ck_get(z, c) - mean[c]) * by_z[c] + constant[c]));
    }
  }
}
CK_BODY(apply, ck_batch_norm_apply_args, dst)

void ck_batch_norm_backward_apply(ck_batch_norm_apply_args a) {
  if (a.rows <= 0 || a.channels <= 0) return;
  const long channels = a.channels;
  const bool is_dense = a.dst.stride == channels && a.du.stride == channels && a.z.stride == channels;
  const ck_wide wide = ck_widen(a.rows, channels, is_dense);
  float *parameters = ck_scratch((size_t)(4 * wide.width) * sizeof(float));
  ck_batch_norm_apply_args t = {
    .dst = ck_wide_map(a.dst, wide), .du = ck_wide_map(a.du, wide), .z = ck_wide_map(a.z, wide),
    .mean = ck_repeat(parameters, a.mean, channels, wide, 0),
    .by_du = ck_repeat(parameters + wide.width, a.by_du, channels, wide, 0),
    .by_z = ck_repeat(parameters + 2 * wide.width, a.by_z, channels, wide, 0),
    .constant = ck_repeat(parameters + 3 * wide.width, a.constant, channels, wide, 0), .channels = wide.width};
  apply_body(&t, 0, wide.rows, 0);
  t.dst = ck_after(t.dst, wide.rows);
  t.du = ck_after(t.du, wide.rows);
  t.z = ck_after(t.z, wide.rows);
  t.channels = wide.rest * channels;
  apply_body(&t, 0, wide.rest > 0, 0);
}

void ck_batch_norm_backward_finish(ck_batch_norm_backward_finish_args a) {
  for (long c = 0; c < a.channels; c++) {
    const double inverse = a.inverse_deviation[c], slope = a.gamma[c] * inverse;
    const double along = -slope * inverse * inverse * a.sum_du_centred[c] / (double)a.count;
    a.by_du[c] = (float)slope;
    a.by_z[c] = (float)along;
    a.constant[c] = (float)(-slope * a.sum_du[c] / (double)a.count);
    a.gamma_gradient[c] = (a.accumulate ? a.gamma_gradient[c] : 0) + (float)(a.sum_du_centred[c] * inverse);
    a.beta_gradient[c] = (a.accumulate ? a.beta_gradient[c] : 0) + (float)a.sum_du[c];
  }
}
