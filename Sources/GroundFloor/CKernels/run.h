// How kernels are cut into parts, cloned for the processor's vector width, and given scratch memory.
#pragma once

#include "CKernels.h"
#include <stddef.h>

// The loader picks before the thread sanitizer has started, which instruments the picking too, and crashes.
#if defined(__x86_64__) && !__has_feature(thread_sanitizer)
/// One function per vector width; the loader picks one. (FMA comes with either of the first two.)
#define CK_CLONES __attribute__((target_clones("avx512f", "arch=x86-64-v3", "default")))
#else
#define CK_CLONES
#endif

#define CK_INLINE static inline __attribute__((always_inline))

/// Iterations touch memory of their own only (or the same place they read), so vectorise without overlap checks.
#define CK_SIMD _Pragma("clang loop vectorize(assume_safety)")

CK_INLINE long ck_min(long a, long b) { return a < b ? a : b; }
CK_INLINE long ck_max(long a, long b) { return a > b ? a : b; }

/// The work of items `begin ..< end`; `part` counts the parts from 0.
typedef void ck_body(const void *task, long begin, long end, int part);

/// The number of parts into which `items` of `work` floats each are cut: one per thread, fewer where a part would be so
/// small that waking a thread costs more than its work.
int ck_part_count(long items, long work);
/// First item of a part.
CK_INLINE long ck_part_begin(long items, int parts, int part) { return items * part / parts; }
/// Runs `body` on each of `parts` parts of `items`.
void ck_run_parts(ck_body *body, const void *task, long items, int parts);
/// Both of these in one.
void ck_run(ck_body *body, const void *task, long items, long work);

/// Memory of the calling thread for partial results and widened parameters, aligned to 64 bytes; valid until its next
/// call, contents undefined.
void *ck_scratch(size_t bytes);
