// kill-at-write N PREFIX PROGRAM [ARGUMENT…]
//
// Runs a program and kills it (SIGKILL) just before its N-th write to files whose path begins with PREFIX, whichever of
// its threads writes. Writes are what changes a file or makes it durable: write, pwrite, ftruncate, fsync, fdatasync.
// strace can do so too, but counts each thread and each call by itself. Linux 5.3 or newer.
//
// Ends as the program did; with 137 if it was killed. At its end, prints on standard error how many writes there were.

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
// After <sys/ptrace.h>, with which it shares names; needed for ptrace_syscall_info in older C libraries.
#include <linux/ptrace.h>

static void fail(const char *what) {
  fprintf(stderr, "kill-at-write: %s: %s\n", what, strerror(errno));
  exit(2);
}

static bool changes_a_file(uint64_t call) {
  switch (call) {
  case SYS_write: case SYS_writev: case SYS_pwrite64: case SYS_pwritev: case SYS_ftruncate: case SYS_fsync:
  case SYS_fdatasync: return true;
  default: return false;
  }
}

// Whether the thread's descriptor is a file that concerns us.
static bool is_watched(pid_t thread, uint64_t descriptor, const char *prefix) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/%d/fd/%d", thread, (int)descriptor);
  ssize_t count = readlink(link, path, sizeof path - 1);
  if (count < 0) return false;
  path[count] = 0;
  return strncmp(path, prefix, strlen(prefix)) == 0;
}

// Whether the thread, stopped at a system call, is about to write.
static bool is_about_to_write(pid_t thread, const char *prefix) {
  struct ptrace_syscall_info info;
  if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) < 0) return false;
  return info.op == PTRACE_SYSCALL_INFO_ENTRY && changes_a_file(info.entry.nr)
    && is_watched(thread, info.entry.args[0], prefix);
}

static pid_t start(char **program) {
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    raise(SIGSTOP);
    execvp(program[0], program);
    fail(program[0]);
  }
  if (waitpid(child, NULL, WUNTRACED) < 0) fail("waitpid");
  long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, child, 0, options) < 0) fail("ptrace");
  kill(child, SIGCONT);
  return child;
}

// Signals meant for us are meant for the program.
static volatile pid_t traced;
static void pass_on(int signal) { kill(traced, signal); }

int main(int count, char **arguments) {
  if (count < 4) {
    fputs("usage: kill-at-write N PREFIX PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  long last = strtol(arguments[1], NULL, 10), writes = 0;
  const char *prefix = arguments[2];
  pid_t child = traced = start(arguments + 3);
  signal(SIGTERM, pass_on);
  signal(SIGINT, pass_on);
  while (true) {
    int status;
    pid_t thread = waitpid(-1, &status, __WALL);
    if (thread < 0) {
      if (errno == EINTR) continue;
      fail("waitpid");
    }
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (thread != child) continue;
      fprintf(stderr, "kill-at-write: %ld writes\n", writes);
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    int event = status >> 16, stop = WSTOPSIG(status), deliver = 0;
    if (stop == (SIGTRAP | 0x80)) {
      if (is_about_to_write(thread, prefix) && ++writes == last) kill(child, SIGKILL);
    } else if (event == 0) {
      deliver = stop;
    }
    // A thread that is gone by now needs no leave to go on.
    ptrace(PTRACE_SYSCALL, thread, 0, deliver);
  }
}
