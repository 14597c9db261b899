#include "values.h"

// ----------------------------------------------------------------------------------------------------------- Shuffle

typedef struct {
  ck_map dst, src;
  long groups, group_channels;
  bool accumulate;
} shuffle_task;

CK_INLINE void shuffle(const shuffle_task *t, long begin, long end, int part, ck_element e) {
  const long groups = t->groups, n = t->group_channels;
  const ck_map to = ck_as(e, t->dst), from = ck_as(e, t->src);
  for (long r = begin; r < end; r++) {
    const ck_map dst = ck_after(to, r), src = ck_after(from, r);
    if (groups == 2) {
      CK_SIMD for (long i = 0; i < n; i++) {
        ck_move(dst, 2 * i, src, i);
        ck_move(dst, 2 * i + 1, src, n + i);
      }
    } else {
      for (long g = 0; g < groups; g++) {
        CK_SIMD for (long i = 0; i < n; i++) ck_move(dst, i * groups + g, src, g * n + i);
      }
    }
  }
}
CK_BODY(shuffle, shuffle_task, dst)

void ck_shuffle(ck_map dst, ck_map src, long rows, long channels, long groups) {
  shuffle_task t = {.dst = dst, .src = src, .groups = groups, .group_channels = channels / groups};
  ck_run(shuffle_body, &t, rows, channels);
}

CK_INLINE void shuffle_backward(const shuffle_task *t, long begin, long end, int part, ck_element e) {
  const long groups = t->groups, n = t->group_channels;
  const ck_map to = ck_as(e, t->dst), from = ck_as(e, t->src);
  for (long r = begin; r < end; r++) {
    const ck_map src = ck_after(from, r);
    for (long g = 0; g < groups; g++) {
      const ck_map dst = ck_from(ck_after(to, r), g * n);
      if (t->accumulate) {
        CK_SIMD for (long i = 0; i < n; i++) ck_set(dst, i, ck_get(dst, i) + ck_get(src, i * groups + g));
      } else {
        CK_SIMD for (long i = 0; i < n; i++) ck_move(dst, i, src, i * groups + g);
      }
    }
  }
}
CK_BODY(shuffle_backward, shuffle_task, dst)

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
CK_INLINE void upsample(const upsample_task *t, long begin, long end, int part, ck_element e) {
  const long width = t->width, factor = t->factor, channels = t->channels;
  const ck_map to = ck_as(e, t->dst), from = ck_as(e, t->src);
  for (long line = begin; line < end; line++) {
    for (long w = 0; w < width; w++) {
      const ck_map src = ck_after(from, line * width + w);
      for (long i = 0; i < factor; i++) {
        for (long j = 0; j < factor; j++) {
          const ck_map dst = ck_after(to, ((line * factor + i) * width + w) * factor + j);
          CK_SIMD for (long c = 0; c < channels; c++) ck_move(dst, c, src, c);
        }
      }
    }
  }
}
CK_BODY(upsample, upsample_task, dst)

void ck_upsample(ck_map dst, ck_map src, long lines, long width, long channels, long factor) {
  upsample_task t = {.dst = dst, .src = src, .width = width, .channels = channels, .factor = factor};
  ck_run(upsample_body, &t, lines, width * channels * factor * factor);
}

CK_INLINE void upsample_backward(const upsample_task *t, long begin, long end, int part, ck_element e) {
  const long width = t->width, factor = t->factor;
  const ck_map to = ck_as(e, t->dst), from = ck_as(e, t->src);
  float memory[sum_block];
  for (long pixel = begin * width; pixel < end * width; pixel++) {
    const long line = pixel / width, w = pixel % width;
    for (long first = 0; first < t->channels; first += sum_block) {
      const long n = ck_min(sum_block, t->channels - first);
      const ck_map dst = ck_from(ck_after(to, pixel), first);
      float *sum = ck_begin_sums(memory, dst, n, t->accumulate);
      for (long i = 0; i < factor; i++) {
        const ck_map left = ck_from(ck_after(from, ((line * factor + i) * width + w) * factor), first);
        if (factor == 2) {
          const ck_map right = ck_after(left, 1);
          CK_SIMD for (long c = 0; c < n; c++) sum[c] += ck_get(left, c) + ck_get(right, c);
        } else {
          for (long j = 0; j < factor; j++) {
            const ck_map src = ck_after(left, j);
            CK_SIMD for (long c = 0; c < n; c++) sum[c] += ck_get(src, c);
          }
        }
      }
      ck_end_sums(dst, sum, n);
    }
  }
}
CK_BODY(upsample_backward, upsample_task, dst)

void ck_upsample_backward(
  ck_map dst, ck_map gradient, long lines, long width, long channels, long factor, bool accumulate) {
  upsample_task t = {
    .dst = dst, .src = gradient, .width = width, .channels = channels, .factor = factor, .accumulate = accumulate};
  ck_run(upsample_backward_body, &t, lines, width * channels * factor * factor);
}
