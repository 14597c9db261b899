#include "run.h"
#include <string.h>

// Channels are walked in vectors of 16, then 8, then one by one; the functions below exist once for each.
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v1 __attribute__((may_alias));

typedef struct {
  float *dst;
  const float *src, *gradient, *weights, *bias;
  long dst_stride, src_stride, gradient_stride;
  ck_window window;
  bool accumulate;
} task;

/// First output column whose taps from `kw` on all lie inside the map, and the first after it with one that does not.
CK_INLINE void interior(const ck_window *w, long kw, long taps, long *begin, long *end) {
  const long shift = w->padding - kw;
  const long first = shift > 0 ? (shift + w->stride - 1) / w->stride : 0;
  const long last = w->width + shift - taps;
  *begin = ck_min(first, w->out_width);
  *end = last < 0 ? *begin : ck_max(*begin, ck_min(last / w->stride + 1, w->out_width));
}

// ----------------------------------------------------------------------------------------------------------- Forward

#define DEFINE_FORWARD(V) \
  /* Channels c, c + 1, … of one output pixel; taps over the border are left out. */ \
  CK_INLINE void forward_one_##V(const task *t, const ck_window *w, long line, long ow, long c) { \
    const long top = line % w->out_height * w->stride - w->padding, left = ow * w->stride - w->padding; \
    float *dst = t->dst + (line * w->out_width + ow) * t->dst_stride + c; \
    V sum = {0}; \
    if (t->accumulate) sum = *(const V *)dst; \
    if (t->bias) sum += *(const V *)(t->bias + c); \
    for (long kh = ck_max(0, -top); kh < w->kernel && top + kh < w->height; kh++) { \
      const long row = line / w->out_height * w->height + top + kh; \
      const float *src = t->src + (row * w->width + left) * t->src_stride + c; \
      const float *weights = t->weights + kh * w->kernel * w->channels + c; \
      for (long kw = ck_max(0, -left); kw < w->kernel && left + kw < w->width; kw++) { \
        sum += *(const V *)(src + kw * t->src_stride) * *(const V *)(weights + kw * w->channels); \
      } \
    } \
    *(V *)dst = sum; \
  } \
  /* Four pixels in a row, none of whose windows reaches over the left or right border. */ \
  CK_INLINE void forward_four_##V( \
    const task *t, const ck_window *w, const float *src, const float *weights, float *dst, long kh_begin, \
    long kh_end, long kernel) { \
    const long step = w->stride * t->src_stride, next = t->src_stride, channels = w->channels; \
    const long below = w->width * next - kernel * next; \
    V a = {0}, b = {0}, d = {0}, e = {0}; \
    if (t->accumulate) { \
      a = *(const V *)dst; \
      b = *(const V *)(dst + t->dst_stride); \
      d = *(const V *)(dst + 2 * t->dst_stride); \
      e = *(const V *)(dst + 3 * t->dst_stride); \
    } \
    if (t->bias) { \
      const V bias = *(const V *)(t->bias + (weights - t->weights)); \
      a += bias; \
      b += bias; \
      d += bias; \
      e += bias; \
    } \
    src += kh_begin * w->width * next; \
    weights += kh_begin * kernel * channels; \
    for (long kh = kh_begin; kh < kh_end; kh++, src += below) { \
      for (long kw = 0; kw < kernel; kw++, src += next, weights += channels) { \
        const V weight = *(const V *)weights; \
        a += weight * *(const V *)src; \
        b += weight * *(const V *)(src + step); \
        d += weight * *(const V *)(src + 2 * step); \
        e += weight * *(const V *)(src + 3 * step); \
      } \
    } \
    *(V *)dst = a; \
    *(V *)(dst + t->dst_stride) = b; \
    *(V *)(dst + 2 * t->dst_stride) = d; \
    *(V *)(dst + 3 * t->dst_stride) = e; \
  }

DEFINE_FORWARD(v16)
DEFINE_FORWARD(v8)
DEFINE_FORWARD(v1)

CK_INLINE void forward_one(const task *t, const ck_window *w, long line, long ow) {
  long c = 0;
  for (; c + 16 <= w->channels; c += 16) forward_one_v16(t, w, line, ow, c);
  for (; c + 8 <= w->channels; c += 8) forward_one_v8(t, w, line, ow, c);
  for (; c < w->channels; c++) forward_one_v1(t, w, line, ow, c);
}

CK_INLINE void forward_four(const task *t, const ck_window *w, long line, long ow, long kernel) {
  const long top = line % w->out_height * w->stride - w->padding, left = ow * w->stride - w->padding;
  const long row = line / w->out_height * w->height + top;
  const long kh_begin = ck_max(0, -top), kh_end = ck_min(kernel, w->height - top);
  const float *src = t->src + (row * w->width + left) * t->src_stride;
  float *dst = t->dst + (line * w->out_width + ow) * t->dst_stride;
  long c = 0;
#define FOUR(V) forward_four_##V(t, w, src + c, t->weights + c, dst + c, kh_begin, kh_end, kernel)
  for (; c + 16 <= w->channels; c += 16) FOUR(v16);
  for (; c + 8 <= w->channels; c += 8) FOUR(v8);
  for (; c < w->channels; c++) FOUR(v1);
#undef FOUR
}

/// Items are output lines, counted over the images.
CK_CLONES static void forward_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  const ck_window window = t->window, *w = &window;
  (void)part;
  long inner_begin, inner_end;
  interior(w, 0, w->kernel, &inner_begin, &inner_end);
  for (long line = begin; line < end; line++) {
    long ow = 0;
    for (; ow < inner_begin; ow++) forward_one(t, w, line, ow);
    if (w->kernel == 3) {
      for (; ow + 4 <= inner_end; ow += 4) forward_four(t, w, line, ow, 3);
    } else if (w->kernel == 5) {
      for (; ow + 4 <= inner_end; ow += 4) forward_four(t, w, line, ow, 5);
    } else {
      for (; ow + 4 <= inner_end; ow += 4) forward_four(t, w, line, ow, w->kernel);
    }
    for (; ow < w->out_width; ow++) forward_one(t, w, line, ow);
  }
}

static long taps(ck_window w) { return w.kernel * w.kernel; }

static void run_forward(const task *t) {
  const ck_window w = t->window;
  ck_run(forward_body, t, w.images * w.out_height, w.out_width * w.channels * taps(w) / 2);
}

void ck_depthwise(
  float *dst, long dst_stride, const float *src, long src_stride, const float *weights, const float *bias,
  ck_window window) {
  task t = {
    .dst = dst, .src = src, .weights = weights, .bias = bias, .dst_stride = dst_stride, .src_stride = src_stride,
    .window = window};
  run_forward(&t);
}

// ---------------------------------------------------------------------------------------------------- Backward, input

/// Along one axis: the taps first, first + stride, … by which an input position was read, and the output positions
/// at, at − 1, … that read it.
typedef struct {
  long tap, at, count;
} readers;

CK_INLINE readers readers_of(long position, long out_size, const ck_window *w) {
  position += w->padding;
  long tap = position % w->stride, at = position / w->stride;
  const long over = ck_max(at - (out_size - 1), 0);
  tap += over * w->stride;
  at -= over;
  const long count = tap < w->kernel ? (w->kernel - tap + w->stride - 1) / w->stride : 0;
  return (readers){tap, at, ck_min(count, at + 1)};
}

#define DEFINE_BACKWARD_INPUT(V) \
  CK_INLINE void backward_input_pixel_##V( \
    const task *t, const ck_window *w, readers rows, readers columns, long image_line, float *dst, long c) { \
    V sum = {0}; \
    if (t->accumulate) sum = *(const V *)(dst + c); \
    for (long i = 0; i < rows.count; i++) { \
      const long tap = (rows.tap + i * w->stride) * w->kernel + columns.tap; \
      const float *weights = t->weights + tap * w->channels + c; \
      const float *gradient = t->gradient \
        + ((image_line + rows.at - i) * w->out_width + columns.at) * t->gradient_stride + c; \
      for (long j = 0; j < columns.count; j++) { \
        sum += *(const V *)gradient * *(const V *)weights; \
        gradient -= t->gradient_stride; \
        weights += w->stride * w->channels; \
      } \
    } \
    *(V *)(dst + c) = sum; \
  }

DEFINE_BACKWARD_INPUT(v16)
DEFINE_BACKWARD_INPUT(v8)
DEFINE_BACKWARD_INPUT(v1)

/// Items are input lines, counted over the images. Every pixel gathers what it sent to the outputs.
CK_CLONES static void backward_input_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  const ck_window window = t->window, *w = &window;
  (void)part;
  for (long line = begin; line < end; line++) {
    const long image_line = line / w->height * w->out_height;
    const readers rows = readers_of(line % w->height, w->out_height, w);
    for (long iw = 0; iw < w->width; iw++) {
      const readers columns = readers_of(iw, w->out_width, w);
      float *dst = t->dst + (line * w->width + iw) * t->dst_stride;
      long c = 0;
      for (; c + 16 <= w->channels; c += 16) backward_input_pixel_v16(t, w, rows, columns, image_line, dst, c);
      for (; c + 8 <= w->channels; c += 8) backward_input_pixel_v8(t, w, rows, columns, image_line, dst, c);
      for (; c < w->channels; c++) backward_input_pixel_v1(t, w, rows, columns, image_line, dst, c);
    }
  }
}

void ck_depthwise_backward_input(
  float *dst, long dst_stride, const float *gradient, long gradient_stride, const float *weights, ck_window w,
  bool accumulate) {
  task t = {.dst = dst, .dst_stride = dst_stride, .window = w, .accumulate = accumulate};
  if (w.stride == 1 && w.padding < w.kernel) {
    // The transpose of a stride-1 convolution is one with the kernel turned by half a circle.
    float *turned = ck_scratch((size_t)(taps(w) * w.channels) * sizeof(float));
    for (long tap = 0; tap < taps(w); tap++) {
      memcpy(
        turned + tap * w.channels, weights + (taps(w) - 1 - tap) * w.channels, (size_t)w.channels * sizeof(float));
    }
    t.src = gradient;
    t.src_stride = gradient_stride;
    t.weights = turned;
    t.window.height = w.out_height;
    t.window.width = w.out_width;
    t.window.out_height = w.height;
    t.window.out_width = w.width;
    t.window.padding = w.kernel - 1 - w.padding;
    run_forward(&t);
  } else {
    t.gradient = gradient;
    t.gradient_stride = gradient_stride;
    t.weights = weights;
    ck_run(backward_input_body, &t, w.images * w.height, w.width * w.channels * taps(w) / 2);
  }
}

// -------------------------------------------------------------------------------------------------- Backward, weights

#define DEFINE_BACKWARD_WEIGHTS(V) \
  /* Adds one output line's share to the gradients of taps (kh, kw) … (kh, kw + count − 1); `count` is a constant. */ \
  CK_INLINE void backward_weights_taps_##V( \
    const task *t, float *dst, long line, long c, long kh, long kw, const int count) { \
    const ck_window *w = &t->window; \
    const long image = line / w->out_height, ih = line % w->out_height * w->stride - w->padding + kh; \
    const float *src = t->src + ((image * w->height + ih) * w->width + kw - w->padding) * t->src_stride + c; \
    const float *gradient = t->gradient + line * w->out_width * t->gradient_stride + c; \
    long begin, end; \
    interior(w, kw, count, &begin, &end); \
    V sum[5] = {}; \
    for (long ow = 0; ow < w->out_width; ow++) { \
      if (ow == begin) { \
        for (; ow < end; ow++) { \
          const V g = *(const V *)(gradient + ow * t->gradient_stride); \
          const float *x = src + ow * w->stride * t->src_stride; \
          _Pragma("unroll") for (int i = 0; i < count; i++) sum[i] += g * *(const V *)(x + i * t->src_stride); \
        } \
        if (ow == w->out_width) break; \
      } \
      const V g = *(const V *)(gradient + ow * t->gradient_stride); \
      const long left = ow * w->stride + kw - w->padding; \
      _Pragma("unroll") for (int i = 0; i < count; i++) { \
        if (left + i < 0 || left + i >= w->width) continue; \
        sum[i] += g * *(const V *)(src + (ow * w->stride + i) * t->src_stride); \
      } \
    } \
    _Pragma("unroll") for (int i = 0; i < count; i++) { \
      *(V *)(dst + (kh * w->kernel + kw + i) * w->channels + c) += sum[i]; \
    } \
  } \
  CK_INLINE void backward_weights_line_##V(const task *t, float *dst, long line, long c) { \
    const ck_window *w = &t->window; \
    const long top = line % w->out_height * w->stride - w->padding; \
    for (long kh = ck_max(0, -top); kh < w->kernel && top + kh < w->height; kh++) { \
      if (w->kernel == 3) { \
        backward_weights_taps_##V(t, dst, line, c, kh, 0, 3); \
      } else if (w->kernel == 5) { \
        backward_weights_taps_##V(t, dst, line, c, kh, 0, 5); \
      } else { \
        for (long kw = 0; kw < w->kernel; kw++) backward_weights_taps_##V(t, dst, line, c, kh, kw, 1); \
      } \
    } \
  }

DEFINE_BACKWARD_WEIGHTS(v16)
DEFINE_BACKWARD_WEIGHTS(v8)
DEFINE_BACKWARD_WEIGHTS(v1)

/// Items are output lines, counted over the images; each part sums into a gradient of its own.
CK_CLONES static void backward_weights_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  const long size = t->window.kernel * t->window.kernel * t->window.channels;
  float *dst = t->dst + part * size;
  memset(dst, 0, (size_t)size * sizeof(float));
  for (long line = begin; line < end; line++) {
    long c = 0;
    for (; c + 16 <= t->window.channels; c += 16) backward_weights_line_v16(t, dst, line, c);
    for (; c + 8 <= t->window.channels; c += 8) backward_weights_line_v8(t, dst, line, c);
    for (; c < t->window.channels; c++) backward_weights_line_v1(t, dst, line, c);
  }
}

void ck_depthwise_backward_weights(
  float *dst, const float *gradient, long gradient_stride, const float *src, long src_stride, ck_window w,
  bool accumulate) {
  const long size = taps(w) * w.channels, lines = w.images * w.out_height;
  const int parts = ck_part_count(lines, w.out_width * w.channels * taps(w) / 2);
  task t = {
    .dst = ck_scratch((size_t)(parts * size) * sizeof(float)), .gradient = gradient, .src = src,
    .gradient_stride = gradient_stride, .src_stride = src_stride, .window = w};
  ck_run_parts(backward_weights_body, &t, lines, parts);
  for (long i = 0; i < size; i++) {
    float sum = 0;
    for (int part = 0; part < parts; part++) sum += t.dst[part * size + i];
    dst[i] = sum + (accumulate ? dst[i] : 0);
  }
}
