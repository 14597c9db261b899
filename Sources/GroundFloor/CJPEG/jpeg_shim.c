#include "CJPEG.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

_Static_assert(sizeof(((cjpeg_result *)0)->message) >= JMSG_LENGTH_MAX, "a message has room");

/// Progressive files of very many scans take time out of proportion to their size.
static const int most_scans = 500;
/// Bytes. Only files of several scans need as much: their coefficients are kept, two bytes each.
static const long most_memory = 5L << 28;

/// libjpeg's error handler comes first, so that its address is that of the whole.
typedef struct escape {
  struct jpeg_error_mgr errors;
  jmp_buf place;
  cjpeg_result *result;
  /// Whether the bytes ended before the end marker came.
  bool ends_early;
} escape;

static escape *escape_of(j_common_ptr info) { return (escape *)info->err; }

static void leave(j_common_ptr info) {
  escape *e = escape_of(info);
  if (info->err->msg_code == JERR_NO_BACKING_STORE) {
    snprintf(e->result->message, sizeof e->result->message, "too large for a file of several scans; save it as baseline");
  } else {
    info->err->format_message(info, e->result->message);
  }
  longjmp(e->place, 1);
}

/// Remembers the first sign of damage. Stray bytes between segments and odd markers are none: cameras write them.
static void hear(j_common_ptr info, int level) {
  if (level >= 0) return;
  escape *e = escape_of(info);
  switch (info->err->msg_code) {
  case JWRN_JPEG_EOF:
    e->ends_early = true;
    return;
  case JWRN_HIT_MARKER:
  case JWRN_HUFF_BAD_CODE:
  case JWRN_ARITH_BAD_CODE:
  case JWRN_MUST_RESYNC:
  case JWRN_BOGUS_PROGRESSION:
    if (!e->result->is_damaged) info->err->format_message(info, e->result->message);
    e->result->is_damaged = true;
  }
}

static void stay_silent(j_common_ptr info) { (void)info; }

static struct jpeg_error_mgr *set_up(escape *e, cjpeg_result *result) {
  memset(e, 0, sizeof *e);
  e->result = result;
  jpeg_std_error(&e->errors);
  e->errors.error_exit = leave;
  e->errors.emit_message = hear;
  e->errors.output_message = stay_silent;
  return &e->errors;
}

static void count_scans(j_common_ptr info) {
  if (((j_decompress_ptr)info)->input_scan_number <= most_scans) return;
  escape *e = escape_of(info);
  snprintf(e->result->message, sizeof e->result->message, "more than %d scans", most_scans);
  longjmp(e->place, 1);
}

/// Not a local variable of a function that calls `setjmp`, so that a jump leaves it as it is.
typedef struct decoding {
  struct jpeg_decompress_struct info;
  struct jpeg_progress_mgr progress;
  escape escape;
  cjpeg_result result;
} decoding;

static void read_header(decoding *d, const uint8_t *bytes, size_t count) {
  jpeg_create_decompress(&d->info);
  d->info.mem->max_memory_to_use = most_memory;
  jpeg_mem_src(&d->info, bytes, count);
  jpeg_read_header(&d->info, TRUE);
  d->result.width = d->info.image_width;
  d->result.height = d->info.image_height;
}

static void read_size(decoding *d, const uint8_t *bytes, size_t count) {
  if (setjmp(d->escape.place) != 0) return;
  read_header(d, bytes, count);
  d->result.is_done = true;
}

cjpeg_result cjpeg_read_size(const uint8_t *bytes, size_t count) {
  decoding d;
  memset(&d, 0, sizeof d);
  d.info.err = set_up(&d.escape, &d.result);
  read_size(&d, bytes, count);
  jpeg_destroy_decompress(&d.info);
  return d.result;
}

/// Adobe stores ink inverted: 255 is no ink.
static void spread_inks(const uint8_t *inks, uint8_t *pixels, size_t width) {
  for (size_t x = 0; x < width; x++) {
    int key = inks[x * 4 + 3];
    for (int channel = 0; channel < 3; channel++) {
      pixels[x * 3 + channel] = (uint8_t)(key - ((255 - inks[x * 4 + channel]) * key >> 8));
    }
  }
}

/// Whether a file that ended early has said all of its pixels: in one scan libjpeg complains of each that is missing;
/// of a progressive file it knows the bits that no scan has brought.
static bool is_whole(j_decompress_ptr info) {
  if (!jpeg_has_multiple_scans(info)) return true;
  if (info->coef_bits == NULL) return false;
  for (int component = 0; component < info->num_components; component++) {
    for (int coefficient = 0; coefficient < DCTSIZE2; coefficient++) {
      if (info->coef_bits[component][coefficient] != 0) return false;
    }
  }
  return true;
}

static void decode(decoding *d, const uint8_t *bytes, size_t count, int reduction, uint8_t *pixels, size_t capacity) {
  if (setjmp(d->escape.place) != 0) {
    d->result.is_damaged = d->result.is_done; // The error came behind the last pixel.
    return;
  }
  j_decompress_ptr info = &d->info;
  read_header(d, bytes, count);
  d->progress.progress_monitor = count_scans;
  info->progress = &d->progress;
  bool has_inks = info->num_components == 4;
  info->out_color_space = has_inks ? JCS_CMYK : JCS_RGB;
  info->scale_num = 1;
  info->scale_denom = (unsigned)reduction;
  jpeg_start_decompress(info);
  size_t row_bytes = (size_t)info->output_width * 3;
  if (capacity != row_bytes * info->output_height) ERREXIT(info, JERR_BUFFER_SIZE);
  JSAMPARRAY inks = NULL;
  if (has_inks) inks = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, info->output_width * 4, 1);
  while (info->output_scanline < info->output_height) {
    JSAMPROW row = pixels + row_bytes * info->output_scanline;
    jpeg_read_scanlines(info, has_inks ? inks : &row, 1);
    if (has_inks) spread_inks(inks[0], row, info->output_width);
  }
  d->result.is_done = true;
  bool is_all = is_whole(info);
  jpeg_finish_decompress(info);
  if (d->escape.ends_early && !is_all && !d->result.is_damaged) {
    d->result.is_damaged = true;
    snprintf(d->result.message, sizeof d->result.message, "Premature end of JPEG file");
  }
}

cjpeg_result cjpeg_decode(const uint8_t *bytes, size_t count, int reduction, uint8_t *pixels, size_t capacity) {
  decoding d;
  memset(&d, 0, sizeof d);
  d.info.err = set_up(&d.escape, &d.result);
  decode(&d, bytes, count, reduction, pixels, capacity);
  jpeg_destroy_decompress(&d.info);
  return d.result;
}

/// A destination of fixed size.
static void begin_output(j_compress_ptr info) { (void)info; }
static boolean overflow(j_compress_ptr info) { ERREXIT(info, JERR_BUFFER_SIZE); return FALSE; }
static void end_output(j_compress_ptr info) { (void)info; }

typedef struct encoding {
  struct jpeg_compress_struct info;
  struct jpeg_destination_mgr destination;
  escape escape;
  cjpeg_result result;
} encoding;

static void encode(encoding *e, const uint8_t *pixels, int quality) {
  if (setjmp(e->escape.place) != 0) return;
  j_compress_ptr info = &e->info;
  jpeg_create_compress(info);
  info->dest = &e->destination;
  info->image_width = e->result.width;
  info->image_height = e->result.height;
  info->input_components = 3;
  info->in_color_space = JCS_RGB;
  jpeg_set_defaults(info); // Chroma is halved both ways, and the transform is the accurate one.
  jpeg_set_quality(info, quality, TRUE);
  jpeg_start_compress(info, TRUE);
  while (info->next_scanline < info->image_height) {
    JSAMPROW row = (JSAMPROW)pixels + (size_t)info->image_width * 3 * info->next_scanline;
    jpeg_write_scanlines(info, &row, 1);
  }
  jpeg_finish_compress(info);
  e->result.is_done = true;
}

cjpeg_result cjpeg_encode(
  const uint8_t *pixels, uint32_t width, uint32_t height, int quality, uint8_t *bytes, size_t capacity, size_t *size
) {
  encoding e;
  memset(&e, 0, sizeof e);
  e.result.width = width;
  e.result.height = height;
  e.info.err = set_up(&e.escape, &e.result);
  e.destination = (struct jpeg_destination_mgr){bytes, capacity, begin_output, overflow, end_output};
  encode(&e, pixels, quality);
  *size = capacity - e.destination.free_in_buffer;
  jpeg_destroy_compress(&e.info);
  return e.result;
}
