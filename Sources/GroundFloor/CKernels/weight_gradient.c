// The weight gradient of a convolution for processors with AVX2 but not AVX-512, where oneDNN 2.x's own on NHWC maps
// reaches a third of the machine's arithmetic (its loads fall into the same few sets of the first cache), this one
// three quarters.
//
// A few lines of both maps at a time are copied into blocks of 8 channels, pixel after pixel. Then for 4 input channels
// and up to 16 output channels the sum over those pixels of (input at the tap) × (gradient) is kept in registers.

#include "run.h"
#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

bool ck_prefers_blocked_weight_gradient(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !__builtin_cpu_supports("avx512f");
}

#define TARGET __attribute__((target("avx2,fma")))

enum { block = 8, rows = 4, most_blocks = 2, pixels_at_once = 224 };

/// The operands of one call of `sum_tile`.
typedef struct {
  const float *input;    // at the tap, first line, first pixel, first of the 4 channels
  const float *gradient; // first line, first pixel, first block
  long lines, width, stride;
  long input_line;       // floats from one output line's input to the next
  long gradient_block;   // floats from one block of 8 output channels to the next
} tile_source;

/// Adds a tile of 4 × (8·blocks) sums to `dst`, whose output blocks are `dst_block` floats apart.
TARGET CK_INLINE void sum_tile(const tile_source *s, float *dst, long dst_block, int blocks) {
  __m256 sum[rows][most_blocks];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < blocks; j++) sum[i][j] = _mm256_setzero_ps();
  for (long line = 0; line < s->lines; line++) {
    const float *x = s->input + line * s->input_line, *g = s->gradient + line * s->width * block;
    const long step = s->stride * block, apart = s->gradient_block;
    for (long p = 0; p < s->width; p++, x += step, g += block) {
      __m256 y[most_blocks];
      for (int j = 0; j < blocks; j++) y[j] = _mm256_load_ps(g + j * apart);
      for (int i = 0; i < rows; i++) {
        const __m256 v = _mm256_broadcast_ss(x + i);
        for (int j = 0; j < blocks; j++) sum[i][j] = _mm256_fmadd_ps(v, y[j], sum[i][j]);
      }
    }
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < blocks; j++) {
      float *d = dst + j * dst_block + i * block;
      _mm256_store_ps(d, _mm256_add_ps(_mm256_load_ps(d), sum[i][j]));
    }
}

/// `count` pixels of `channels`, `step` floats apart, into blocks `apart` floats apart; channels that fill up the last
/// block are zero.
TARGET static void gather_blocks(float *dst, long apart, const float *src, long step, long count, long channels) {
  const long whole = channels / block, rest = channels % block;
  for (long p = 0; p < count; p++) {
    const float *s = src + p * step;
    float *d = dst + p * block;
    for (long b = 0; b < whole; b++) _mm256_store_ps(d + b * apart, _mm256_loadu_ps(s + b * block));
  }
  if (rest == 0) return;
  float *d = dst + whole * apart;
  const float *s = src + whole * block;
  for (long p = 0; p < count; p++) {
    memset(d + p * block, 0, block * sizeof(float));
    memcpy(d + p * block, s + p * step, (size_t)rest * sizeof(float));
  }
}

typedef struct {
  long in_blocks, out_blocks, padded_width, input_lines, input_apart, gradient_apart;
} blocked;

/// Lines `first ..< first + lines` of one image's output, and what they read, into `x` and `g`.
TARGET static void gather_lines(
  const blocked *b, const ck_window *w, long out_channels, float *x, float *g, const float *input,
  const float *gradient, long first, long lines) {
  for (long l = 0; l < (lines - 1) * w->stride + w->kernel; l++) {
    const long y = first * w->stride - w->padding + l;
    float *line = x + l * b->padded_width * block;
    const bool inside = y >= 0 && y < w->height;
    const long left = inside ? ck_min(w->padding, b->padded_width) : b->padded_width;
    const long count = inside ? ck_min(w->width, b->padded_width - left) : 0;
    const long right = b->padded_width - left - count;
    for (long c = 0; c < b->in_blocks; c++) {
      memset(line + c * b->input_apart, 0, (size_t)(left * block) * sizeof(float));
      memset(line + c * b->input_apart + (left + count) * block, 0, (size_t)(right * block) * sizeof(float));
    }
    if (count > 0) {
      gather_blocks(
        line + left * block, b->input_apart, input + y * w->width * w->channels, w->channels, count, w->channels);
    }
  }
  gather_blocks(
    g, b->gradient_apart, gradient + first * w->out_width * out_channels, out_channels, lines * w->out_width,
    out_channels);
}

/// Adds what the gathered lines contribute to all weights.
TARGET static void sum_lines(
  const blocked *b, const ck_window *w, float *dst, const float *x, const float *g, long lines) {
  const long taps = w->kernel * w->kernel, tap_size = block * block;
  const long dst_block = b->in_blocks * taps * tap_size;
  tile_source s = {
    .lines = lines, .width = w->out_width, .stride = w->stride,
    .input_line = w->stride * b->padded_width * block, .gradient_block = b->gradient_apart};
  for (long o = 0, width = 0; o < b->out_blocks; o += width) {
    width = ck_min(b->out_blocks - o, most_blocks);
    s.gradient = g + o * b->gradient_apart;
    for (long i = 0; i < b->in_blocks; i++) {
      float *to = dst + o * dst_block + i * taps * tap_size;
      for (long tap = 0; tap < taps; tap++, to += tap_size) {
        const float *from =
          x + i * b->input_apart + (tap / w->kernel * b->padded_width + tap % w->kernel) * block;
        for (int half = 0; half < block; half += rows) {
          s.input = from + half;
          if (width == 2) {
            sum_tile(&s, to + half * block, dst_block, 2);
          } else {
            sum_tile(&s, to + half * block, dst_block, 1);
          }
        }
      }
    }
  }
}

TARGET void ck_blocked_weight_gradient(
  float *dst, const float *input, const float *gradient, ck_window w, long out_channels) {
  const long lines_at_once = ck_min(ck_max(pixels_at_once / w.out_width, 1), w.out_height);
  blocked b = {
    .in_blocks = (w.channels + block - 1) / block, .out_blocks = (out_channels + block - 1) / block,
    .padded_width = (w.out_width - 1) * w.stride + w.kernel,
    .input_lines = (lines_at_once - 1) * w.stride + w.kernel};
  // Blocks of neighbouring channels are read together: an odd number of cache lines apart they do not collide.
  b.input_apart = (b.input_lines * b.padded_width * block + 15) / 16 * 16 + 16;
  b.gradient_apart = (lines_at_once * w.out_width * block + 15) / 16 * 16 + 16;
  const long input_count = b.in_blocks * b.input_apart, gradient_count = b.out_blocks * b.gradient_apart;
  float *x = ck_scratch((size_t)(input_count + gradient_count) * sizeof(float)), *g = x + input_count;
  memset(dst, 0, (size_t)(b.in_blocks * b.out_blocks * block * block * w.kernel * w.kernel) * sizeof(float));
  for (long image = 0; image < w.images; image++) {
    const float *image_input = input + image * w.height * w.width * w.channels;
    const float *image_gradient = gradient + image * w.out_height * w.out_width * out_channels;
    for (long first = 0; first < w.out_height; first += lines_at_once) {
      const long lines = ck_min(lines_at_once, w.out_height - first);
      gather_lines(&b, &w, out_channels, x, g, image_input, image_gradient, first, lines);
      sum_lines(&b, &w, dst, x, g, lines);
    }
  }
}

#else

bool ck_prefers_blocked_weight_gradient(void) { return false; }

void ck_blocked_weight_gradient(
  float *dst, const float *input, const float *gradient, ck_window window, long out_channels) {}

#endif
