#pragma once
#include <sys/select.h>  // Before libevent asks for GNU extensions, which would change how its types look to other modules.
#include <event2/event.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

/// Names the calling thread in `top` and debuggers. `prctl` is variadic, which Swift does not import.
static inline void thread_set_name(const char *name) { prctl(PR_SET_NAME, name); }

// Additions of glibc 2.34 and 2.29 to <spawn.h>, hidden from Swift's view of it.
#include <spawn.h>
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path);

static inline int spawn_close_other_descriptors(posix_spawn_file_actions_t *actions) {
  return posix_spawn_file_actions_addclosefrom_np(actions, 3);
}
static inline int spawn_change_folder(posix_spawn_file_actions_t *actions, const char *folder) {
  return posix_spawn_file_actions_addchdir_np(actions, folder);
}

#include <malloc.h>

/// Frames of a quarter of a megabyte come and go: their memory is kept for the next one, instead of being given back to
/// the system and taken from it page by page each time.
static inline void memory_keep_frames(void) {
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/// Bounds the private writable memory of a running process. (`prlimit` is hidden from Swift's view as well.)
static inline int process_limit_data(pid_t process, unsigned long long byte_count) {
  unsigned long long limit[2] = {byte_count, byte_count};
  return (int)syscall(SYS_prlimit64, process, RLIMIT_DATA, limit, NULL);
}

/// A pipe whose ends close themselves when another program is started.
extern int pipe2(int ends[2], int flags);
static inline int make_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }
