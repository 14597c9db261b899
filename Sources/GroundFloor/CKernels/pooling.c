#include "values.h"
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
  float *restrict best, int32_t *restrict winner, ck_map src, const uint8_t *restrict src_winner, int32_t tap,
  bool needs_winner, long n) {
  if (!needs_winner) {
    CK_SIMD for (long c = 0; c < n; c++) {
      const float v = ck_get(src, c), b = best[c];
      best[c] = ((v > b) | (v != v)) ? v : b;
    }
  } else if (src_winner) {
    CK_SIMD for (long c = 0; c < n; c++) {
      const float v = ck_get(src, c), b = best[c];
      const int32_t old = winner[c], next = tap + (int32_t)src_winner[c];
      const bool take = (v > b) | (v != v) | (old < 0);
      best[c] = take ? v : b;
      winner[c] = take ? next : old;
    }
  } else {
    CK_SIMD for (long c = 0; c < n; c++) {
      const float v = ck_get(src, c), b = best[c];
      const int32_t old = winner[c];
      const bool take = (v > b) | (v != v) | (old < 0);
      best[c] = take ? v : b;
      winner[c] = take ? tap : old;
    }
  }
}

/// Items are output lines of one image.
CK_INLINE void max_pool(const max_pool_task *t, long begin, long end, int part, ck_element e) {
  const axis rows = t->rows, columns = t->columns;
  const ck_map to = ck_as(e, t->dst), src = ck_as(e, t->src);
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
              best, winner, ck_from(ck_after(src, from), first),
              t->src_winner ? t->src_winner + from * t->channels + first : NULL, (int32_t)(kh * t->row_taps + kw),
              t->winner != NULL, n);
          }
        }
        ck_store(ck_from(ck_after(to, pixel), first), best, n);
        if (t->winner) {
          uint8_t *out = t->winner + pixel * t->channels + first;
          for (long c = 0; c < n; c++) out[c] = (uint8_t)winner[c];
        }
      }
    }
  }
}
CK_BODY(max_pool, max_pool_task, dst)

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
    along.dst.data = ck_scratch((size_t)(count * (ck_bytes(t.dst.element) + 1)));
    along.dst.stride = w.channels;
    along.winner = t.winner ? ck_from(along.dst, count).data : NULL;
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
CK_INLINE void max_pool_backward(const max_pool_task *t, long begin, long end, int part, ck_element e) {
  const long blocks = channel_blocks(t->channels), pixels = t->rows.size * t->columns.size;
  const bool in_place = e == CK_FLOAT32;
  const ck_map to = ck_as(e, t->dst), src = ck_as(e, t->src);
  const long stride = in_place ? t->dst.stride : channel_block;
  float *sums = in_place ? NULL : ck_scratch((size_t)(pixels * channel_block) * sizeof(float));
  long offset[15 * 15];
  for (long tap = 0; tap < t->rows.kernel * t->columns.kernel; tap++) {
    offset[tap] = (tap / t->columns.kernel * t->columns.size + tap % t->columns.kernel) * stride;
  }
  for (long item = begin; item < end; item++) {
    const long image = item / blocks, first = item % blocks * channel_block;
    const long n = ck_min(channel_block, t->channels - first);
    const ck_map dst = ck_from(ck_after(to, image * pixels), first);
    float *map = in_place ? dst.data : sums;
    for (long p = 0; p < pixels; p++) ck_begin_sums(map + p * stride, ck_after(dst, p), n, t->accumulate);
    for (long oh = 0; oh < t->rows.out_size; oh++) {
      for (long ow = 0; ow < t->columns.out_size; ow++) {
        const long pixel = (image * t->rows.out_size + oh) * t->columns.out_size + ow;
        const ck_map gradient = ck_from(ck_after(src, pixel), first);
        const uint8_t *winner = t->winner + pixel * t->channels + first;
        const long top = oh * t->rows.stride - t->rows.padding, left = ow * t->columns.stride - t->columns.padding;
        const long corner = (top * t->columns.size + left) * stride;
        for (long c = 0; c < n; c++) map[corner + offset[winner[c]] + c] += ck_get(gradient, c);
      }
    }
    for (long p = 0; p < pixels; p++) ck_end_sums(ck_after(dst, p), map + p * stride, n);
  }
}
CK_BODY(max_pool_backward, max_pool_task, dst)

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
CK_INLINE void average_windows(const window_task *t, long begin, long end, int part, ck_element e) {
  const axis rows = t->rows, columns = t->columns;
  const float share = 1.0f / (float)(rows.kernel * columns.kernel);
  const ck_map to = ck_as(e, t->dst), from = ck_as(e, t->src);
  float memory[sum_block];
  for (long out = begin * columns.out_size; out < end * columns.out_size; out++) {
    const long line = out / columns.out_size, left = out % columns.out_size * columns.stride - columns.padding;
    const long image = line / rows.out_size, top = line % rows.out_size * rows.stride - rows.padding;
    for (long first = 0; first < t->channels; first += sum_block) {
      const long n = ck_min(sum_block, t->channels - first);
      const ck_map dst = ck_from(ck_after(to, out), first);
      float *sum = ck_begin_sums(memory, dst, n, false);
      for (long h = ck_max(0, top); h < ck_min(rows.size, top + rows.kernel); h++) {
        for (long w = ck_max(0, left); w < ck_min(columns.size, left + columns.kernel); w++) {
          const long pixel = (image * rows.size + h) * columns.size + w;
          const ck_map src = ck_from(ck_after(from, pixel), first);
          CK_SIMD for (long c = 0; c < n; c++) sum[c] += ck_get(src, c);
        }
      }
      CK_SIMD for (long c = 0; c < n; c++) ck_set(dst, c, sum[c] * share);
    }
  }
}
CK_BODY(average_windows, window_task, dst)

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
CK_INLINE void average_windows_backward(const window_task *t, long begin, long end, int part, ck_element e) {
  const axis rows = t->rows, columns = t->columns;
  const float share = 1.0f / (float)(rows.kernel * columns.kernel);
  const ck_map to = ck_as(e, t->dst), from = ck_as(e, t->src);
  float memory[sum_block];
  for (long in = begin * columns.size; in < end * columns.size; in++) {
    const long line = in / columns.size, w = in % columns.size, image = line / rows.size, h = line % rows.size;
    for (long first = 0; first < t->channels; first += sum_block) {
      const long n = ck_min(sum_block, t->channels - first);
      const ck_map dst = ck_from(ck_after(to, in), first);
      float *sum = ck_begin_sums(memory, dst, n, t->accumulate);
      for (long oh = first_window(rows, h); oh < end_window(rows, h); oh++) {
        for (long ow = first_window(columns, w); ow < end_window(columns, w); ow++) {
          const long pixel = (image * rows.out_size + oh) * columns.out_size + ow;
          const ck_map gradient = ck_from(ck_after(from, pixel), first);
          CK_SIMD for (long c = 0; c < n; c++) sum[c] += ck_get(gradient, c) * share;
        }
      }
      ck_end_sums(dst, sum, n);
    }
  }
}
CK_BODY(average_windows_backward, window_task, dst)

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
      const ck_map x = ck_after(a, p), y = ck_after(b, p);
      if (b.data) {
        CK_SIMD for (long c = 0; c < n; c++) sum[c] += ck_get(x, c) * ck_get(y, c);
      } else {
        CK_SIMD for (long c = 0; c < n; c++) sum[c] += ck_get(x, c);
      }
    }
    for (long c = 0; c < n; c++) total[c] += sum[c];
  }
}

/// `dst[image, c]` = (Σ over pixels of `a`, or of `a·b`) / divisor.
typedef struct {
  ck_map dst, a, b;
  long pixels, channels;
  double divisor;
} reduce_task;

/// Items are blocks of channels, counted over the images.
CK_INLINE void reduce(const reduce_task *t, long begin, long end, int part, ck_element e) {
  const long blocks = channel_blocks(t->channels);
  double total[channel_block];
  for (long item = begin; item < end; item++) {
    const long image = item / blocks, first = item % blocks * channel_block;
    const long n = ck_min(channel_block, t->channels - first), start = image * t->pixels;
    const ck_map a = ck_from(ck_after(ck_as(e, t->a), start), first);
    sum_pixels(total, a, ck_from(ck_after(ck_as(e, t->b), start), first), t->pixels, n);
    const ck_map dst = ck_from(ck_after(ck_as(e, t->dst), image), first);
    for (long c = 0; c < n; c++) ck_set(dst, c, (float)(total[c] / t->divisor));
  }
}
CK_BODY(reduce, reduce_task, dst)

static void run_reduce(const reduce_task *t, long images) {
  ck_run(reduce_body, t, images * channel_blocks(t->channels), t->pixels * channel_block);
}

void ck_average_pool(ck_map dst, ck_map src, long images, long pixels, long channels) {
  reduce_task t = {.dst = dst, .a = src, .pixels = pixels, .channels = channels, .divisor = (double)pixels};
  run_reduce(&t, images);
}

void ck_sum_products(ck_map dst, ck_map a, ck_map b, long images, long pixels, long channels) {
  reduce_task t = {.dst = dst, .a = a, .b = b, .pixels = pixels, .channels = channels, .divisor = 1};
  run_reduce(&t, images);
}

/// `dst` = what each image's `factors` make of a pixel of it.
typedef struct {
  ck_map dst, src, factors; // images × channels factors
  long pixels, channels;
  bool accumulate;
} factor_task;

/// Items are pixels, counted over the images.
CK_INLINE void average_pool_backward(const factor_task *t, long begin, long end, int part, ck_element e) {
  const float share = 1.0f / (float)t->pixels;
  const ck_map to = ck_as(e, t->dst), factors = ck_as(e, t->factors);
  const long channels = t->channels;
  for (long r = begin; r < end; r++) {
    const ck_map dst = ck_after(to, r), gradient = ck_after(factors, r / t->pixels);
    if (t->accumulate) {
      CK_SIMD for (long c = 0; c < channels; c++) ck_set(dst, c, ck_get(dst, c) + ck_get(gradient, c) * share);
    } else {
      CK_SIMD for (long c = 0; c < channels; c++) ck_set(dst, c, ck_get(gradient, c) * share);
    }
  }
}
CK_BODY(average_pool_backward, factor_task, dst)

void ck_average_pool_backward(ck_map dst, ck_map gradient, long images, long pixels, long channels, bool accumulate) {
  factor_task t = {
    .dst = dst, .factors = gradient, .pixels = pixels, .channels = channels, .accumulate = accumulate};
  ck_run(average_pool_backward_body, &t, images * pixels, channels);
}

/// Items are pixels, counted over the images.
CK_INLINE void scale_channels(const factor_task *t, long begin, long end, int part, ck_element e) {
  const long channels = t->channels;
  const ck_map to = ck_as(e, t->dst), from = ck_as(e, t->src), factors = ck_as(e, t->factors);
  for (long r = begin; r < end; r++) {
    const ck_map dst = ck_after(to, r), src = ck_after(from, r), factor = ck_after(factors, r / t->pixels);
    CK_SIMD for (long c = 0; c < channels; c++) ck_set(dst, c, ck_get(src, c) * ck_get(factor, c));
  }
}
CK_BODY(scale_channels, factor_task, dst)

void ck_scale_channels(ck_map dst, ck_map src, ck_map factors, long images, long pixels, long channels) {
  factor_task t = {.dst = dst, .src = src, .factors = factors, .pixels = pixels, .channels = channels};
  ck_run(scale_channels_body, &t, images * pixels, channels);
}

/// Items are rows; each part leaves its sums in a row of `sums`.
typedef struct {
  ck_map src;
  double *sums;
  long channels;
} sum_task;

CK_INLINE void sum_rows(const sum_task *t, long begin, long end, int part, ck_element e) {
  for (long first = 0; first < t->channels; first += channel_block) {
    const long n = ck_min(channel_block, t->channels - first);
    const ck_map src = ck_from(ck_after(ck_as(e, t->src), begin), first);
    sum_pixels(t->sums + part * t->channels + first, src, (ck_map){0}, end - begin, n);
  }
}
CK_BODY(sum_rows, sum_task, src)

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
