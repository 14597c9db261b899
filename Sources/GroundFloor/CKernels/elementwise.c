#include "rows.h"

typedef struct {
  ck_map dst, a, b;
  ck_rows rows;
} task;

CK_CLONES static void copy_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  FOR_ROWS(t->rows, r, n) {
    float *dst = ck_row(t->dst, t->rows, r);
    const float *a = ck_row(t->a, t->rows, r);
    CK_SIMD for (long i = 0; i < n; i++) dst[i] = a[i];
  }
}

void ck_copy(ck_map dst, ck_map src, long rows, long channels) {
  const bool is_dense = dst.stride == channels && src.stride == channels;
  task t = {.dst = dst, .a = src, .rows = ck_make_rows(rows, channels, is_dense)};
  ck_run(copy_body, &t, t.rows.count, t.rows.length);
}

CK_CLONES static void add_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  FOR_ROWS(t->rows, r, n) {
    float *dst = ck_row(t->dst, t->rows, r);
    const float *a = ck_row(t->a, t->rows, r), *b = ck_row(t->b, t->rows, r);
    CK_SIMD for (long i = 0; i < n; i++) dst[i] = a[i] + b[i];
  }
}

void ck_add(ck_map dst, ck_map a, ck_map b, long rows, long channels) {
  const bool is_dense = dst.stride == channels && a.stride == channels && b.stride == channels;
  task t = {.dst = dst, .a = a, .b = b, .rows = ck_make_rows(rows, channels, is_dense)};
  ck_run(add_body, &t, t.rows.count, t.rows.length);
}

typedef struct {
  float *dst;
  const uint8_t *src;
  long count;
  float value;
} flat_task;

CK_CLONES static void bytes_body(const void *context, long begin, long end, int part) {
  const flat_task *t = context;
  float *dst = t->dst;
  const uint8_t *src = t->src;
  FOR_VALUES(t->count, i) dst[i] = (float)src[i] / 255.0f;
}

void ck_unit_from_bytes(float *dst, const uint8_t *src, long count) {
  flat_task t = {.dst = dst, .src = src, .count = count};
  ck_run(bytes_body, &t, ck_block_count(count), ck_block);
}

CK_CLONES static void fill_body(const void *context, long begin, long end, int part) {
  const flat_task *t = context;
  float *dst = t->dst;
  const float value = t->value;
  FOR_VALUES(t->count, i) dst[i] = value;
}

void ck_fill(float *dst, long count, float value) {
  flat_task t = {.dst = dst, .count = count, .value = value};
  ck_run(fill_body, &t, ck_block_count(count), ck_block);
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

