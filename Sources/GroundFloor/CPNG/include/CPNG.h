// The part of libpng that this project uses: a picture's pixels as RGB, for any colour type and depth. libpng reports
// errors by longjmp; every jump begins and ends within one of these functions, so that it never passes a Swift frame.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <png.h> // Writing is by its simplified interface, which does not jump.

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cpng_result {
  /// Whether the call did what was asked; otherwise `message` says why not.
  bool is_done;
  /// Zero-terminated.
  char message[200];
} cpng_result;

/// Writes the picture at 1/reduction of its size, each pixel the mean of its square, both sides rounded up: rows of
/// three bytes a pixel without padding. Grey is spread, of 16 bits the upper 8 are kept, alpha is dropped and what the
/// file says about gamma and colour profiles is ignored, as OpenCV does.
/// - Parameter reduction: at least 1; 1 for an interlaced picture.
/// - Parameter capacity: bytes of `pixels`; a picture that needs another number is an error.
cpng_result cpng_decode(const uint8_t *bytes, size_t count, uint32_t reduction, uint8_t *pixels, size_t capacity);

#ifdef __cplusplus
}
#endif
