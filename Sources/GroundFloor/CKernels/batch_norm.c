#include "activation.h"
#include <math.h>
#include <string.h>

// -------------------------------------------------------------------------------------------------------- Statistics

typedef struct {
  const float *src;
  long stride, channels;
  double *mean, *deviation; // parts × channels
  float *work;              // parts × 3 × channels
} statistics_task;

/// Merges `n` rows of mean `other_mean` and summed squared deviation `other_deviation` into `count` rows.
CK_INLINE void merge(
  double *mean, double *deviation, long count, double other_mean, double other_deviation, long n) {
  double delta = other_mean - *mean;
  double share = (double)n / (double)(count + n);
  *mean += delta * share;
  *deviation += other_deviation + delta * delta * (double)count * share;
}

/// Within a block sums are in float, taken relative to the block's first row so that a mean far from zero cancels
/// nothing; blocks are merged in double.
CK_CLONES static void statistics_body(const void *context, long begin, long end, int part) {
  const statistics_task *t = context;
  const long channels = t->channels, stride = t->stride;
  double *restrict mean = t->mean + part * channels, *restrict deviation = t->deviation + part * channels;
  float *restrict sum = t->work + part * 3 * channels;
  float *restrict square = sum + channels, *restrict origin = square + channels;
  memset(mean, 0, (size_t)channels * sizeof(double));
  memset(deviation, 0, (size_t)channels * sizeof(double));
  const long block = ck_min(ck_max(16384 / channels, 32), 256);
  for (long first = begin; first < end; first += block) {
    const long last = ck_min(first + block, end);
    const long n = last - first;
    memcpy(origin, t->src + first * stride, (size_t)channels * sizeof(float));
    memset(sum, 0, (size_t)channels * sizeof(float));
    memset(square, 0, (size_t)channels * sizeof(float));
    long r = first;
    for (; r + 4 <= last; r += 4) {
      const float *x0 = t->src + r * stride, *x1 = x0 + stride, *x2 = x1 + stride, *x3 = x2 + stride;
      CK_SIMD for (long c = 0; c < channels; c++) {
        float o = origin[c], a = x0[c] - o, b = x1[c] - o, d = x2[c] - o, e = x3[c] - o;
        sum[c] += (a + b) + (d + e);
        square[c] += (a * a + b * b) + (d * d + e * e);
      }
    }
    for (; r < last; r++) {
      const float *x = t->src + r * stride;
      CK_SIMD for (long c = 0; c < channels; c++) {
        float a = x[c] - origin[c];
        sum[c] += a;
        square[c] += a * a;
      }
    }
    CK_SIMD for (long c = 0; c < channels; c++) {
      double s = sum[c], offset = s / (double)n;
      double spread = square[c] - s * offset;
      merge(&mean[c], &deviation[c], first - begin, origin[c] + offset, spread > 0 ? spread : 0 * spread, n);
    }
  }
}

void ck_statistics(
  double *mean, double *deviation, long count, const float *src, long stride, long rows, long channels) {
  if (rows <= 0 || channels <= 0) return;
  if (count == 0) {
    memset(mean, 0, (size_t)channels * sizeof(double));
    memset(deviation, 0, (size_t)channels * sizeof(double));
  }
  const long pixels = ck_pixels_per_row(rows, channels, stride == channels);
  const long wide_rows = rows / pixels, width = channels * pixels;
  const int parts = ck_part_count(wide_rows, width);
  double *partial = ck_scratch((size_t)(parts * width) * (2 * sizeof(double) + 3 * sizeof(float)));
  statistics_task t = {
    .src = src, .stride = stride * pixels, .channels = width, .mean = partial, .deviation = partial + parts * width,
    .work = (float *)(partial + 2 * parts * width)};
  ck_run_parts(statistics_body, &t, wide_rows, parts);
  for (int part = 0; part < parts; part++) {
    const long n = ck_part_begin(wide_rows, parts, part + 1) - ck_part_begin(wide_rows, parts, part);
    for (long p = 0; p < pixels; p++, count += n) {
      const long at = part * width + p * channels;
      for (long c = 0; c < channels; c++) {
        merge(&mean[c], &deviation[c], count, t.mean[at + c], t.deviation[at + c], n);
      }
    }
  }
  for (long r = wide_rows * pixels; r < rows; r++, count++) {
    for (long c = 0; c < channels; c++) merge(&mean[c], &deviation[c], count, src[r * stride + c], 0, 1);
  }
}

void ck_batch_norm_finish(
  float *batch_mean, float *inverse_deviation, float *scale, float *shift, float *running_mean,
  float *running_variance, const double *mean, const double *deviation, long count, const float *gamma,
  const float *beta, float epsilon, float momentum, long channels) {
  for (long c = 0; c < channels; c++) {
    const double biased = deviation[c] / (double)count;
    const double inverse = 1.0 / sqrt(biased + (double)epsilon);
    batch_mean[c] = (float)mean[c];
    inverse_deviation[c] = (float)inverse;
    scale[c] = (float)(gamma[c] * inverse);
    shift[c] = (float)(beta[c] - mean[c] * gamma[c] * inverse);
    if (running_mean && running_variance) {
      const double unbiased = count > 1 ? deviation[c] / (double)(count - 1) : biased;
      running_mean[c] = (float)(momentum * mean[c] + (1.0 - (double)momentum) * running_mean[c]);
      running_variance[c] = (float)(momentum * unbiased + (1.0 - (double)momentum) * running_variance[c]);
    }
  }
}

// ----------------------------------------------------------------------------------------------------------- Forward

typedef struct {
  float *dst;
  const float *src, *scale, *shift, *residual;
  long dst_stride, src_stride, residual_stride, channels;
  ck_activation activation;
} normalize_task;

CK_INLINE void normalize_rows(const normalize_task *t, long begin, long end, ck_activation activation) {
  const float *scale = t->scale, *shift = t->shift;
  const long channels = t->channels;
  for (long r = begin; r < end; r++) {
    float *dst = t->dst + r * t->dst_stride;
    const float *src = t->src + r * t->src_stride;
    if (t->residual) {
      const float *residual = t->residual + r * t->residual_stride;
      CK_SIMD for (long c = 0; c < channels; c++) {
        dst[c] = ck_apply(src[c] * scale[c] + shift[c], activation) + residual[c];
      }
    } else {
      CK_SIMD for (long c = 0; c < channels; c++) dst[c] = ck_apply(src[c] * scale[c] + shift[c], activation);
    }
  }
}

CK_CLONES static void normalize_body(const void *context, long begin, long end, int part) {
  const normalize_task *t = context;
  (void)part;
  CK_FOR_ACTIVATION(t->activation, normalize_rows, t, begin, end)
}

void ck_normalize_activate(
  float *dst, long dst_stride, const float *src, long src_stride, const float *scale, const float *shift,
  const float *residual, long residual_stride, long rows, long channels, ck_activation activation) {
  if (rows <= 0 || channels <= 0) return;
  const bool dense =
    dst_stride == channels && src_stride == channels && (!residual || residual_stride == channels);
  const long pixels = ck_pixels_per_row(rows, channels, dense);
  const long wide_rows = rows / pixels, width = channels * pixels;
  float *wide_scale = ck_scratch((size_t)(2 * width) * sizeof(float)), *wide_shift = wide_scale + width;
  ck_repeat(wide_scale, scale, channels, pixels, 1);
  ck_repeat(wide_shift, shift, channels, pixels, 0);
  normalize_task t = {
    .dst = dst, .src = src, .scale = wide_scale, .shift = wide_shift, .residual = residual,
    .dst_stride = dst_stride * pixels, .src_stride = src_stride * pixels,
    .residual_stride = residual_stride * pixels, .channels = width, .activation = activation};
  ck_run(normalize_body, &t, wide_rows, width);
  const long rest = rows - wide_rows * pixels;
  if (rest > 0) {
    t.dst += wide_rows * t.dst_stride;
    t.src += wide_rows * t.src_stride;
    if (residual) t.residual += wide_rows * t.residual_stride;
    t.channels = rest * channels;
    normalize_body(&t, 0, 1, 0);
  }
}

// ---------------------------------------------------------------------------------------------------------- Backward

typedef struct {
  float *dst;
  const float *gradient, *z;
  long dst_stride, gradient_stride, z_stride, channels;
  /// u = (z − mean)·slope + beta; dL/dz = du·slope + (z − mean)·by_z + constant
  const float *mean, *slope, *beta, *by_z, *constant;
  double *sum_du, *sum_du_z; // parts × channels
  float *work;               // parts × 2 × channels
  ck_activation activation;
} backward_task;

CK_INLINE void backward_sums_rows(const backward_task *t, long begin, long end, int part, ck_activation activation) {
  const long channels = t->channels;
  const float *mean = t->mean, *slope = t->slope, *beta = t->beta;
  double *restrict sum_du = t->sum_du + part * channels, *restrict sum_du_z = t->sum_du_z + part * channels;
  float *restrict block_du = t->work + part * 2 * channels, *restrict block_du_z = block_du + channels;
  memset(sum_du, 0, (size_t)channels * sizeof(double));
  memset(sum_du_z, 0, (size_t)channels * sizeof(double));
  const long block = ck_min(ck_max(16384 / channels, 32), 256);
  for (long first = begin; first < end; first += block) {
    const long last = ck_min(first + block, end);
    memset(block_du, 0, (size_t)channels * sizeof(float));
    memset(block_du_z, 0, (size_t)channels * sizeof(float));
    for (long r = first; r < last; r++) {
      const float *gradient = t->gradient + r * t->gradient_stride, *z = t->z + r * t->z_stride;
      CK_SIMD for (long c = 0; c < channels; c++) {
        float centred = z[c] - mean[c];
        float du = ck_apply_backward(gradient[c], centred * slope[c] + beta[c], activation);
        block_du[c] += du;
        block_du_z[c] += du * centred;
      }
    }
    CK_SIMD for (long c = 0; c < channels; c++) {
      sum_du[c] += block_du[c];
      sum_du_z[c] += block_du_z[c];
    }
  }
}

CK_CLONES static void backward_sums_body(const void *context, long begin, long end, int part) {
  const backward_task *t = context;
  CK_FOR_ACTIVATION(t->activation, backward_sums_rows, t, begin, end, part)
}

void ck_batch_norm_backward_sums(
  double *sum_du, double *sum_du_x, const float *gradient, long gradient_stride, const float *z, long z_stride,
  const float *mean, const float *inverse_deviation, const float *gamma, const float *beta, long rows, long channels,
  ck_activation activation) {
  if (rows <= 0 || channels <= 0) return;
  const long pixels = ck_pixels_per_row(rows, channels, gradient_stride == channels && z_stride == channels);
  const long wide_rows = rows / pixels, width = channels * pixels, rest = rows - wide_rows * pixels;
  const int parts = ck_part_count(wide_rows, width);
  // One part more for the rows that do not fill a wide one.
  const long partials = (parts + 1) * width;
  const size_t per_partial = 2 * sizeof(double) + 2 * sizeof(float);
  double *partial = ck_scratch((size_t)partials * per_partial + (size_t)(3 * width) * sizeof(float));
  float *work = (float *)(partial + 2 * partials), *wide = work + 2 * partials;
  ck_repeat(wide, mean, channels, pixels, 0);
  for (long c = 0; c < channels; c++) wide[width + c] = gamma[c] * inverse_deviation[c];
  ck_repeat(wide + width + channels, wide + width, channels, pixels - 1, 0);
  ck_repeat(wide + 2 * width, beta, channels, pixels, 0);
  backward_task t = {
    .gradient = gradient, .z = z, .gradient_stride = gradient_stride * pixels, .z_stride = z_stride * pixels,
    .channels = width, .mean = wide, .slope = wide + width, .beta = wide + 2 * width, .sum_du = partial,
    .sum_du_z = partial + partials, .work = work, .activation = activation};
  ck_run_parts(backward_sums_body, &t, wide_rows, parts);
  for (long i = 0; i < parts * pixels; i++) {
    for (long c = 0; c < channels; c++) {
      sum_du[c] += t.sum_du[i * channels + c];
      sum_du_x[c] += t.sum_du_z[i * channels + c] * inverse_deviation[c];
    }
  }
  if (rest > 0) {
    t.gradient += wide_rows * t.gradient_stride;
    t.z += wide_rows * t.z_stride;
    t.channels = rest * channels;
    t.sum_du += parts * width;
    t.sum_du_z += parts * width;
    t.work += parts * 2 * width;
    backward_sums_body(&t, 0, 1, 0);
    for (long i = 0; i < rest; i++) {
      for (long c = 0; c < channels; c++) {
        sum_du[c] += t.sum_du[i * channels + c];
        sum_du_x[c] += t.sum_du_z[i * channels + c] * inverse_deviation[c];
      }
    }
  }
}

CK_INLINE void backward_input_rows(const backward_task *t, long begin, long end, ck_activation activation) {
  const long channels = t->channels;
  const float *mean = t->mean, *slope = t->slope, *beta = t->beta, *by_z = t->by_z, *constant = t->constant;
  for (long r = begin; r < end; r++) {
    float *dst = t->dst + r * t->dst_stride;
    const float *gradient = t->gradient + r * t->gradient_stride, *z = t->z + r * t->z_stride;
    CK_SIMD for (long c = 0; c < channels; c++) {
      float centred = z[c] - mean[c];
      float du = ck_apply_backward(gradient[c], centred * slope[c] + beta[c], activation);
      dst[c] = du * slope[c] + (centred * by_z[c] + constant[c]);
    }
  }
}

CK_CLONES static void backward_input_body(const void *context, long begin, long end, int part) {
  const backward_task *t = context;
  (void)part;
  CK_FOR_ACTIVATION(t->activation, backward_input_rows, t, begin, end)
}

void ck_batch_norm_backward_input(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, const float *z, long z_stride,
  const float *mean, const float *inverse_deviation, const float *gamma, const float *beta, const double *sum_du,
  const double *sum_du_x, long count, long rows, long channels, ck_activation activation) {
  if (rows <= 0 || channels <= 0) return;
  const bool dense = dst_stride == channels && gradient_stride == channels && z_stride == channels;
  const long pixels = ck_pixels_per_row(rows, channels, dense);
  const long wide_rows = rows / pixels, width = channels * pixels, rest = rows - wide_rows * pixels;
  float *wide = ck_scratch((size_t)(5 * width) * sizeof(float));
  float *slope = wide + width, *wide_beta = slope + width, *by_z = wide_beta + width, *constant = by_z + width;
  for (long c = 0; c < channels; c++) {
    const double s = (double)gamma[c] * inverse_deviation[c];
    wide[c] = mean[c];
    slope[c] = gamma[c] * inverse_deviation[c];
    wide_beta[c] = beta[c];
    by_z[c] = (float)(-s * inverse_deviation[c] * sum_du_x[c] / (double)count);
    constant[c] = (float)(-s * sum_du[c] / (double)count);
  }
  for (int i = 0; i < 5; i++) ck_repeat(wide + i * width + channels, wide + i * width, channels, pixels - 1, 0);
  backward_task t = {
    .dst = dst, .gradient = gradient, .z = z, .dst_stride = dst_stride * pixels,
    .gradient_stride = gradient_stride * pixels, .z_stride = z_stride * pixels, .channels = width, .mean = wide,
    .slope = slope, .beta = wide_beta, .by_z = by_z, .constant = constant, .activation = activation};
  ck_run(backward_input_body, &t, wide_rows, width);
  if (rest > 0) {
    t.dst += wide_rows * t.dst_stride;
    t.gradient += wide_rows * t.gradient_stride;
    t.z += wide_rows * t.z_stride;
    t.channels = rest * channels;
    backward_input_body(&t, 0, 1, 0);
  }
}
