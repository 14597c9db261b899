#include "CPNG.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Not a local variable of the function that calls `setjmp`, so that a jump leaves it as it is.
typedef struct decoding {
  jmp_buf place;
  png_structp png;
  png_infop info;
  const uint8_t *bytes;
  size_t count, position;
  uint32_t width, height;
  /// One row of the file's width, and the sums of the rows that become one.
  uint8_t *row;
  uint32_t *sums;
  cpng_result result;
} decoding;

static void leave(png_structp png, png_const_charp message) {
  decoding *d = png_get_error_ptr(png);
  snprintf(d->result.message, sizeof d->result.message, "%s", message);
  longjmp(d->place, 1);
}

static void stay_silent(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void give(png_structp png, png_bytep target, size_t count) {
  decoding *d = png_get_io_ptr(png);
  if (count > d->count - d->position) png_error(png, "the file breaks off");
  memcpy(target, d->bytes + d->position, count);
  d->position += count;
}

static void read_header(decoding *d) {
  d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, leave, stay_silent);
  if (d->png) d->info = png_create_info_struct(d->png);
  if (!d->info) {
    snprintf(d->result.message, sizeof d->result.message, "out of memory");
    longjmp(d->place, 1);
  }
  png_set_read_fn(d->png, d, give);
  // Text, times, gamma and profiles are skipped unread: libpng would believe their lengths.
  png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_read_info(d->png, d->info);
  d->width = png_get_image_width(d->png, d->info);
  d->height = png_get_image_height(d->png, d->info);
}

static void release(decoding *d) {
  if (d->png) png_destroy_read_struct(&d->png, &d->info, NULL);
  free(d->row);
  free(d->sums);
}

static void read_whole(decoding *d, int passes, uint8_t *pixels) {
  size_t row_bytes = (size_t)d->width * 3;
  for (int pass = 0; pass < passes; pass++) {
    for (uint32_t y = 0; y < d->height; y++) png_read_row(d->png, pixels + row_bytes * y, NULL);
  }
}

/// Adds a row of pixels to the sums of squares of `reduction` × `reduction` pixels.
static void add_row(const uint8_t *row, uint32_t *sums, uint32_t width, uint32_t reduction) {
  for (uint32_t x = 0; x < width; x++) {
    for (uint32_t channel = 0; channel < 3; channel++) {
      sums[x / reduction * 3 + channel] += row[(size_t)x * 3 + channel];
    }
  }
}

static void read_reduced(decoding *d, uint32_t reduction, uint8_t *pixels) {
  uint32_t width = d->width, height = d->height, columns = (width - 1) / reduction + 1;
  d->row = malloc((size_t)width * 3);
  d->sums = calloc((size_t)columns * 3, sizeof *d->sums);
  if (!d->row || !d->sums) png_error(d->png, "out of memory");
  for (uint32_t top = 0; top < height; top += reduction) {
    uint32_t rows = height - top < reduction ? height - top : reduction;
    for (uint32_t y = 0; y < rows; y++) {
      png_read_row(d->png, d->row, NULL);
      add_row(d->row, d->sums, width, reduction);
    }
    for (uint32_t x = 0; x < columns; x++) {
      uint32_t left = width - x * reduction, area = rows * (left < reduction ? left : reduction);
      for (uint32_t channel = 0; channel < 3; channel++) {
        *pixels++ = (uint8_t)((d->sums[x * 3 + channel] + area / 2) / area);
      }
    }
    memset(d->sums, 0, (size_t)columns * 3 * sizeof *d->sums);
  }
}

static void decode(decoding *d, uint32_t reduction, uint8_t *pixels, size_t capacity) {
  if (setjmp(d->place) != 0) return;
  read_header(d);
  size_t columns = (d->width - 1) / reduction + 1, rows = (d->height - 1) / reduction + 1;
  if (capacity != columns * rows * 3) png_error(d->png, "another size than expected");
  if (reduction > 1 && png_get_interlace_type(d->png, d->info) != PNG_INTERLACE_NONE) png_error(d->png, "interlaced");
  png_set_expand(d->png);
  png_set_strip_16(d->png);
  png_set_gray_to_rgb(d->png);
  png_set_strip_alpha(d->png);
  int passes = png_set_interlace_handling(d->png);
  png_read_update_info(d->png, d->info);
  if (png_get_rowbytes(d->png, d->info) != (size_t)d->width * 3) png_error(d->png, "not three bytes a pixel");
  if (reduction > 1) {
    read_reduced(d, reduction, pixels);
  } else {
    read_whole(d, passes, pixels);
  }
  png_read_end(d->png, NULL);
  d->result.is_done = true;
}

cpng_result cpng_decode(const uint8_t *bytes, size_t count, uint32_t reduction, uint8_t *pixels, size_t capacity) {
  decoding d = {.bytes = bytes, .count = count};
  decode(&d, reduction, pixels, capacity);
  release(&d);
  return d.result;
}
