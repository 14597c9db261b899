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

void ck_merge_statistics(
  double *mean, double *deviation, long count, const double *other_mean, const double *other_deviation,
  long other_count, long channels) {
  for (long c = 0; c < channels; c++) {
    merge(&mean[c], &deviation[c], count, other_mean[c], other_deviation[c], other_count);
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
    shift[c] = (float)(beta[c] + (batch_mean[c] - mean[c]) * gamma[c] * inverse);
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
  const float *src, *mean, *scale, *shift, *residual;
  long dst_stride, src_stride, residual_stride, channels;
  ck_activation activation;
} normalize_task;

CK_INLINE void normalize_rows(const normalize_task *t, long begin, long end, ck_activation activation) {
  const float *mean = t->mean, *scale = t->scale, *shift = t->shift;
  const long channels = t->channels;
  for (long r = begin; r < end; r++) {
    float *dst = t->dst + r * t->dst_stride;
    const float *src = t->src + r * t->src_stride;
    if (t->residual) {
      const float *residual = t->residual + r * t->residual_stride;
      CK_SIMD for (long c = 0; c < channels; c++) {
        dst[c] = ck_apply((src[c] - mean[c]) * scale[c] + shift[c], activation) + residual[c];
      }
    } else {
      CK_SIMD for (long c = 0; c < channels; c++) {
        dst[c] = ck_apply((src[c] - mean[c]) * scale[c] + shift[c], activation);
      }
    }
  }
}

CK_CLONES static void normalize_body(const void *context, long begin, long end, int part) {
  const normalize_task *t = context;
  (void)part;
  CK_FOR_ACTIVATION(t->activation, normalize_rows, t, begin, end)
}

void ck_normalize_activate(
  float *dst, long dst_stride, const float *src, long src_stride, const float *mean, const float *scale,
  const float *shift, const float *residual, long residual_stride, long rows, long channels,
  ck_activation activation) {
  if (rows <= 0 || channels <= 0) return;
  const bool dense =
    dst_stride == channels && src_stride == channels && (!residual || residual_stride == channels);
  const long pixels = ck_pixels_per_row(rows, channels, dense);
  const long wide_rows = rows / pixels, width = channels * pixels;
  float *wide_mean = ck_scratch((size_t)(3 * width) * sizeof(float));
  float *wide_scale = wide_mean + width, *wide_shift = wide_scale + width;
  ck_repeat(wide_mean, mean, channels, pixels, 0);
  ck_repeat(wide_scale, scale, channels, pixels, 1);
  ck_repeat(wide_shift, shift, channels, pixels, 0);
  normalize_task t = {
    .dst = dst, .src = src, .mean = wide_mean, .scale = wide_scale, .shift = wide_shift, .residual = residual,
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
