// The part of libjpeg that this project uses: a picture's size, its pixels as RGB, and a JPEG file of pixels. libjpeg
// reports errors by longjmp; every jump begins and ends within one of these functions, so that it never passes a Swift
// frame.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cjpeg_result {
  /// Whether the call did what was asked; otherwise `message` says why not.
  bool is_done;
  /// Whether the file breaks off, or what it says of its pixels is damaged. It was decoded as far as it goes, and
  /// `message` is libjpeg's first complaint. A file that only lacks its end marker is not damaged.
  bool is_damaged;
  /// As stored, before any orientation is applied. Pixels.
  uint32_t width, height;
  /// Zero-terminated; the length is that of libjpeg's JMSG_LENGTH_MAX.
  char message[200];
} cjpeg_result;

cjpeg_result cjpeg_read_size(const uint8_t *bytes, size_t count);

/// Writes the picture at 1/reduction of its size, both sides rounded up: rows of three bytes a pixel without padding.
/// Grey is spread; CMYK and YCCK are taken for inverted inks, as Adobe stores them and as OpenCV and Pillow do.
/// - Parameter reduction: 1, 2, 4 or 8.
/// - Parameter capacity: bytes of `pixels`; a picture that needs another number is an error.
cjpeg_result cjpeg_decode(const uint8_t *bytes, size_t count, int reduction, uint8_t *pixels, size_t capacity);

/// Writes a JPEG file with chroma halved in both directions into `bytes` and its length into `size`.
/// - Parameter quality: 1 to 100.
cjpeg_result cjpeg_encode(
  const uint8_t *pixels, uint32_t width, uint32_t height, int quality, uint8_t *bytes, size_t capacity, size_t *size);

#ifdef __cplusplus
}
#endif
