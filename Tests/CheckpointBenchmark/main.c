// How small, and how fast, two successive checkpoints become: `checkpoint-benchmark PREVIOUS CURRENT`.
//
// CURRENT is cut into chunks of 256 KiB as transfers are, each compressed by itself: as it is; with the bytes of its
// 32-bit numbers transposed (all first bytes, then all second bytes, and so on); and each with the same place of PREVIOUS
// as zstd's prefix. Every chunk is unpacked again and compared. Prints a table in Markdown.

#define ZSTD_STATIC_LINKING_ONLY
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

enum { CHUNK = 256 << 10 };

typedef struct {
  unsigned char *bytes;
  size_t count;
} File;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "checkpoint-benchmark: %s: %s\n", what, why);
  exit(1);
}

static File read_file(const char *path) {
  FILE *stream = fopen(path, "rb");
  if (!stream || fseek(stream, 0, SEEK_END)) fail(path, "cannot be read");
  File file = {NULL, (size_t)ftell(stream)};
  rewind(stream);
  file.bytes = malloc(file.count);
  if (!file.bytes || fread(file.bytes, 1, file.count, stream) != file.count) fail(path, "cannot be read");
  fclose(stream);
  return file;
}

// Four planes; what does not fill a number follows as it is.
static void transpose(const unsigned char *from, unsigned char *to, size_t count) {
  size_t numbers = count / 4;
  for (size_t plane = 0; plane < 4; plane++)
    for (size_t i = 0; i < numbers; i++) to[plane * numbers + i] = from[4 * i + plane];
  memcpy(to + 4 * numbers, from + 4 * numbers, count - 4 * numbers);
}

static void restore(const unsigned char *from, unsigned char *to, size_t count) {
  size_t numbers = count / 4;
  for (size_t plane = 0; plane < 4; plane++)
    for (size_t i = 0; i < numbers; i++) to[4 * i + plane] = from[plane * numbers + i];
  memcpy(to + 4 * numbers, from + 4 * numbers, count - 4 * numbers);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static unsigned char here[CHUNK], before[CHUNK], unpacked[CHUNK], restored[CHUNK];

static size_t checked(size_t status, const char *call) {
  if (ZSTD_isError(status)) fail(call, ZSTD_getErrorName(status));
  return status;
}

static void measure(File previous, File current, int level, int is_shuffled, int has_prefix) {
  ZSTD_CCtx *packer = ZSTD_createCCtx();
  ZSTD_DCtx *unpacker = ZSTD_createDCtx();
  size_t bound = ZSTD_compressBound(CHUNK), packed_total = 0;
  unsigned char *packed = malloc(bound);
  if (!packer || !unpacker || !packed) fail("memory", "exhausted");
  checked(ZSTD_CCtx_setParameter(packer, ZSTD_c_compressionLevel, level), "level");
  checked(ZSTD_CCtx_setParameter(packer, ZSTD_c_checksumFlag, 1), "checksum");
  double packing = 0, unpacking = 0;
  for (size_t offset = 0; offset < current.count; offset += CHUNK) {
    size_t count = current.count - offset < CHUNK ? current.count - offset : CHUNK;
    size_t known = offset >= previous.count ? 0 : previous.count - offset < CHUNK ? previous.count - offset : CHUNK;
    double start = seconds();
    const unsigned char *piece = current.bytes + offset, *prefix = previous.bytes + offset;
    if (is_shuffled) {
      transpose(piece, here, count);
      piece = here;
      if (has_prefix) transpose(prefix, before, known), prefix = before;
    }
    if (has_prefix) checked(ZSTD_CCtx_refPrefix(packer, prefix, known), "ZSTD_CCtx_refPrefix");
    size_t size = checked(ZSTD_compress2(packer, packed, bound, piece, count), "ZSTD_compress2");
    packing += seconds() - start;
    packed_total += size < count ? size : count;

    start = seconds();
    if (has_prefix) checked(ZSTD_DCtx_refPrefix(unpacker, prefix, known), "ZSTD_DCtx_refPrefix");
    checked(ZSTD_decompressDCtx(unpacker, unpacked, CHUNK, packed, size), "ZSTD_decompressDCtx");
    if (is_shuffled) restore(unpacked, restored, count);
    unpacking += seconds() - start;
    if (memcmp(is_shuffled ? restored : unpacked, current.bytes + offset, count)) fail("a chunk", "came back different");
  }
  printf("| %d | %s | %.1f %% | %.0f | %.0f |\n", level,
         is_shuffled ? (has_prefix ? "transposed, prefix" : "transposed") : (has_prefix ? "prefix" : "plain"),
         100.0 * (double)packed_total / (double)current.count, (double)current.count / packing / 1e6,
         (double)current.count / unpacking / 1e6);
  free(packed);
  ZSTD_freeCCtx(packer);
  ZSTD_freeDCtx(unpacker);
}

int main(int count, char **arguments) {
  if (count != 3) fail("usage", "checkpoint-benchmark PREVIOUS CURRENT");
  File previous = read_file(arguments[1]), current = read_file(arguments[2]);
  printf("%zu bytes\n\n| level | bytes | size | packed MB/s | unpacked MB/s |\n| --- | --- | --- | --- | --- |\n",
         current.count);
  for (int level = 1; level <= 3; level += 2)
    for (int way = 0; way < 4; way++) measure(previous, current, level, way & 1, way >> 1);
  free(previous.bytes);
  free(current.bytes);
  return 0;
}
