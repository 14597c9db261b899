#include "rows.h"
#include <math.h>
#include <string.h>

// ---------------------------------------------------------------------------------------------------------- Max pool

/// One axis of a window.
typedef struct {
  long size, out_size, kernel, stride, padding;
} axis;

static axis rows_of(ck_window w) { return (axis){w.height, w.out_height, w.kernel, w.stride, w.padding}; }
static axis columns_of(ck_window w) { return (axis){w.width, w.out_width, w.kernel, w.stride, w.padding}; }
/// An axis of windows of one.
static axis unpooled(long size) { return (axis){size, size, 1, 1, 0}; }

typedef struct {
  ck_map dst, src;
  uint8_t *winner;
  /// The source's own winners, when it is itself the result of pooling along the lines; dense.
  const uint8_t *src_winner;
  long channels;
  axis rows, columns;
  /// Tap = kh · row_taps + kw, or + the source's winner.
  long row_taps;
  bool accumulate;
} max_pool_task;

enum { channel_block = 64 };
static long channel_blocks(long channels) { return (channels + channel_block - 1) / channel_block; }

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

/// Items are output lines of one image.
CK_CLONES static void max_pool_body(const void *context, long begin, long end, int part) {
  const max_pool_task *t = context;
  const axis rows = t->rows, columns = t->columns;
  float best[channel_block];
  int32_t winner[channel_block];
  for (long line = begin; line < end; line++) {
    const long top = line * rows.stride - rows.padding;
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
            const long from = (top + kh) * columns.size + left + kw;
            visit(
              best, winner, t->src.data + from * t->src.stride + first,
              t->src_winner ? t->src_winner + from * t->channels + first : NULL, (int32_t)(kh * t->row_taps + kw),
              t->winner != NULL, n);
          }
        }
        memcpy(t->dst.data + pixel * t->dst.stride + first, best, (size_t)n * sizeof(float));
        if (t->winner) {
          uint8_t *out = t->winner + pixel * t->channels + first;
          for (long c = 0; c < n; c++) out[c] = (uint8_t)winner[c];
        }
      }
    }
  }
}

static void run_max_pool(const max_pool_task *t) {
  const long taps = t->rows.kernel * t->columns.kernel;
  ck_run(max_pool_body, t, t->rows.out_size, t->columns.out_size * t->channels * taps);
}

static void max_pool_image(max_pool_task t, ck_window w) {
  if (w.stride == 1 && w.kernel > 3) {
    // Along the lines first, then across them: 2·kernel taps instead of kernel², and the same maximum is the first.
    const long count = w.height * w.out_width * w.channels;
    max_pool_task along = t;
    along.rows = unpooled(w.height);
    along.dst = (ck_map){ck_scratch((size_t)count * (sizeof(float) + 1)), w.channels};
    along.winner = t.winner ? (uint8_t *)(along.dst.data + count) : NULL;
    run_max_pool(&along);
    t.src = along.dst;
    t.src_winner = along.winner;
    t.columns = unpooled(w.out_width);
  }
  run_max_pool(&t);
}

void ck_max_pool(ck_map dst, uint8_t *winner, ck_map src, ck_window w) {
  const long pixels = w.height * w.width, out_pixels = w.out_height * w.out_width;
  // Image by image, so that what the first direction leaves is in cache for the second.
  for (long image = 0; image < w.images; image++) {
    max_pool_task t = {
      .dst = ck_after(dst, image * out_pixels), .winner = winner ? winner + image * out_pixels * w.channels : NULL,
      .src = ck_after(src, image * pixels), .channels = w.channels, .rows = rows_of(w), .columns = columns_of(w),
      .row_taps = w.kernel};
    max_pool_image(t, w);
  }
}

/// Items are blocks of channels, counted over the images: windows overlap, channels do not.
static void max_pool_backward_body(const void *context, long begin, long end, int part) {
  const max_pool_task *t = context;
  const long blocks = channel_blocks(t->channels);
  long offset[15 * 15];
  for (long tap = 0; tap < t->rows.kernel * t->columns.kernel; tap++) {
    offset[tap] = (tap / t->columns.kernel * t->columns.size + tap % t->columns.kernel) * t->dst.stride;
  }
  for (long item = begin; item < end; item++) {
    const long image = item / blocks, first = item % blocks * channel_block;
    const long n = ck_min(channel_block, t->channels - first);
    float *map = t->dst.data + image * t->rows.size * t->columns.size * t->dst.stride + first;
    if (!t->accumulate) {
      const long pixels = t->rows.size * t->columns.size;
      for (long p = 0; p < pixels; p++) memset(map + p * t->dst.stride, 0, (size_t)n * sizeof(float));
    }
    for (long oh = 0; oh < t->rows.out_size; oh++) {
      for (long ow = 0; ow < t->columns.out_size; ow++) {
        const long pixel = (image * t->rows.out_size + oh) * t->columns.out_size + ow;
        const float *gradient = t->src.data + pixel * t->src.stride + first;
        const uint8_t *winner = t->winner + pixel * t->channels + first;
        const long top = oh * t->rows.stride - t->rows.padding, left = ow * t->columns.stride - t->columns.padding;
        const long corner = (top * t->columns.size + left) * t->dst.stride;
        for (long c = 0; c < n; c++) map[corner + offset[winner[c]] + c] += gradient[c];
      }
    }
  }
}

void ck_max_pool_backward(ck_map dst, ck_map gradient, const uint8_t *winner, ck_window w, bool accumulate) {
  max_pool_task t = {
    .dst = dst, .src = gradient, .winner = (uint8_t *)winner, .channels = w.channels, .rows = rows_of(w),
    .columns = columns_of(w), .accumulate = accumulate};
  ck_run(max_pool_backward_body, &t, w.images * channel_blocks(w.channels), w.height * w.width * channel_block);
}

// ---------------------------------------------------------------------------------------------------- Average windows

typedef struct {
  ck_map dst, src;
  long channels;
  axis rows, columns;
  bool accumulate;
} window_task;

static window_task make_window_task(ck_map dst, ck_map src, ck_window w, bool accumulate) {
  return (window_task){dst, src, w.channels, rows_of(w), columns_of(w), accumulate};
}

/// Items are output lines, counted over the images.
CK_CLONES static void average_windows_body(const void *context, long begin, long end, int part) {
  const window_task *t = context;
  const axis rows = t->rows, columns = t->columns;
  const float share = 1.0f / (float)(rows.kernel * columns.kernel);
  for (long line = begin; line < end; line++) {
    const long image = line / rows.out_size, top = line % rows.out_size * rows.stride - rows.padding;
    for (long ow = 0; ow < columns.out_size; ow++) {
      const long left = ow * columns.stride - columns.padding;
      float *restrict dst = t->dst.data + (line * columns.out_size + ow) * t->dst.stride;
      memset(dst, 0, (size_t)t->channels * sizeof(float));
      for (long h = ck_max(0, top); h < ck_min(rows.size, top + rows.kernel); h++) {
        for (long w = ck_max(0, left); w < ck_min(columns.size, left + columns.kernel); w++) {
          const float *restrict src = t->src.data + ((image * rows.size + h) * columns.size + w) * t->src.stride;
          for (long c = 0; c < t->channels; c++) dst[c] += src[c];
        }
      }
      for (long c = 0; c < t->channels; c++) dst[c] *= share;
    }
  }
}

void ck_average_windows(ck_map dst, ck_map src, ck_window w) {
  window_task t = make_window_task(dst, src, w, false);
  ck_run(average_windows_body, &t, w.images * w.out_height, w.out_width * w.channels * w.kernel * w.kernel);
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
  for (long line = begin; line < end; line++) {
    const long image = line / rows.size, h = line % rows.size;
    for (long w = 0; w < columns.size; w++) {
      float *restrict dst = t->dst.data + (line * columns.size + w) * t->dst.stride;
      if (!t->accumulate) memset(dst, 0, (size_t)t->channels * sizeof(float));
      for (long oh = first_window(rows, h); oh < end_window(rows, h); oh++) {
        for (long ow = first_window(columns, w); ow < end_window(columns, w); ow++) {
          const float *restrict gradient =
            t->src.data + ((image * rows.out_size + oh) * columns.out_size + ow) * t->src.stride;
          for (long c = 0; c < t->channels; c++) dst[c] += gradient[c] * share;
        }
      }
    }
  }
}

void ck_average_windows_backward(ck_map dst, ck_map gradient, ck_window w, bool accumulate) {
  window_task t = make_window_task(dst, gradient, w, accumulate);
  ck_run(average_windows_backward_body, &t, w.images * w.height, w.width * w.channels * w.kernel * w.kernel);
}

// --------------------------------------------------------------------------------- Averages, factors, sums of channels

/// Sum over `pixels` of `a` (times `b` unless its data is null) for up to `channel_block` channels: in float within
/// blocks of rows, in double across them.
CK_INLINE void sum_pixels(double *total, ck_map a, ck_map b, long pixels, long n) {
  float sum[channel_block];
  for (long c = 0; c < n; c++) total[c] = 0;
  for (long first = 0; first < pixels; first += 64) {
    const long last = ck_min(first + 64, pixels);
    for (long c = 0; c < n; c++) sum[c] = 0;
    for (long p = first; p < last; p++) {
      const float *x = a.data + p * a.stride;
      if (b.data) {
        const float *y = b.data + p * b.stride;
        CK_SIMD for (long c = 0; c < n; c++) sum[c] += x[c] * y[c];
      } else {
        CK_SIMD for (long c = 0; c < n; c++) sum[c] += x[c];
      }
    }
    for (long c = 0; c < n; c++) total[c] += sum[c];
  }
}

CK_INLINE ck_map channels_from(ck_map map, long first) {
  return (ck_map){map.data ? map.data + first : map.data, map.stride};
}

/// `dst[image, c]` = (Σ over pixels of `a`, or of `a·b`) / divisor.
typedef struct {
  float *dst;
  ck_map a, b;
  long pixels, channels;
  double divisor;
} reduce_task;

/// Items are blocks of channels, counted over the images.
CK_CLONES static void reduce_body(const void *context, long begin, long end, int part) {
  const reduce_task *t = context;
  const long blocks = channel_blocks(t->channels);
  double total[channel_block];
  for (long item = begin; item < end; item++) {
    const long image = item / blocks, first = item % blocks * channel_block;
    const long n = ck_min(channel_block, t->channels - first), start = image * t->pixels;
    sum_pixels(
      total, channels_from(ck_after(t->a, start), first), channels_from(ck_after(t->b, start), first), t->pixels, n);
    for (long c = 0; c < n; c++) t->dst[image * t->channels + first + c] = (float)(total[c] / t->divisor);
  }
}

static void run_reduce(const reduce_task *t, long images) {
  ck_run(reduce_body, t, images * channel_blocks(t->channels), t->pixels * channel_block);
}

void ck_average_pool(float *dst, ck_map src, long images, long pixels, long channels) {
  reduce_task t = {.dst = dst, .a = src, .pixels = pixels, .channels = channels, .divisor = (double)pixels};
  run_reduce(&t, images);
}

void ck_sum_products(float *dst, ck_map a, ck_map b, long images, long pixels, long channels) {
  reduce_task t = {.dst = dst, .a = a, .b = b, .pixels = pixels, .channels = channels, .divisor = 1};
  run_reduce(&t, images);
}

/// `dst` = what each image's `factors` make of a pixel of it.
typedef struct {
  ck_map dst, src;
  const float *factors; // images × channels
  long pixels, channels;
  bool accumulate;
} factor_task;

/// Items are pixels, counted over the images.
CK_CLONES static void average_pool_backward_body(const void *context, long begin, long end, int part) {
  const factor_task *t = context;
  const float share = 1.0f / (float)t->pixels;
  for (long r = begin; r < end; r++) {
    float *restrict dst = t->dst.data + r * t->dst.stride;
    const float *restrict gradient = t->factors + r / t->pixels * t->channels;
    if (t->accumulate) {
      for (long c = 0; c < t->channels; c++) dst[c] += gradient[c] * share;
    } else {
      for (long c = 0; c < t->channels; c++) dst[c] = gradient[c] * share;
    }
  }
}

void ck_average_pool_backward(
  ck_map dst, const float *gradient, long images, long pixels, long channels, bool accumulate) {
  factor_task t = {
    .dst = dst, .factors = gradient, .pixels = pixels, .channels = channels, .accumulate = accumulate};
  ck_run(average_pool_backward_body, &t, images * pixels, channels);
}

/// Items are pixels, counted over the images.
CK_CLONES static void scale_channels_body(const void *context, long begin, long end, int part) {
  const factor_task *t = context;
  const long channels = t->channels;
  for (long r = begin; r < end; r++) {
    float *dst = t->dst.data + r * t->dst.stride;
    const float *src = t->src.data + r * t->src.stride, *factors = t->factors + r / t->pixels * channels;
    CK_SIMD for (long c = 0; c < channels; c++) dst[c] = src[c] * factors[c];
  }
}

void ck_scale_channels(ck_map dst, ck_map src, const float *factors, long images, long pixels, long channels) {
  factor_task t = {.dst = dst, .src = src, .factors = factors, .pixels = pixels, .channels = channels};
  ck_run(scale_channels_body, &t, images * pixels, channels);
}

/// Items are rows; each part leaves its sums in a row of `sums`.
typedef struct {
  ck_map src;
  double *sums;
  long channels;
} sum_task;

CK_CLONES static void sum_rows_body(const void *context, long begin, long end, int part) {
  const sum_task *t = context;
  for (long first = 0; first < t->channels; first += channel_block) {
    const long n = ck_min(channel_block, t->channels - first);
    const ck_map src = channels_from(ck_after(t->src, begin), first);
    sum_pixels(t->sums + part * t->channels + first, src, (ck_map){0}, end - begin, n);
  }
}

void ck_sum_rows(float *dst, ck_map src, long rows, long channels, bool accumulate) {
  const int parts = ck_part_count(rows, channels);
  sum_task t = {.src = src, .sums = ck_scratch((size_t)(parts * channels) * sizeof(double)), .channels = channels};
  ck_run_parts(sum_rows_body, &t, rows, parts);
  for (long c = 0; c < channels; c++) {
    double total = 0;
    for (int part = 0; part < parts; part++) total += t.sums[part * channels + c];
    dst[c] = (float)total + (accumulate ? dst[c] : 0);
  }
}
