#include "run.h"
#include <math.h>
#include <string.h>

// ---------------------------------------------------------------------------------------------------------- Max pool

/// One axis of a window.
typedef struct {
  long size, out_size, kernel, stride, padding;
} axis;

static axis make_axis(long size, long kernel, long stride, long padding) {
  return (axis){size, (size + 2 * padding - kernel) / stride + 1, kernel, stride, padding};
}

typedef struct {
  float *dst;
  uint8_t *winner;
  const float *src;
  /// What the source's own winners were, when it is itself the result of pooling along the lines; dense.
  const uint8_t *src_winner;
  long dst_stride, src_stride, channels;
  axis rows, columns;
  /// Tap = kh · row_taps + kw, or + the source's winner.
  long row_taps;
  bool accumulate;
} max_pool_task;

enum { channel_block = 64 };

/// One tap: a greater value replaces the best one, an equal one does not, so the first maximum in the order of visits
/// wins. NaN replaces anything.
CK_INLINE void visit(
  float *restrict best, int32_t *restrict winner, const float *restrict src, const uint8_t *restrict src_winner,
  int32_t tap, bool needs_winner, long n) {
  if (!needs_winner) {
    CK_SIMD for (long c = 0; c < n; c++) {
      const float v = src[c], b = best[c];
      best[c] = ((v > b) | (v != v)) ? v : b;
    }
  } else if (src_winner) {
    CK_SIMD for (long c = 0; c < n; c++) {
      const float v = src[c], b = best[c];
      const int32_t old = winner[c], next = tap + (int32_t)src_winner[c];
      const bool take = (v > b) | (v != v) | (old < 0);
      best[c] = take ? v : b;
      winner[c] = take ? next : old;
    }
  } else {
    CK_SIMD for (long c = 0; c < n; c++) {
      const float v = src[c], b = best[c];
      const int32_t old = winner[c];
      const bool take = (v > b) | (v != v) | (old < 0);
      best[c] = take ? v : b;
      winner[c] = take ? tap : old;
    }
  }
}

/// Items are output lines, counted over the images.
CK_CLONES static void max_pool_body(const void *context, long begin, long end, int part) {
  const max_pool_task *t = context;
  const axis rows = t->rows, columns = t->columns;
  (void)part;
  float best[channel_block];
  int32_t winner[channel_block];
  for (long line = begin; line < end; line++) {
    const long image = line / rows.out_size;
    const long top = line % rows.out_size * rows.stride - rows.padding;
    for (long ow = 0; ow < columns.out_size; ow++) {
      const long left = ow * columns.stride - columns.padding;
      const long pixel = line * columns.out_size + ow;
      for (long first = 0; first < t->channels; first += channel_block) {
        const long n = ck_min(channel_block, t->channels - first);
        for (long c = 0; c < channel_block; c++) {
          best[c] = -INFINITY;
          winner[c] = -1;
        }
        for (long kh = ck_max(0, -top); kh < rows.kernel && top + kh < rows.size; kh++) {
          for (long kw = ck_max(0, -left); kw < columns.kernel && left + kw < columns.size; kw++) {
            const long from = (image * rows.size + top + kh) * columns.size + left + kw;
            visit(
              best, winner, t->src + from * t->src_stride + first,
              t->src_winner ? t->src_winner + from * t->channels + first : NULL, (int32_t)(kh * t->row_taps + kw),
              t->winner != NULL, n);
          }
        }
        memcpy(t->dst + pixel * t->dst_stride + first, best, (size_t)n * sizeof(float));
        if (t->winner) {
          uint8_t *out = t->winner + pixel * t->channels + first;
          for (long c = 0; c < n; c++) out[c] = (uint8_t)winner[c];
        }
      }
    }
  }
}

static void run_max_pool(const max_pool_task *t, long images) {
  const long taps = t->rows.kernel * t->columns.kernel;
  ck_run(max_pool_body, t, images * t->rows.out_size, t->columns.out_size * t->channels * taps);
}

void ck_max_pool(
  float *dst, long dst_stride, uint8_t *winner, const float *src, long src_stride, long images, long height,
  long width, long channels, long kernel, long stride, long padding) {
  max_pool_task t = {
    .dst = dst, .winner = winner, .src = src, .dst_stride = dst_stride, .src_stride = src_stride,
    .channels = channels, .rows = make_axis(height, kernel, stride, padding),
    .columns = make_axis(width, kernel, stride, padding), .row_taps = kernel};
  if (stride == 1 && kernel > 3) {
    // Along the lines first, then across them: 2·kernel taps instead of kernel², and the same maximum is the first.
    const long count = images * height * t.columns.out_size * channels;
    max_pool_task along = t;
    along.rows = make_axis(height, 1, 1, 0);
    along.dst = ck_scratch((size_t)count * (sizeof(float) + 1));
    along.dst_stride = channels;
    along.winner = winner ? (uint8_t *)(along.dst + count) : NULL;
    run_max_pool(&along, images);
    t.src = along.dst;
    t.src_stride = channels;
    t.src_winner = along.winner;
    t.columns = make_axis(t.columns.out_size, 1, 1, 0);
  }
  run_max_pool(&t, images);
}

/// Items are blocks of channels, counted over the images: windows overlap, channels do not.
static void max_pool_backward_body(const void *context, long begin, long end, int part) {
  const max_pool_task *t = context;
  (void)part;
  const long blocks = (t->channels + channel_block - 1) / channel_block;
  long offset[15 * 15];
  for (long tap = 0; tap < t->rows.kernel * t->columns.kernel; tap++) {
    offset[tap] = (tap / t->columns.kernel * t->columns.size + tap % t->columns.kernel) * t->dst_stride;
  }
  for (long item = begin; item < end; item++) {
    const long image = item / blocks, first = item % blocks * channel_block;
    const long n = ck_min(channel_block, t->channels - first);
    float *map = t->dst + image * t->rows.size * t->columns.size * t->dst_stride + first;
    if (!t->accumulate) {
      const long pixels = t->rows.size * t->columns.size;
      for (long p = 0; p < pixels; p++) memset(map + p * t->dst_stride, 0, (size_t)n * sizeof(float));
    }
    for (long oh = 0; oh < t->rows.out_size; oh++) {
      for (long ow = 0; ow < t->columns.out_size; ow++) {
        const long pixel = (image * t->rows.out_size + oh) * t->columns.out_size + ow;
        const float *gradient = t->src + pixel * t->src_stride + first;
        const uint8_t *winner = t->winner + pixel * t->channels + first;
        const long top = oh * t->rows.stride - t->rows.padding, left = ow * t->columns.stride - t->columns.padding;
        const long corner = (top * t->columns.size + left) * t->dst_stride;
        for (long c = 0; c < n; c++) map[corner + offset[winner[c]] + c] += gradient[c];
      }
    }
  }
}

void ck_max_pool_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, const uint8_t *winner, long images,
  long height, long width, long channels, long kernel, long stride, long padding, bool accumulate) {
  max_pool_task t = {
    .dst = dst, .winner = (uint8_t *)winner, .src = gradient, .dst_stride = dst_stride,
    .src_stride = gradient_stride, .channels = channels, .rows = make_axis(height, kernel, stride, padding),
    .columns = make_axis(width, kernel, stride, padding), .accumulate = accumulate};
  const long blocks = (channels + channel_block - 1) / channel_block;
  ck_run(max_pool_backward_body, &t, images * blocks, height * width * channel_block);
}

// ---------------------------------------------------------------------------------------------------- Average windows

typedef struct {
  float *dst;
  const float *src;
  long dst_stride, src_stride, channels;
  axis rows, columns;
  bool accumulate;
} window_task;

/// Items are output lines, counted over the images.
CK_CLONES static void average_windows_body(const void *context, long begin, long end, int part) {
  const window_task *t = context;
  const axis rows = t->rows, columns = t->columns;
  const float share = 1.0f / (float)(rows.kernel * columns.kernel);
  (void)part;
  for (long line = begin; line < end; line++) {
    const long image = line / rows.out_size, top = line % rows.out_size * rows.stride - rows.padding;
    for (long ow = 0; ow < columns.out_size; ow++) {
      const long left = ow * columns.stride - columns.padding;
      float *restrict dst = t->dst + (line * columns.out_size + ow) * t->dst_stride;
      memset(dst, 0, (size_t)t->channels * sizeof(float));
      for (long h = ck_max(0, top); h < ck_min(rows.size, top + rows.kernel); h++) {
        for (long w = ck_max(0, left); w < ck_min(columns.size, left + columns.kernel); w++) {
          const float *restrict src = t->src + ((image * rows.size + h) * columns.size + w) * t->src_stride;
          for (long c = 0; c < t->channels; c++) dst[c] += src[c];
        }
      }
      for (long c = 0; c < t->channels; c++) dst[c] *= share;
    }
  }
}

void ck_average_windows(
  float *dst, long dst_stride, const float *src, long src_stride, long images, long height, long width,
  long channels, long kernel, long stride, long padding) {
  window_task t = {
    .dst = dst, .src = src, .dst_stride = dst_stride, .src_stride = src_stride, .channels = channels,
    .rows = make_axis(height, kernel, stride, padding), .columns = make_axis(width, kernel, stride, padding)};
  ck_run(
    average_windows_body, &t, images * t.rows.out_size, t.columns.out_size * channels * kernel * kernel);
}

/// The windows along one axis that hold `position`, from here to there.
CK_INLINE long first_window(axis a, long position) {
  return (ck_max(0, position + a.padding - a.kernel + 1) + a.stride - 1) / a.stride;
}
CK_INLINE long end_window(axis a, long position) { return ck_min(a.out_size, (position + a.padding) / a.stride + 1); }

/// Items are lines of the destination, counted over the images: each gathers from the windows that hold it.
CK_CLONES static void average_windows_backward_body(const void *context, long begin, long end, int part) {
  const window_task *t = context;
  const axis rows = t->rows, columns = t->columns;
  const float share = 1.0f / (float)(rows.kernel * columns.kernel);
  (void)part;
  for (long line = begin; line < end; line++) {
    const long image = line / rows.size, h = line % rows.size;
    for (long w = 0; w < columns.size; w++) {
      float *restrict dst = t->dst + (line * columns.size + w) * t->dst_stride;
      if (!t->accumulate) memset(dst, 0, (size_t)t->channels * sizeof(float));
      for (long oh = first_window(rows, h); oh < end_window(rows, h); oh++) {
        for (long ow = first_window(columns, w); ow < end_window(columns, w); ow++) {
          const float *restrict gradient =
            t->src + ((image * rows.out_size + oh) * columns.out_size + ow) * t->src_stride;
          for (long c = 0; c < t->channels; c++) dst[c] += gradient[c] * share;
        }
      }
    }
  }
}

void ck_average_windows_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, long images, long height, long width,
  long channels, long kernel, long stride, long padding, bool accumulate) {
  window_task t = {
    .dst = dst, .src = gradient, .dst_stride = dst_stride, .src_stride = gradient_stride, .channels = channels,
    .rows = make_axis(height, kernel, stride, padding), .columns = make_axis(width, kernel, stride, padding),
    .accumulate = accumulate};
  ck_run(average_windows_backward_body, &t, images * height, width * channels * kernel * kernel);
}

// --------------------------------------------------------------------------------- Averages, factors, sums of channels

typedef struct {
  float *dst, *sums;
  const float *src, *gradient, *factors;
  long dst_stride, src_stride, gradient_stride, pixels, channels;
  bool accumulate, accumulate_sums;
} channel_task;

/// Sum over `pixels` of `a` (times `b` unless null) for up to `channel_block` channels: in float within blocks of rows,
/// in double across them.
CK_INLINE void sum_pixels(
  double *total, const float *a, long a_stride, const float *b, long b_stride, long pixels, long n) {
  float sum[channel_block];
  for (long c = 0; c < n; c++) total[c] = 0;
  for (long first = 0; first < pixels; first += 64) {
    const long last = ck_min(first + 64, pixels);
    for (long c = 0; c < n; c++) sum[c] = 0;
    for (long p = first; p < last; p++) {
      const float *x = a + p * a_stride;
      if (b) {
        const float *y = b + p * b_stride;
        CK_SIMD for (long c = 0; c < n; c++) sum[c] += x[c] * y[c];
      } else {
        CK_SIMD for (long c = 0; c < n; c++) sum[c] += x[c];
      }
    }
    for (long c = 0; c < n; c++) total[c] += sum[c];
  }
}

/// Items are blocks of channels, counted over the images.
CK_CLONES static void average_pool_body(const void *context, long begin, long end, int part) {
  const channel_task *t = context;
  (void)part;
  const long blocks = (t->channels + channel_block - 1) / channel_block;
  double total[channel_block];
  for (long item = begin; item < end; item++) {
    const long image = item / blocks, first = item % blocks * channel_block;
    const long n = ck_min(channel_block, t->channels - first);
    sum_pixels(total, t->src + image * t->pixels * t->src_stride + first, t->src_stride, NULL, 0, t->pixels, n);
    for (long c = 0; c < n; c++) t->dst[image * t->channels + first + c] = (float)(total[c] / (double)t->pixels);
  }
}

void ck_average_pool(float *dst, const float *src, long src_stride, long images, long pixels, long channels) {
  channel_task t = {.dst = dst, .src = src, .src_stride = src_stride, .pixels = pixels, .channels = channels};
  ck_run(average_pool_body, &t, images * ((channels + channel_block - 1) / channel_block), pixels * channel_block);
}

/// Items are pixels, counted over the images.
CK_CLONES static void average_pool_backward_body(const void *context, long begin, long end, int part) {
  const channel_task *t = context;
  (void)part;
  const float share = 1.0f / (float)t->pixels;
  for (long r = begin; r < end; r++) {
    float *restrict dst = t->dst + r * t->dst_stride;
    const float *restrict gradient = t->gradient + r / t->pixels * t->channels;
    if (t->accumulate) {
      for (long c = 0; c < t->channels; c++) dst[c] += gradient[c] * share;
    } else {
      for (long c = 0; c < t->channels; c++) dst[c] = gradient[c] * share;
    }
  }
}

void ck_average_pool_backward(
  float *dst, long dst_stride, const float *gradient, long images, long pixels, long channels, bool accumulate) {
  channel_task t = {
    .dst = dst, .gradient = gradient, .dst_stride = dst_stride, .pixels = pixels, .channels = channels,
    .accumulate = accumulate};
  ck_run(average_pool_backward_body, &t, images * pixels, channels);
}

CK_CLONES static void scale_channels_body(const void *context, long begin, long end, int part) {
  const channel_task *t = context;
  (void)part;
  for (long r = begin; r < end; r++) {
    float *dst = t->dst + r * t->dst_stride;
    const float *src = t->src + r * t->src_stride, *factors = t->factors + r / t->pixels * t->channels;
    if (t->accumulate) {
      CK_SIMD for (long c = 0; c < t->channels; c++) dst[c] += src[c] * factors[c];
    } else {
      CK_SIMD for (long c = 0; c < t->channels; c++) dst[c] = src[c] * factors[c];
    }
  }
}

void ck_scale_channels(
  float *dst, long dst_stride, const float *src, long src_stride, const float *factors, long images, long pixels,
  long channels) {
  channel_task t = {
    .dst = dst, .src = src, .factors = factors, .dst_stride = dst_stride, .src_stride = src_stride,
    .pixels = pixels, .channels = channels};
  ck_run(scale_channels_body, &t, images * pixels, channels);
}

/// Items are blocks of channels, counted over the images.
CK_CLONES static void factor_gradient_body(const void *context, long begin, long end, int part) {
  const channel_task *t = context;
  (void)part;
  const long blocks = (t->channels + channel_block - 1) / channel_block;
  double total[channel_block];
  for (long item = begin; item < end; item++) {
    const long image = item / blocks, first = item % blocks * channel_block;
    const long n = ck_min(channel_block, t->channels - first), start = image * t->pixels;
    sum_pixels(
      total, t->gradient + start * t->gradient_stride + first, t->gradient_stride,
      t->src + start * t->src_stride + first, t->src_stride, t->pixels, n);
    float *sums = t->sums + image * t->channels + first;
    for (long c = 0; c < n; c++) sums[c] = (float)total[c] + (t->accumulate_sums ? sums[c] : 0);
  }
}

void ck_scale_channels_backward(
  float *d_src, long d_src_stride, float *d_factors, const float *gradient, long gradient_stride, const float *src,
  long src_stride, const float *factors, long images, long pixels, long channels, bool accumulate_src,
  bool accumulate_factors) {
  // The factors' gradients first: `d_src` may be `gradient`.
  channel_task t = {
    .sums = d_factors, .gradient = gradient, .src = src, .gradient_stride = gradient_stride,
    .src_stride = src_stride, .pixels = pixels, .channels = channels, .accumulate_sums = accumulate_factors};
  ck_run(factor_gradient_body, &t, images * ((channels + channel_block - 1) / channel_block), pixels * channel_block);
  t.dst = d_src;
  t.dst_stride = d_src_stride;
  t.src = gradient;
  t.src_stride = gradient_stride;
  t.factors = factors;
  t.accumulate = accumulate_src;
  ck_run(scale_channels_body, &t, images * pixels, channels);
}

/// Items are rows; each part leaves its sums in a row of `sums`.
typedef struct {
  const float *src;
  double *sums;
  long stride, channels;
} sum_task;

CK_CLONES static void sum_rows_body(const void *context, long begin, long end, int part) {
  const sum_task *t = context;
  for (long first = 0; first < t->channels; first += channel_block) {
    const long n = ck_min(channel_block, t->channels - first);
    sum_pixels(
      t->sums + part * t->channels + first, t->src + begin * t->stride + first, t->stride, NULL, 0, end - begin, n);
  }
}

void ck_sum_rows(float *dst, const float *src, long stride, long rows, long channels, bool accumulate) {
  const int parts = ck_part_count(rows, channels);
  sum_task t = {
    .src = src, .sums = ck_scratch((size_t)(parts * channels) * sizeof(double)), .stride = stride,
    .channels = channels};
  ck_run_parts(sum_rows_body, &t, rows, parts);
  for (long c = 0; c < channels; c++) {
    double total = 0;
    for (int part = 0; part < parts; part++) total += t.sums[part * channels + c];
    dst[c] = (float)total + (accumulate ? dst[c] : 0);
  }
}
