// How one body of a kernel reads and writes maps of either element: it is inlined once for each, with the element as a
// constant, and computes in float.
#pragma once

#include "run.h"
#include <assert.h>
#include <string.h>

typedef union {
  float value;
  uint32_t bits;
} ck_float_bits;

/// Defines `name##_body`, clones that call `name(t, begin, end, part, ELEMENT)`, where `t` is a `const type *` and
/// ELEMENT that of its map `map`.
#define CK_BODY(name, type, map) \
  CK_CLONES static void name##_body(const void *context, long begin, long end, int part) { \
    const type *t = context; \
    if (t->map.element == CK_BFLOAT16) { \
      name(t, begin, end, part, CK_BFLOAT16); \
    } else { \
      name(t, begin, end, part, CK_FLOAT32); \
    } \
  }

/// The map with its element as a constant.
CK_INLINE ck_map ck_as(ck_element element, ck_map map) {
  assert(!map.data || map.element == element);
  map.element = element;
  return map;
}

CK_INLINE long ck_bytes(ck_element element) { return element == CK_BFLOAT16 ? sizeof(uint16_t) : sizeof(float); }

/// The map from its value `at` on; a null map stays one.
CK_INLINE ck_map ck_from(ck_map map, long at) {
  if (map.data) map.data = (char *)map.data + at * ck_bytes(map.element);
  return map;
}

/// The part of a map behind its first `rows` rows; a null map stays one.
CK_INLINE ck_map ck_after(ck_map map, long rows) { return ck_from(map, rows * map.stride); }

CK_INLINE float ck_get(ck_map map, long at) {
  if (map.element == CK_FLOAT32) return ((const float *)map.data)[at];
  return ((ck_float_bits){.bits = (uint32_t)((const uint16_t *)map.data)[at] << 16}).value;
}

/// Rounds to nearest, ties to even. A NaN becomes a quiet one.
CK_INLINE void ck_set(ck_map map, long at, float value) {
  if (map.element == CK_FLOAT32) {
    ((float *)map.data)[at] = value;
  } else {
    const uint32_t bits = ((ck_float_bits){.value = value}).bits;
    const uint32_t rounded = value != value ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1);
    ((uint16_t *)map.data)[at] = (uint16_t)(rounded >> 16);
  }
}

/// `dst[to] = src[from]` bit by bit, of maps of the same element.
CK_INLINE void ck_move(ck_map dst, long to, ck_map src, long from) {
  if (dst.element == CK_FLOAT32) {
    ((float *)dst.data)[to] = ((const float *)src.data)[from];
  } else {
    ((uint16_t *)dst.data)[to] = ((const uint16_t *)src.data)[from];
  }
}

CK_INLINE void ck_load(float *dst, ck_map src, long n) {
  CK_SIMD for (long c = 0; c < n; c++) dst[c] = ck_get(src, c);
}
CK_INLINE void ck_store(ck_map dst, const float *src, long n) {
  CK_SIMD for (long c = 0; c < n; c++) ck_set(dst, c, src[c]);
}

/// Channels that are summed at a time.
enum { sum_block = 512 };

/// Returns where `n` values of a map are to be summed: in place, or in `memory`, so that a bfloat16 is rounded once, by
/// `ck_end_sums`. They start as zeros, or as what the map holds when the kernel accumulates.
CK_INLINE float *ck_begin_sums(float *memory, ck_map dst, long n, bool accumulate) {
  float *sums = dst.element == CK_FLOAT32 ? dst.data : memory;
  if (!accumulate) {
    memset(sums, 0, (size_t)n * sizeof(float));
  } else if (dst.element != CK_FLOAT32) {
    ck_load(sums, dst, n);
  }
  return sums;
}
CK_INLINE void ck_end_sums(ck_map dst, const float *sums, long n) {
  if (dst.element != CK_FLOAT32) ck_store(dst, sums, n);
}
