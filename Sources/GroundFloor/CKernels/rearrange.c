#include "run.h"
#include <string.h>

// ----------------------------------------------------------------------------------------------------------- Shuffle

typedef struct {
  ck_map dst, src;
  long groups, group_channels;
  bool accumulate;
} shuffle_task;

CK_CLONES static void shuffle_body(const void *context, long begin, long end, int part) {
  const shuffle_task *t = context;
  const long groups = t->groups, n = t->group_channels;
  for (long r = begin; r < end; r++) {
    float *restrict dst = t->dst.data + r * t->dst.stride;
    const float *restrict src = t->src.data + r * t->src.stride;
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

void ck_shuffle(ck_map dst, ck_map src, long rows, long channels, long groups) {
  shuffle_task t = {.dst = dst, .src = src, .groups = groups, .group_channels = channels / groups};
  ck_run(shuffle_body, &t, rows, channels);
}

CK_CLONES static void shuffle_backward_body(const void *context, long begin, long end, int part) {
  const shuffle_task *t = context;
  const long groups = t->groups, n = t->group_channels;
  for (long r = begin; r < end; r++) {
    float *restrict dst = t->dst.data + r * t->dst.stride;
    const float *restrict src = t->src.data + r * t->src.stride;
    for (long g = 0; g < groups; g++) {
      if (t->accumulate) {
        for (long i = 0; i < n; i++) dst[g * n + i] += src[i * groups + g];
      } else {
        for (long i = 0; i < n; i++) dst[g * n + i] = src[i * groups + g];
      }
    }
  }
}

void ck_shuffle_backward(ck_map dst, ck_map gradient, long rows, long channels, long groups, bool accumulate) {
  shuffle_task t = {
    .dst = dst, .src = gradient, .groups = groups, .group_channels = channels / groups, .accumulate = accumulate};
  ck_run(shuffle_backward_body, &t, rows, channels);
}

// ---------------------------------------------------------------------------------------------------------- Upsample

typedef struct {
  ck_map dst, src;
  long width, channels, factor;
  bool accumulate;
} upsample_task;

/// Items are lines of the smaller map, counted over the images.
CK_CLONES static void upsample_body(const void *context, long begin, long end, int part) {
  const upsample_task *t = context;
  const long width = t->width, factor = t->factor, channels = t->channels;
  for (long line = begin; line < end; line++) {
    for (long w = 0; w < width; w++) {
      const float *restrict src = t->src.data + (line * width + w) * t->src.stride;
      for (long i = 0; i < factor; i++) {
        float *to = t->dst.data + ((line * factor + i) * width + w) * factor * t->dst.stride;
        for (long j = 0; j < factor; j++) {
          float *restrict dst = to + j * t->dst.stride;
          for (long c = 0; c < channels; c++) dst[c] = src[c];
        }
      }
    }
  }
}

void ck_upsample(ck_map dst, ck_map src, long lines, long width, long channels, long factor) {
  upsample_task t = {.dst = dst, .src = src, .width = width, .channels = channels, .factor = factor};
  ck_run(upsample_body, &t, lines, width * channels * factor * factor);
}

CK_CLONES static void upsample_backward_body(const void *context, long begin, long end, int part) {
  const upsample_task *t = context;
  const long width = t->width, factor = t->factor, channels = t->channels;
  for (long line = begin; line < end; line++) {
    for (long w = 0; w < width; w++) {
      float *restrict dst = t->dst.data + (line * width + w) * t->dst.stride;
      if (!t->accumulate) memset(dst, 0, (size_t)channels * sizeof(float));
      for (long i = 0; i < factor; i++) {
        const float *from = t->src.data + ((line * factor + i) * width + w) * factor * t->src.stride;
        if (factor == 2) {
          const float *restrict left = from, *restrict right = from + t->src.stride;
          for (long c = 0; c < channels; c++) dst[c] += left[c] + right[c];
        } else {
          for (long j = 0; j < factor; j++) {
            const float *restrict src = from + j * t->src.stride;
            for (long c = 0; c < channels; c++) dst[c] += src[c];
          }
        }
      }
    }
  }
}

void ck_upsample_backward(
  ck_map dst, ck_map gradient, long lines, long width, long channels, long factor, bool accumulate) {
  upsample_task t = {
    .dst = dst, .src = gradient, .width = width, .channels = channels, .factor = factor, .accumulate = accumulate};
  ck_run(upsample_backward_body, &t, lines, width * channels * factor * factor);
}

// --------------------------------------------------------------------------------------------------------- Transpose

void ck_transpose(float *dst, const float *src, long count, long rows, long columns, bool accumulate) {
  enum { tile = 16 };
  for (long m = 0; m < count; m++, dst += rows * columns, src += rows * columns) {
    for (long i0 = 0; i0 < rows; i0 += tile) {
      const long i1 = ck_min(i0 + tile, rows);
      for (long j = 0; j < columns; j++) {
        if (accumulate) {
          for (long i = i0; i < i1; i++) dst[j * rows + i] += src[i * columns + j];
        } else {
          for (long i = i0; i < i1; i++) dst[j * rows + i] = src[i * columns + j];
        }
      }
    }
  }
}
