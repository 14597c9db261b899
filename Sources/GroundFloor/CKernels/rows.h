// How kernels walk maps: row by row, in blocks of values, or in wide rows.
#pragma once

#include "values.h"

enum { ck_block = 1024 };

CK_INLINE long ck_block_count(long values) { return (values + ck_block - 1) / ck_block; }

/// Runs through the values of blocks `begin ..< end` out of `count` values.
#define FOR_VALUES(count, i) \
  const long end_value = ck_min(end * ck_block, count); \
  CK_SIMD for (long i = begin * ck_block; i < end_value; i++)

/// Rows of maps of equal shape. Where none has gaps between its pixels they are one long row, cut into blocks;
/// otherwise each pixel is a row.
typedef struct {
  long count, length, last_length;
  bool is_dense;
} ck_rows;

CK_INLINE ck_rows ck_make_rows(long rows, long channels, bool is_dense) {
  if (!is_dense) return (ck_rows){rows, channels, channels, false};
  const long values = rows * channels, count = ck_block_count(values);
  return (ck_rows){count, ck_block, values - (count - 1) * ck_block, true};
}

CK_INLINE ck_map ck_row(ck_map map, ck_rows rows, long r) {
  return ck_from(map, r * (rows.is_dense ? rows.length : map.stride));
}

/// Runs through rows `begin ..< end`, each of `n` values.
#define FOR_ROWS(rows, r, n) \
  for (long r = begin, n; r < end && (n = r + 1 == (rows).count ? (rows).last_length : (rows).length, true); r++)

/// A dense map of few channels is walked as one of fewer, wider rows, which hold several pixels and a whole number of
/// vectors; per-channel parameters are repeated to match. `rest` pixels remain behind the last wide row.
typedef struct {
  long pixels, rows, width, rest;
} ck_wide;

CK_INLINE ck_wide ck_widen(long rows, long channels, bool is_dense) {
  long pixels = 1;
  if (is_dense && channels <= 512) {
    while ((pixels * channels) % 16 != 0) pixels *= 2;
    while (pixels * channels < 128) pixels *= 2;
    if (pixels * channels > 4096 || pixels > rows) pixels = 1;
  }
  return (ck_wide){pixels, rows / pixels, pixels * channels, rows % pixels};
}

CK_INLINE ck_map ck_wide_map(ck_map map, ck_wide wide) {
  map.stride *= wide.pixels;
  return map;
}

/// Per-channel parameters for a wide row; null ones are `standard`.
CK_INLINE const float *ck_repeat(float *dst, const float *src, long channels, ck_wide wide, float standard) {
  for (long p = 0; p < wide.pixels; p++) {
    for (long c = 0; c < channels; c++) dst[p * channels + c] = src ? src[c] : standard;
  }
  return dst;
}
