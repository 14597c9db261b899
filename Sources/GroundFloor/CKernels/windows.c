#include "run.h"
#include <string.h>

void ck_gather_windows(float *dst, ck_map src, ck_window w, long first_row, long end_row) {
  const long channels = w.channels;
  const bool is_dense = src.stride == channels;
  for (long row = first_row; row < end_row; row++) {
    const long line = row / w.out_width, image = line / w.out_height;
    const long top = line % w.out_height * w.stride - w.padding, left = row % w.out_width * w.stride - w.padding;
    const long kw_begin = ck_min(ck_max(0, -left), w.kernel);
    const long kw_end = ck_max(kw_begin, ck_min(w.kernel, w.width - left));
    for (long kh = 0; kh < w.kernel; kh++, dst += w.kernel * channels) {
      const long ih = top + kh;
      if (ih < 0 || ih >= w.height || kw_begin == kw_end) {
        memset(dst, 0, (size_t)(w.kernel * channels) * sizeof(float));
        continue;
      }
      const float *from = (const float *)src.data + ((image * w.height + ih) * w.width + left + kw_begin) * src.stride;
      memset(dst, 0, (size_t)(kw_begin * channels) * sizeof(float));
      if (is_dense) {
        memcpy(dst + kw_begin * channels, from, (size_t)((kw_end - kw_begin) * channels) * sizeof(float));
      } else {
        for (long kw = kw_begin; kw < kw_end; kw++, from += src.stride) {
          memcpy(dst + kw * channels, from, (size_t)channels * sizeof(float));
        }
      }
      memset(dst + kw_end * channels, 0, (size_t)((w.kernel - kw_end) * channels) * sizeof(float));
    }
  }
}

CK_CLONES void ck_scatter_windows(
  ck_map dst, const float *windows, ck_window w, long out_line, long first_line, long end_line) {
  const long channels = w.channels;
  const long image = out_line / w.out_height, top = out_line % w.out_height * w.stride - w.padding;
  for (long ow = 0; ow < w.out_width; ow++) {
    const long left = ow * w.stride - w.padding;
    for (long kh = 0; kh < w.kernel; kh++, windows += w.kernel * channels) {
      const long ih = top + kh, line = image * w.height + ih;
      if (ih < 0 || ih >= w.height || line < first_line || line >= end_line) continue;
      for (long kw = ck_max(0, -left); kw < w.kernel && left + kw < w.width; kw++) {
        float *restrict to = (float *)dst.data + (line * w.width + left + kw) * dst.stride;
        const float *restrict from = windows + kw * channels;
        for (long c = 0; c < channels; c++) to[c] += from[c];
      }
    }
  }
}
