#include "activation.h"
#include "rows.h"
#include <math.h>
#include <string.h>

// -------------------------------------------------------------------------------------------------------- Statistics

typedef struct {
  ck_map src;
  long channels;
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
CK_INLINE void statistics(const statistics_task *t, long begin, long end, int part, ck_element e) {
  const long channels = t->channels;
  const ck_map src = ck_as(e, t->src);
  double *restrict mean = t->mean + part * channels, *restrict deviation = t->deviation + part * channels;
  float *restrict sum = t->work + part * 3 * channels;
  float *restrict square = sum + channels, *restrict origin = square + channels;
  memset(mean, 0, (size_t)channels * sizeof(double));
  memset(deviation, 0, (size_t)channels * sizeof(double));
  const long block = ck_min(ck_max(16384 / channels, 32), 256);
  for (long first = begin; first < end; first += block) {
    const long last = ck_min(first + block, end);
    const long n = last - first;
    ck_load(origin, ck_after(src, first), channels);
    memset(sum, 0, (size_t)channels * sizeof(float));
    memset(square, 0, (size_t)channels * sizeof(float));
    long r = first;
    for (; r + 4 <= last; r += 4) {
      const ck_map x0 = ck_after(src, r), x1 = ck_after(x0, 1), x2 = ck_after(x1, 1), x3 = ck_after(x2, 1);
      CK_SIMD for (long c = 0; c < channels; c++) {
        float o = origin[c], a = ck_get(x0, c) - o, b = ck_get(x1, c) - o, d = ck_get(x2, c) - o, f = ck_get(x3, c) - o;
        sum[c] += (a + b) + (d + f);
        square[c] += (a * a + b * b) + (d * d + f * f);
      }
    }
    for (; r < last; r++) {
      const ck_map x = ck_after(src, r);
      CK_SIMD for (long c = 0; c < channels; c++) {
        float a = ck_get(x, c) - origin[c];
        sum[c] += a;
        square[c] += a * a;
      }
    }
    CK_SIMD for (long c = 0; c < channels; c++) {
      double s = sum[c], offset = s / (double)n;
      double spread = square[c] - s * offset;
      // Rounding can leave a small negative number, which counts as 0. Times 0 rather than 0, so that NaN stays NaN.
      spread = spread > 0 ? spread : 0 * spread;
      merge(&mean[c], &deviation[c], first - begin, origin[c] + offset, spread, n);
    }
  }
}
CK_BODY(statistics, statistics_task, src)

void ck_statistics(ck_moments moments, ck_map src, long rows, long channels) {
  if (rows <= 0 || channels <= 0) return;
  double *mean = moments.mean, *deviation = moments.deviation;
  long count = moments.count;
  if (count == 0) {
    memset(mean, 0, (size_t)channels * sizeof(double));
    memset(deviation, 0, (size_t)channels * sizeof(double));
  }
  const ck_wide wide = ck_widen(rows, channels, src.stride == channels);
  const int parts = ck_part_count(wide.rows, wide.width);
  const long values = parts * wide.width;
  double *partial = ck_scratch((size_t)values * (2 * sizeof(double) + 3 * sizeof(float)));
  statistics_task t = {
    .src = ck_wide_map(src, wide), .channels = wide.width, .mean = partial, .deviation = partial + values,
    .work = (float *)(partial + 2 * values)};
  ck_run_parts(statistics_body, &t, wide.rows, parts);
  for (int part = 0; part < parts; part++) {
    const long n = ck_part_begin(wide.rows, parts, part + 1) - ck_part_begin(wide.rows, parts, part);
    for (long p = 0; p < wide.pixels; p++, count += n) {
      const long at = part * wide.width + p * channels;
      for (long c = 0; c < channels; c++) {
        merge(&mean[c], &deviation[c], count, t.mean[at + c], t.deviation[at + c], n);
      }
    }
  }
  for (long r = rows - wide.rest; r < rows; r++, count++) {
    for (long c = 0; c < channels; c++) merge(&mean[c], &deviation[c], count, ck_get(src, r * src.stride + c), 0, 1);
  }
}

void ck_merge_statistics(ck_moments moments, ck_moments other, long channels) {
  for (long c = 0; c < channels; c++) {
    merge(
      &moments.mean[c], &moments.deviation[c], moments.count, other.mean[c], other.deviation[c], other.count);
  }
}

void ck_batch_norm_finish(ck_batch_norm_finish_args a) {
  const double *mean = a.moments.mean, *deviation = a.moments.deviation, momentum = a.momentum;
  const long count = a.moments.count;
  for (long c = 0; c < a.channels; c++) {
    const double biased = deviation[c] / (double)count;
    const double inverse = 1.0 / sqrt(biased + (double)a.epsilon);
    a.batch_mean[c] = (float)mean[c];
    a.inverse_deviation[c] = (float)inverse;
    a.scale[c] = (float)(a.gamma[c] * inverse);
    a.shift[c] = (float)(a.beta[c] + (a.batch_mean[c] - mean[c]) * a.gamma[c] * inverse);
    const double unbiased = count > 1 ? deviation[c] / (double)(count - 1) : biased;
    a.running_mean[c] = (float)(momentum * mean[c] + (1.0 - momentum) * a.running_mean[c]);
    a.running_variance[c] = (float)(momentum * unbiased + (1.0 - momentum) * a.running_variance[c]);
  }
}

// ----------------------------------------------------------------------------------------------------------- Forward

CK_INLINE void normalize_rows(
  const ck_normalize_args *a, long begin, long end, ck_element e, ck_activation activation) {
  const float *mean = a->mean, *scale = a->scale, *shift = a->shift;
  const long channels = a->channels;
  const ck_map to = ck_as(e, a->dst), from = ck_as(e, a->src), residuals = ck_as(e, a->residual);
  for (long r = begin; r < end; r++) {
    const ck_map dst = ck_after(to, r), src = ck_after(from, r);
    if (residuals.data) {
      const ck_map residual = ck_after(residuals, r);
      CK_SIMD for (long c = 0; c < channels; c++) {
        const float value = ck_apply((ck_get(src, c) - mean[c]) * scale[c] + shift[c], activation);
        ck_set(dst, c, value + ck_get(residual, c));
      }
    } else {
      CK_SIMD for (long c = 0; c < channels; c++) {
        ck_set(dst, c, ck_apply((ck_get(src, c) - mean[c]) * scale[c] + shift[c], activation));
      }
    }
  }
}

CK_INLINE void normalize(const ck_normalize_args *a, long begin, long end, int part, ck_element e) {
  CK_FOR_ACTIVATION(a->activation, normalize_rows, a, begin, end, e)
}
CK_BODY(normalize, ck_normalize_args, dst)

void ck_normalize_activate(ck_normalize_args a) {
  if (a.rows <= 0 || a.channels <= 0) return;
  const bool is_dense = a.dst.stride == a.channels && a.src.stride == a.channels
    && (!a.residual.data || a.residual.stride == a.channels);
  const ck_wide wide = ck_widen(a.rows, a.channels, is_dense);
  float *parameters = ck_scratch((size_t)(3 * wide.width) * sizeof(float));
  ck_normalize_args t = a;
  t.dst = ck_wide_map(a.dst, wide);
  t.src = ck_wide_map(a.src, wide);
  t.residual = ck_wide_map(a.residual, wide);
  t.mean = ck_repeat(parameters, a.mean, a.channels, wide, 0);
  t.scale = ck_repeat(parameters + wide.width, a.scale, a.channels, wide, 1);
  t.shift = ck_repeat(parameters + 2 * wide.width, a.shift, a.channels, wide, 0);
  t.channels = wide.width;
  ck_run(normalize_body, &t, wide.rows, wide.width);
  if (wide.rest > 0) {
    t.dst = ck_after(t.dst, wide.rows);
    t.src = ck_after(t.src, wide.rows);
    t.residual = ck_after(t.residual, wide.rows);
    t.channels = wide.rest * a.channels;
    normalize_body(&t, 0, 1, 0);
  }
}
