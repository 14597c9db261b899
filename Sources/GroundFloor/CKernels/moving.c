#include "run.h"
#include <string.h>

typedef struct {
  float *dst;
  const float *a, *b;
  long dst_stride, a_stride, b_stride, rows, block, last_block;
} task;

enum { block_floats = 1024 };

/// A dense map is one long row, cut into blocks; rows of others are blocks of their own.
static void run_rows(ck_body *body, task t, long rows, long channels, bool dense) {
  if (rows <= 0 || channels <= 0) return;
  if (dense) {
    const long total = rows * channels;
    t.rows = (total + block_floats - 1) / block_floats;
    t.block = t.dst_stride = t.a_stride = t.b_stride = block_floats;
    t.last_block = total - (t.rows - 1) * block_floats;
  } else {
    t.rows = rows;
    t.block = t.last_block = channels;
  }
  ck_run(body, &t, t.rows, t.block);
}

#define FOR_ROWS(t, n) \
  for (long r = begin, n; r < end && (n = r + 1 == t->rows ? t->last_block : t->block, true); r++)

CK_CLONES static void copy_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  (void)part;
  FOR_ROWS(t, n) {
    float *dst = t->dst + r * t->dst_stride;
    const float *a = t->a + r * t->a_stride;
    CK_SIMD for (long i = 0; i < n; i++) dst[i] = a[i];
  }
}

void ck_copy(float *dst, long dst_stride, const float *src, long src_stride, long rows, long channels) {
  task t = {.dst = dst, .a = src, .dst_stride = dst_stride, .a_stride = src_stride};
  run_rows(copy_body, t, rows, channels, dst_stride == channels && src_stride == channels);
}

CK_CLONES static void accumulate_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  (void)part;
  FOR_ROWS(t, n) {
    float *dst = t->dst + r * t->dst_stride;
    const float *a = t->a + r * t->a_stride;
    CK_SIMD for (long i = 0; i < n; i++) dst[i] += a[i];
  }
}

void ck_accumulate(float *dst, long dst_stride, const float *src, long src_stride, long rows, long channels) {
  task t = {.dst = dst, .a = src, .dst_stride = dst_stride, .a_stride = src_stride};
  run_rows(accumulate_body, t, rows, channels, dst_stride == channels && src_stride == channels);
}

CK_CLONES static void add_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  (void)part;
  FOR_ROWS(t, n) {
    float *dst = t->dst + r * t->dst_stride;
    const float *a = t->a + r * t->a_stride, *b = t->b + r * t->b_stride;
    CK_SIMD for (long i = 0; i < n; i++) dst[i] = a[i] + b[i];
  }
}

void ck_add(
  float *dst, long dst_stride, const float *a, long a_stride, const float *b, long b_stride, long rows,
  long channels) {
  task t = {
    .dst = dst, .a = a, .b = b, .dst_stride = dst_stride, .a_stride = a_stride, .b_stride = b_stride};
  run_rows(add_body, t, rows, channels, dst_stride == channels && a_stride == channels && b_stride == channels);
}

typedef struct {
  float *dst;
  const uint8_t *src;
  long count;
  float value;
} flat_task;

static long block_count(long count) { return (count + block_floats - 1) / block_floats; }

CK_CLONES static void bytes_body(const void *context, long begin, long end, int part) {
  const flat_task *t = context;
  (void)part;
  const long last = ck_min(end * block_floats, t->count);
  float *dst = t->dst;
  const uint8_t *src = t->src;
  CK_SIMD for (long i = begin * block_floats; i < last; i++) dst[i] = (float)src[i] / 255.0f;
}

void ck_unit_from_bytes(float *dst, const uint8_t *src, long count) {
  flat_task t = {.dst = dst, .src = src, .count = count};
  ck_run(bytes_body, &t, block_count(count), block_floats);
}

CK_CLONES static void fill_body(const void *context, long begin, long end, int part) {
  const flat_task *t = context;
  (void)part;
  const long last = ck_min(end * block_floats, t->count);
  for (long i = begin * block_floats; i < last; i++) t->dst[i] = t->value;
}

void ck_fill(float *dst, long count, float value) {
  flat_task t = {.dst = dst, .count = count, .value = value};
  ck_run(fill_body, &t, block_count(count), block_floats);
}

// ------------------------------------------------------------------------------------------------------------- Parts

// The parts are summed first, in their order, and that sum is added: accumulating the same gradient twice doubles it.

CK_CLONES static void join_two(float *dst, const float *a, const float *b, long count, bool accumulate) {
  if (accumulate) {
    CK_SIMD for (long i = 0; i < count; i++) dst[i] += a[i] + b[i];
  } else {
    CK_SIMD for (long i = 0; i < count; i++) dst[i] = a[i] + b[i];
  }
}

CK_CLONES static void join_many(
  float *dst, const float *parts, long parts_stride, int part_count, long count, bool accumulate) {
  enum { block = 256 };
  for (long first = 0; first < count; first += block) {
    const long n = ck_min(block, count - first);
    float sum[block];
    CK_SIMD for (long i = 0; i < n; i++) sum[i] = parts[first + i];
    for (int p = 1; p < part_count; p++) {
      const float *src = parts + p * parts_stride + first;
      CK_SIMD for (long i = 0; i < n; i++) sum[i] += src[i];
    }
    if (accumulate) {
      CK_SIMD for (long i = 0; i < n; i++) dst[first + i] += sum[i];
    } else {
      CK_SIMD for (long i = 0; i < n; i++) dst[first + i] = sum[i];
    }
  }
}

void ck_join_parts(float *dst, const float *parts, long parts_stride, int part_count, long count, bool accumulate) {
  if (part_count == 2) {
    join_two(dst, parts, parts + parts_stride, count, accumulate);
  } else {
    join_many(dst, parts, parts_stride, part_count, count, accumulate);
  }
}

// ----------------------------------------------------------------------------------------------------------- Shuffle

typedef struct {
  float *dst;
  const float *src;
  long dst_stride, src_stride, groups, group_channels;
  bool accumulate;
} shuffle_task;

CK_CLONES static void shuffle_body(const void *context, long begin, long end, int part) {
  const shuffle_task *t = context;
  (void)part;
  const long groups = t->groups, n = t->group_channels;
  for (long r = begin; r < end; r++) {
    float *restrict dst = t->dst + r * t->dst_stride;
    const float *restrict src = t->src + r * t->src_stride;
    if (groups == 2) {
      for (long i = 0; i < n; i++) {
        dst[2 * i] = src[i];
        dst[2 * i + 1] = src[n + i];
      }
    } else {
      for (long g = 0; g < groups; g++) {
        for (long i = 0; i < n; i++) dst[i * groups + g] = src[g * n + i];
      }
    }
  }
}

void ck_shuffle(
  float *dst, long dst_stride, const float *src, long src_stride, long rows, long channels, long groups) {
  shuffle_task t = {
    .dst = dst, .src = src, .dst_stride = dst_stride, .src_stride = src_stride, .groups = groups,
    .group_channels = channels / groups};
  ck_run(shuffle_body, &t, rows, channels);
}

CK_CLONES static void shuffle_backward_body(const void *context, long begin, long end, int part) {
  const shuffle_task *t = context;
  (void)part;
  const long groups = t->groups, n = t->group_channels;
  for (long r = begin; r < end; r++) {
    float *restrict dst = t->dst + r * t->dst_stride;
    const float *restrict src = t->src + r * t->src_stride;
    for (long g = 0; g < groups; g++) {
      if (t->accumulate) {
        for (long i = 0; i < n; i++) dst[g * n + i] += src[i * groups + g];
      } else {
        for (long i = 0; i < n; i++) dst[g * n + i] = src[i * groups + g];
      }
    }
  }
}

void ck_shuffle_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, long rows, long channels, long groups,
  bool accumulate) {
  shuffle_task t = {
    .dst = dst, .src = gradient, .dst_stride = dst_stride, .src_stride = gradient_stride, .groups = groups,
    .group_channels = channels / groups, .accumulate = accumulate};
  ck_run(shuffle_backward_body, &t, rows, channels);
}

// ---------------------------------------------------------------------------------------------------------- Upsample

typedef struct {
  float *dst;
  const float *src;
  long dst_stride, src_stride, width, channels, factor;
  bool accumulate;
} upsample_task;

/// Items are lines of the smaller map, counted over the images.
CK_CLONES static void upsample_body(const void *context, long begin, long end, int part) {
  const upsample_task *t = context;
  (void)part;
  const long width = t->width, factor = t->factor, channels = t->channels;
  for (long line = begin; line < end; line++) {
    for (long w = 0; w < width; w++) {
      const float *restrict src = t->src + (line * width + w) * t->src_stride;
      for (long i = 0; i < factor; i++) {
        float *to = t->dst + ((line * factor + i) * width + w) * factor * t->dst_stride;
        for (long j = 0; j < factor; j++) {
          float *restrict dst = to + j * t->dst_stride;
          for (long c = 0; c < channels; c++) dst[c] = src[c];
        }
      }
    }
  }
}

void ck_upsample(
  float *dst, long dst_stride, const float *src, long src_stride, long images, long height, long width, long channels,
  long factor) {
  upsample_task t = {
    .dst = dst, .src = src, .dst_stride = dst_stride, .src_stride = src_stride, .width = width,
    .channels = channels, .factor = factor};
  ck_run(upsample_body, &t, images * height, width * channels * factor * factor);
}

CK_CLONES static void upsample_backward_body(const void *context, long begin, long end, int part) {
  const upsample_task *t = context;
  (void)part;
  const long width = t->width, factor = t->factor, channels = t->channels;
  for (long line = begin; line < end; line++) {
    for (long w = 0; w < width; w++) {
      float *restrict dst = t->dst + (line * width + w) * t->dst_stride;
      if (!t->accumulate) memset(dst, 0, (size_t)channels * sizeof(float));
      for (long i = 0; i < factor; i++) {
        const float *from = t->src + ((line * factor + i) * width + w) * factor * t->src_stride;
        if (factor == 2) {
          const float *restrict left = from, *restrict right = from + t->src_stride;
          for (long c = 0; c < channels; c++) dst[c] += left[c] + right[c];
        } else {
          for (long j = 0; j < factor; j++) {
            const float *restrict src = from + j * t->src_stride;
            for (long c = 0; c < channels; c++) dst[c] += src[c];
          }
        }
      }
    }
  }
}

void ck_upsample_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, long images, long height, long width,
  long channels, long factor, bool accumulate) {
  upsample_task t = {
    .dst = dst, .src = gradient, .dst_stride = dst_stride, .src_stride = gradient_stride, .width = width,
    .channels = channels, .factor = factor, .accumulate = accumulate};
  ck_run(upsample_backward_body, &t, images * height, width * channels * factor * factor);
}
