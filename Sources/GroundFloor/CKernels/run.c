#include "run.h"
#include <stdlib.h>
#include <time.h>

// libgomp's entry points; clang comes without <omp.h>.
void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_get_max_threads(void);
int omp_in_parallel(void);
void omp_set_num_threads(int);

void ck_set_thread_count(int count) { omp_set_num_threads(count > 0 ? count : 1); }

int ck_thread_count(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

typedef struct {
  void *context;
  void (*body)(void *, int);
  int parts;
} team;

static void team_member(void *data) {
  const team *t = data;
  // The pool may lend fewer threads than asked for; the parts stay the same.
  for (int part = omp_get_thread_num(); part < t->parts; part += omp_get_num_threads()) t->body(t->context, part);
}

void ck_parallel(int parts, void *context, void (*body)(void *, int)) {
  team t = {context, body, parts};
  if (parts > 1) {
    GOMP_parallel(team_member, &t, (unsigned)parts, 0);
  } else if (parts == 1) {
    body(context, 0);
  }
}

long ck_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000L + now.tv_nsec;
}

enum { smallest_part = 16384 };

int ck_part_count(long items, long work) {
  long by_work = items * work / smallest_part;
  long parts = ck_min(ck_min(ck_thread_count(), items), by_work);
  return (int)ck_max(parts, 1);
}

typedef struct {
  ck_body *body;
  const void *task;
  long items;
  int parts;
} job;

static void run_part(void *context, int part) {
  const job *j = context;
  j->body(j->task, ck_part_begin(j->items, j->parts, part), ck_part_begin(j->items, j->parts, part + 1), part);
}

void ck_run_parts(ck_body *body, const void *task, long items, int parts) {
  job j = {body, task, items, parts};
  ck_parallel(parts, &j, run_part);
}

void ck_run(ck_body *body, const void *task, long items, long work) {
  if (items > 0) ck_run_parts(body, task, items, ck_part_count(items, work));
}

void *ck_scratch(size_t bytes) {
  // Grown to the largest request and kept: threads that call kernels are few and live as long as the process.
  static _Thread_local void *memory;
  static _Thread_local size_t capacity;
  if (bytes > capacity) {
    free(memory);
    capacity = (bytes + bytes / 2 + 63) / 64 * 64;
    memory = aligned_alloc(64, capacity);
    if (!memory) abort();
  }
  return memory;
}
