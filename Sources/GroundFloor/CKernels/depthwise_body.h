// Depthwise convolution of some neighbouring channels, which a vector `V` of floats holds. Included once for each
// width, with `NAMED(f)` as the name of its function `f`.

/// Channels c, c + 1, … of one output pixel; taps over the border are left out.
CK_INLINE void NAMED(forward_one)(const task *t, const ck_window *w, long line, long ow, long c) {
  const long top = line % w->out_height * w->stride - w->padding, left = ow * w->stride - w->padding;
  float *dst = t->dst.data + (line * w->out_width + ow) * t->dst.stride + c;
  V sum = {0};
  if (t->bias) sum += *(const V *)(t->bias + c);
  for (long kh = ck_max(0, -top); kh < w->kernel && top + kh < w->height; kh++) {
    const long row = line / w->out_height * w->height + top + kh;
    const float *src = t->src.data + (row * w->width + left) * t->src.stride + c;
    const float *weights = t->weights + kh * w->kernel * w->channels + c;
    for (long kw = ck_max(0, -left); kw < w->kernel && left + kw < w->width; kw++) {
      sum += *(const V *)(src + kw * t->src.stride) * *(const V *)(weights + kw * w->channels);
    }
  }
  *(V *)dst = sum;
}

/// Four pixels in a row, none of whose windows reaches over the left or right border.
CK_INLINE void NAMED(forward_four)(
  const task *t, const ck_window *w, const float *src, const float *weights, float *dst, long kh_begin,
  long kh_end, long kernel) {
  const long step = w->stride * t->src.stride, next = t->src.stride, channels = w->channels;
  const long below = w->width * next - kernel * next;
  V a = {0}, b = {0}, d = {0}, e = {0};
  if (t->bias) {
    const V bias = *(const V *)(t->bias + (weights - t->weights));
    a += bias;
    b += bias;
    d += bias;
    e += bias;
  }
  src += kh_begin * w->width * next;
  weights += kh_begin * kernel * channels;
  for (long kh = kh_begin; kh < kh_end; kh++, src += below) {
    for (long kw = 0; kw < kernel; kw++, src += next, weights += channels) {
      const V weight = *(const V *)weights;
      a += weight * *(const V *)src;
      b += weight * *(const V *)(src + step);
      d += weight * *(const V *)(src + 2 * step);
      e += weight * *(const V *)(src + 3 * step);
    }
  }
  *(V *)dst = a;
  *(V *)(dst + t->dst.stride) = b;
  *(V *)(dst + 2 * t->dst.stride) = d;
  *(V *)(dst + 3 * t->dst.stride) = e;
}

/// Channels c, c + 1, … of one input pixel, gathered from the outputs that read it.
CK_INLINE void NAMED(backward_input_pixel)(
  const task *t, const ck_window *w, readers rows, readers columns, long image_line, float *dst, long c) {
  V sum = {0};
  for (long i = 0; i < rows.count; i++) {
    const long tap = (rows.tap + i * w->stride) * w->kernel + columns.tap;
    const float *weights = t->weights + tap * w->channels + c;
    const float *gradient = t->gradient.data
      + ((image_line + rows.at - i) * w->out_width + columns.at) * t->gradient.stride + c;
    for (long j = 0; j < columns.count; j++) {
      sum += *(const V *)gradient * *(const V *)weights;
      gradient -= t->gradient.stride;
      weights += w->stride * w->channels;
    }
  }
  *(V *)(dst + c) = sum;
}

/// Adds one output line's share to the gradients of taps (kh, kw) … (kh, kw + count − 1); `count` is a constant.
CK_INLINE void NAMED(backward_weights_taps)(
  const task *t, float *dst, long line, long c, long kh, long kw, const int count) {
  const ck_window *w = &t->window;
  const long image = line / w->out_height, ih = line % w->out_height * w->stride - w->padding + kh;
  const float *src = t->src.data + ((image * w->height + ih) * w->width + kw - w->padding) * t->src.stride + c;
  const float *gradient = t->gradient.data + line * w->out_width * t->gradient.stride + c;
  long begin, end;
  interior(w, kw, count, &begin, &end);
  V sum[5] = {};
  for (long ow = 0; ow < w->out_width; ow++) {
    if (ow == begin) {
      for (; ow < end; ow++) {
        const V g = *(const V *)(gradient + ow * t->gradient.stride);
        const float *x = src + ow * w->stride * t->src.stride;
#pragma unroll
        for (int i = 0; i < count; i++) sum[i] += g * *(const V *)(x + i * t->src.stride);
      }
      if (ow == w->out_width) break;
    }
    const V g = *(const V *)(gradient + ow * t->gradient.stride);
    const long left = ow * w->stride + kw - w->padding;
#pragma unroll
    for (int i = 0; i < count; i++) {
      if (left + i < 0 || left + i >= w->width) continue;
      sum[i] += g * *(const V *)(src + (ow * w->stride + i) * t->src.stride);
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
