// Depthwise convolution of some neighbouring channels, which a vector `V` of floats holds. Included once for each
// width, with `NAMED(f)` as the name of its function `f`, and with `BITS` and `HALVES` as the vectors of as many 32-bit
// and 16-bit integers. The element of each map is a constant.

CK_INLINE V NAMED(load)(ck_map map, long at) {
  if (map.element == CK_FLOAT32) return *(const V *)((const float *)map.data + at);
  return (V)(__builtin_convertvector(*(const HALVES *)((const uint16_t *)map.data + at), BITS) << 16);
}

/// Rounds as `ck_set` does.
CK_INLINE void NAMED(store)(ck_map map, long at, V value) {
  if (map.element == CK_FLOAT32) {
    *(V *)((float *)map.data + at) = value;
  } else {
    const BITS bits = (BITS)value, is_nan = (BITS)(value != value);
    const BITS rounded = (is_nan & (bits | 0x400000)) | (~is_nan & (bits + 0x7fff + (bits >> 16 & 1)));
    *(HALVES *)((uint16_t *)map.data + at) = __builtin_convertvector(rounded >> 16, HALVES);
  }
}

/// Channels c, c + 1, … of one output pixel; taps over the border are left out.
CK_INLINE void NAMED(forward_one)(const task *t, const ck_window *w, long line, long ow, long c) {
  const long top = line % w->out_height * w->stride - w->padding, left = ow * w->stride - w->padding;
  const ck_map dst = ck_after(t->dst, line * w->out_width + ow), src = t->src;
  V sum = {0};
  if (t->bias) sum += *(const V *)(t->bias + c);
  for (long kh = ck_max(0, -top); kh < w->kernel && top + kh < w->height; kh++) {
    const long row = line / w->out_height * w->height + top + kh;
    const long at = (row * w->width + left) * src.stride + c;
    const float *weights = t->weights + kh * w->kernel * w->channels + c;
    for (long kw = ck_max(0, -left); kw < w->kernel && left + kw < w->width; kw++) {
      sum += NAMED(load)(src, at + kw * src.stride) * *(const V *)(weights + kw * w->channels);
    }
  }
  NAMED(store)(dst, c, sum);
}

/// Four pixels in a row, none of whose windows reaches over the left or right border.
CK_INLINE void NAMED(forward_four)(
  const task *t, const ck_window *w, ck_map src, ck_map dst, long c, long kh_begin, long kh_end, long kernel) {
  const long step = w->stride * src.stride, next = src.stride, channels = w->channels;
  const long below = w->width * next - kernel * next;
  V a = {0}, b = {0}, d = {0}, e = {0};
  if (t->bias) {
    const V bias = *(const V *)(t->bias + c);
    a += bias;
    b += bias;
    d += bias;
    e += bias;
  }
  long at = kh_begin * w->width * next + c;
  const float *weights = t->weights + kh_begin * kernel * channels + c;
  for (long kh = kh_begin; kh < kh_end; kh++, at += below) {
    for (long kw = 0; kw < kernel; kw++, at += next, weights += channels) {
      const V weight = *(const V *)weights;
      a += weight * NAMED(load)(src, at);
      b += weight * NAMED(load)(src, at + step);
      d += weight * NAMED(load)(src, at + 2 * step);
      e += weight * NAMED(load)(src, at + 3 * step);
    }
  }
  NAMED(store)(dst, c, a);
  NAMED(store)(dst, c + dst.stride, b);
  NAMED(store)(dst, c + 2 * dst.stride, d);
  NAMED(store)(dst, c + 3 * dst.stride, e);
}

/// Channels c, c + 1, … of one input pixel, gathered from the outputs that read it.
CK_INLINE void NAMED(backward_input_pixel)(
  const task *t, const ck_window *w, readers rows, readers columns, long image_line, ck_map dst, long c) {
  const ck_map gradient = t->gradient;
  V sum = {0};
  for (long i = 0; i < rows.count; i++) {
    const long tap = (rows.tap + i * w->stride) * w->kernel + columns.tap;
    const float *weights = t->weights + tap * w->channels + c;
    long at = ((image_line + rows.at - i) * w->out_width + columns.at) * gradient.stride + c;
    for (long j = 0; j < columns.count; j++) {
      sum += NAMED(load)(gradient, at) * *(const V *)weights;
      at -= gradient.stride;
      weights += w->stride * w->channels;
    }
  }
  NAMED(store)(dst, c, sum);
}

/// Adds one output line's share to the gradients of taps (kh, kw) … (kh, kw + count − 1); `count` is a constant.
CK_INLINE void NAMED(backward_weights_taps)(
  const task *t, float *dst, long line, long c, long kh, long kw, const int count) {
  const ck_window *w = &t->window;
  const long image = line / w->out_height, ih = line % w->out_height * w->stride - w->padding + kh;
  const ck_map src = t->src, gradient = t->gradient;
  const long x = ((image * w->height + ih) * w->width + kw - w->padding) * src.stride + c;
  const long y = line * w->out_width * gradient.stride + c;
  long begin, end;
  interior(w, kw, count, &begin, &end);
  V sum[5] = {};
  for (long ow = 0; ow < w->out_width; ow++) {
    if (ow == begin) {
      for (; ow < end; ow++) {
        const V g = NAMED(load)(gradient, y + ow * gradient.stride);
#pragma unroll
        for (int i = 0; i < count; i++) sum[i] += g * NAMED(load)(src, x + (ow * w->stride + i) * src.stride);
      }
      if (ow == w->out_width) break;
    }
    const V g = NAMED(load)(gradient, y + ow * gradient.stride);
    const long left = ow * w->stride + kw - w->padding;
#pragma unroll
    for (int i = 0; i < count; i++) {
      if (left + i < 0 || left + i >= w->width) continue;
      sum[i] += g * NAMED(load)(src, x + (ow * w->stride + i) * src.stride);
    }
  }
#pragma unroll
  for (int i = 0; i < count; i++) {
    *(V *)(dst + (kh * w->kernel + kw + i) * w->channels + c) += sum[i];
  }
}

CK_INLINE void NAMED(backward_weights_line)(const task *t, float *dst, long line, long c) {
  const ck_window *w = &t->window;
  const long top = line % w->out_height * w->stride - w->padding;
  for (long kh = ck_max(0, -top); kh < w->kernel && top + kh < w->height; kh++) {
    if (w->kernel == 3) {
      NAMED(backward_weights_taps)(t, dst, line, c, kh, 0, 3);
    } else if (w->kernel == 5) {
      NAMED(backward_weights_taps)(t, dst, line, c, kh, 0, 5);
    } else {
      for (long kw = 0; kw < w->kernel; kw++) NAMED(backward_weights_taps)(t, dst, line, c, kh, kw, 1);
    }
  }
}

#undef V
#undef BITS
#undef HALVES
#undef NAMED
