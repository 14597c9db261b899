#include "values.h"
#include <string.h>

typedef struct {
  ck_map dst, src, gradient;
  const float *weights, *bias;
  float *sums; // parts × weights
  ck_window window;
} task;

/// The task with its maps' element as a constant.
CK_INLINE task task_of(ck_element e, const task *t) {
  task result = *t;
  result.dst = ck_as(e, t->dst);
  result.src = ck_as(e, t->src);
  result.gradient = ck_as(e, t->gradient);
  return result;
}

/// First output column whose taps from `kw` on all lie inside the map, and the first after it with one that does not.
CK_INLINE void interior(const ck_window *w, long kw, long taps, long *begin, long *end) {
  const long shift = w->padding - kw;
  const long first = shift > 0 ? (shift + w->stride - 1) / w->stride : 0;
  const long last = w->width + shift - taps;
  *begin = ck_min(first, w->out_width);
  *end = last < 0 ? *begin : ck_max(*begin, ck_min(last / w->stride + 1, w->out_width));
}

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

// Channels are walked in vectors of 16, then 8, then one by one.
#pragma clang diagnostic ignored "-Wpsabi" // Functions of vectors are inlined, so no vector is passed.
#define VECTORS(count) \
  typedef float v##count __attribute__((vector_size(4 * count), aligned(4), may_alias)); \
  typedef uint32_t bits##count __attribute__((vector_size(4 * count))); \
  typedef uint16_t halves##count __attribute__((vector_size(2 * count), aligned(2), may_alias));
VECTORS(16)
VECTORS(8)
VECTORS(1)

#define V v16
#define BITS bits16
#define HALVES halves16
#define NAMED(f) f##_v16
#include "depthwise_body.h"
#define V v8
#define BITS bits8
#define HALVES halves8
#define NAMED(f) f##_v8
#include "depthwise_body.h"
#define V v1
#define BITS bits1
#define HALVES halves1
#define NAMED(f) f##_v1
#include "depthwise_body.h"

/// Calls `call(suffix)` for each vector of channels `c`.
#define FOR_VECTORS(c, channels, CALL) \
  do { \
    long c = 0; \
    for (; c + 16 <= (channels); c += 16) CALL(v16); \
    for (; c + 8 <= (channels); c += 8) CALL(v8); \
    for (; c < (channels); c++) CALL(v1); \
  } while (0)

// ----------------------------------------------------------------------------------------------------------- Forward

CK_INLINE void forward_one(const task *t, const ck_window *w, long line, long ow) {
#define ONE(V) forward_one_##V(t, w, line, ow, c)
  FOR_VECTORS(c, w->channels, ONE);
#undef ONE
}

CK_INLINE void forward_four(const task *t, const ck_window *w, long line, long ow, long kernel) {
  const long top = line % w->out_height * w->stride - w->padding, left = ow * w->stride - w->padding;
  const long row = line / w->out_height * w->height + top;
  const long kh_begin = ck_max(0, -top), kh_end = ck_min(kernel, w->height - top);
  const ck_map src = ck_after(t->src, row * w->width + left), dst = ck_after(t->dst, line * w->out_width + ow);
#define FOUR(V) forward_four_##V(t, w, src, dst, c, kh_begin, kh_end, kernel)
  FOR_VECTORS(c, w->channels, FOUR);
#undef FOUR
}

/// Items are output lines, counted over the images.
CK_INLINE void forward(const task *given, long begin, long end, int part, ck_element e) {
  const task constant = task_of(e, given), *t = &constant;
  const ck_window *w = &t->window;
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
CK_BODY(forward, task, dst)

static long taps(ck_window w) { return w.kernel * w.kernel; }

static void run_forward(const task *t) {
  const ck_window w = t->window;
  ck_run(forward_body, t, w.images * w.out_height, w.out_width * w.channels * taps(w) / 2);
}

void ck_depthwise(ck_map dst, ck_map src, const float *weights, const float *bias, ck_window window) {
  task t = {.dst = dst, .src = src, .weights = weights, .bias = bias, .window = window};
  run_forward(&t);
}

// ---------------------------------------------------------------------------------------------------- Backward, input

/// Items are input lines, counted over the images. Every pixel gathers what it sent to the outputs.
CK_INLINE void backward_input(const task *given, long begin, long end, int part, ck_element e) {
  const task constant = task_of(e, given), *t = &constant;
  const ck_window *w = &t->window;
  for (long line = begin; line < end; line++) {
    const long image_line = line / w->height * w->out_height;
    const readers rows = readers_of(line % w->height, w->out_height, w);
    for (long iw = 0; iw < w->width; iw++) {
      const readers columns = readers_of(iw, w->out_width, w);
      const ck_map dst = ck_after(t->dst, line * w->width + iw);
#define PIXEL(V) backward_input_pixel_##V(t, w, rows, columns, image_line, dst, c)
      FOR_VECTORS(c, w->channels, PIXEL);
#undef PIXEL
    }
  }
}
CK_BODY(backward_input, task, dst)

void ck_depthwise_backward_input(ck_map dst, ck_map gradient, const float *weights, ck_window w) {
  task t = {.dst = dst, .window = w};
  if (w.stride == 1 && w.padding < w.kernel) {
    // The transpose of a stride-1 convolution is one with the kernel turned by half a circle.
    float *turned = ck_scratch((size_t)(taps(w) * w.channels) * sizeof(float));
    for (long tap = 0; tap < taps(w); tap++) {
      memcpy(
        turned + tap * w.channels, weights + (taps(w) - 1 - tap) * w.channels, (size_t)w.channels * sizeof(float));
    }
    t.src = gradient;
    t.weights = turned;
    t.window.height = w.out_height;
    t.window.width = w.out_width;
    t.window.out_height = w.height;
    t.window.out_width = w.width;
    t.window.padding = w.kernel - 1 - w.padding;
    run_forward(&t);
  } else {
    t.gradient = gradient;
    t.weights = weights;
    ck_run(backward_input_body, &t, w.images * w.height, w.width * w.channels * taps(w) / 2);
  }
}

// -------------------------------------------------------------------------------------------------- Backward, weights

/// Items are output lines, counted over the images; each part sums into a gradient of its own.
CK_INLINE void backward_weights(const task *given, long begin, long end, int part, ck_element e) {
  const task constant = task_of(e, given), *t = &constant;
  const long size = t->window.kernel * t->window.kernel * t->window.channels;
  float *dst = t->sums + part * size;
  memset(dst, 0, (size_t)size * sizeof(float));
  for (long line = begin; line < end; line++) {
#define LINE(V) backward_weights_line_##V(t, dst, line, c)
    FOR_VECTORS(c, t->window.channels, LINE);
#undef LINE
  }
}
CK_BODY(backward_weights, task, src)

void ck_depthwise_backward_weights(float *dst, ck_map gradient, ck_map src, ck_window w) {
  const long size = taps(w) * w.channels, lines = w.images * w.out_height;
  const int parts = ck_part_count(lines, w.out_width * w.channels * taps(w) / 2);
  float *sums = ck_scratch((size_t)(parts * size) * sizeof(float));
  task t = {.sums = sums, .gradient = gradient, .src = src, .window = w};
  ck_run_parts(backward_weights_body, &t, lines, parts);
  for (long i = 0; i < size; i++) {
    float sum = 0;
    for (int part = 0; part < parts; part++) sum += sums[part * size + i];
    dst[i] = sum;
  }
}
