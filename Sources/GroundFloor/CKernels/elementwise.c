#include "rows.h"

typedef struct {
  ck_map dst, a, b;
  ck_rows rows;
} task;

CK_INLINE void copy(const task *t, long begin, long end, int part, ck_element e) {
  const bool moves = t->a.element == e;
  const ck_element other = e == CK_FLOAT32 ? CK_BFLOAT16 : CK_FLOAT32;
  FOR_ROWS(t->rows, r, n) {
    const ck_map dst = ck_row(ck_as(e, t->dst), t->rows, r), a = ck_row(t->a, t->rows, r);
    if (moves) {
      CK_SIMD for (long i = 0; i < n; i++) ck_move(dst, i, a, i);
    } else {
      const ck_map from = ck_as(other, a);
      CK_SIMD for (long i = 0; i < n; i++) ck_set(dst, i, ck_get(from, i));
    }
  }
}
CK_BODY(copy, task, dst)

void ck_copy(ck_map dst, ck_map src, long rows, long channels) {
  const bool is_dense = dst.stride == channels && src.stride == channels;
  task t = {.dst = dst, .a = src, .rows = ck_make_rows(rows, channels, is_dense)};
  ck_run(copy_body, &t, t.rows.count, t.rows.length);
}

CK_INLINE void add(const task *t, long begin, long end, int part, ck_element e) {
  FOR_ROWS(t->rows, r, n) {
    const ck_map dst = ck_row(ck_as(e, t->dst), t->rows, r);
    const ck_map a = ck_row(ck_as(e, t->a), t->rows, r), b = ck_row(ck_as(e, t->b), t->rows, r);
    CK_SIMD for (long i = 0; i < n; i++) ck_set(dst, i, ck_get(a, i) + ck_get(b, i));
  }
}
CK_BODY(add, task, dst)

void ck_add(ck_map dst, ck_map a, ck_map b, long rows, long channels) {
  const bool is_dense = dst.stride == channels && a.stride == channels && b.stride == channels;
  task t = {.dst = dst, .a = a, .b = b, .rows = ck_make_rows(rows, channels, is_dense)};
  ck_run(add_body, &t, t.rows.count, t.rows.length);
}

typedef struct {
  ck_map dst;
  const uint8_t *src;
  ck_rows rows;
  float value;
} source_task;

CK_INLINE void bytes(const source_task *t, long begin, long end, int part, ck_element e) {
  FOR_ROWS(t->rows, r, n) {
    const ck_map dst = ck_row(ck_as(e, t->dst), t->rows, r);
    const uint8_t *src = t->src + r * t->rows.length;
    CK_SIMD for (long i = 0; i < n; i++) ck_set(dst, i, (float)src[i] / 255.0f);
  }
}
CK_BODY(bytes, source_task, dst)

void ck_unit_from_bytes(ck_map dst, const uint8_t *src, long rows, long channels) {
  source_task t = {.dst = dst, .src = src, .rows = ck_make_rows(rows, channels, dst.stride == channels)};
  ck_run(bytes_body, &t, t.rows.count, t.rows.length);
}

CK_INLINE void fill(const source_task *t, long begin, long end, int part, ck_element e) {
  const float value = t->value;
  FOR_ROWS(t->rows, r, n) {
    const ck_map dst = ck_row(ck_as(e, t->dst), t->rows, r);
    CK_SIMD for (long i = 0; i < n; i++) ck_set(dst, i, value);
  }
}
CK_BODY(fill, source_task, dst)

void ck_fill(ck_map dst, long rows, long channels, float value) {
  source_task t = {.dst = dst, .value = value, .rows = ck_make_rows(rows, channels, dst.stride == channels)};
  ck_run(fill_body, &t, t.rows.count, t.rows.length);
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

// ------------------------------------------------------------------------------------------------------ Moving values

CK_INLINE void move_each(
  ck_map dst, ck_map src, const int32_t *to, const int32_t *from, long count, bool accumulate) {
  if (accumulate) {
    for (long i = 0; i < count; i++) ck_set(dst, to[i], ck_get(dst, to[i]) + ck_get(src, from[i]));
  } else if (count > 0 && to[count - 1] - to[0] == count - 1) {
    const ck_map first = ck_from(dst, to[0]);
    CK_SIMD for (long i = 0; i < count; i++) ck_set(first, i, ck_get(src, from[i]));
  } else {
    for (long i = 0; i < count; i++) ck_set(dst, to[i], ck_get(src, from[i]));
  }
}

CK_CLONES static void move_values(
  ck_map dst, ck_map src, const int32_t *to, const int32_t *from, long count, bool accumulate) {
  const bool narrows = dst.element == CK_BFLOAT16, widens = src.element == CK_BFLOAT16;
  if (narrows) {
    move_each(ck_as(CK_BFLOAT16, dst), ck_as(CK_FLOAT32, src), to, from, count, accumulate);
  } else if (widens) {
    move_each(ck_as(CK_FLOAT32, dst), ck_as(CK_BFLOAT16, src), to, from, count, accumulate);
  } else {
    move_each(ck_as(CK_FLOAT32, dst), ck_as(CK_FLOAT32, src), to, from, count, accumulate);
  }
}

void ck_move_values(
  ck_map dst, ck_map src, const int32_t *to, const int32_t *from, long count, long zeros, bool accumulate) {
  move_values(dst, src, to, from, count, accumulate);
  for (long i = count; i < count + zeros; i++) ck_set(dst, to[i], 0);
}
