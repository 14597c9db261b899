#include "activation.h"

// Dense maps are one long row, cut into blocks; rows of others are blocks of their own.
typedef struct {
  float *dst;
  const float *gradient, *src;
  long dst_stride, gradient_stride, src_stride, block, last_block, rows;
  ck_activation activation;
  bool accumulate;
} task;

enum { block_floats = 1024 };

static task dense_or_rows(task t, long rows, long channels, bool dense) {
  if (dense) {
    long total = rows * channels;
    t.rows = (total + block_floats - 1) / block_floats;
    t.block = t.dst_stride = t.gradient_stride = t.src_stride = block_floats;
    t.last_block = total - (t.rows - 1) * block_floats;
  } else {
    t.rows = rows;
    t.block = t.last_block = channels;
  }
  return t;
}

CK_INLINE void activate_rows(const task *t, long begin, long end, ck_activation activation) {
  for (long r = begin; r < end; r++) {
    float *dst = t->dst + r * t->dst_stride;
    const float *src = t->src + r * t->src_stride;
    long n = r + 1 == t->rows ? t->last_block : t->block;
    CK_SIMD for (long i = 0; i < n; i++) dst[i] = ck_apply(src[i], activation);
  }
}

CK_CLONES static void activate_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  (void)part;
  CK_FOR_ACTIVATION(t->activation, activate_rows, t, begin, end)
}

void ck_activate(
  float *dst, long dst_stride, const float *src, long src_stride, long rows, long channels,
  ck_activation activation) {
  if (rows <= 0 || channels <= 0) return;
  task t = {
    .dst = dst, .src = src, .dst_stride = dst_stride, .src_stride = src_stride, .activation = activation};
  t = dense_or_rows(t, rows, channels, dst_stride == channels && src_stride == channels);
  ck_run(activate_body, &t, t.rows, t.block);
}

CK_INLINE void activate_backward_rows(const task *t, long begin, long end, ck_activation activation) {
  for (long r = begin; r < end; r++) {
    float *dst = t->dst + r * t->dst_stride;
    const float *gradient = t->gradient + r * t->gradient_stride;
    const float *src = t->src + r * t->src_stride;
    long n = r + 1 == t->rows ? t->last_block : t->block;
    if (t->accumulate) {
      CK_SIMD for (long i = 0; i < n; i++) dst[i] += ck_apply_backward(gradient[i], src[i], activation);
    } else {
      CK_SIMD for (long i = 0; i < n; i++) dst[i] = ck_apply_backward(gradient[i], src[i], activation);
    }
  }
}

CK_CLONES static void activate_backward_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  (void)part;
  CK_FOR_ACTIVATION(t->activation, activate_backward_rows, t, begin, end)
}

void ck_activate_backward(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, const float *src, long src_stride,
  long rows, long channels, ck_activation activation, bool accumulate) {
  if (rows <= 0 || channels <= 0) return;
  task t = {
    .dst = dst, .gradient = gradient, .src = src, .dst_stride = dst_stride, .gradient_stride = gradient_stride,
    .src_stride = src_stride, .activation = activation, .accumulate = accumulate};
  bool dense = dst_stride == channels && gradient_stride == channels && src_stride == channels;
  t = dense_or_rows(t, rows, channels, dense);
  ck_run(activate_backward_body, &t, t.rows, t.block);
}
