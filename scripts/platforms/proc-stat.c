// Preloaded into Node.js under qemu. qemu emulates /proc/<pid>/stat of its own process, with another
// start time for each thread, so that a process would take its own lock files for those of a dead
// process. This library opens the kernel's file, under a path that qemu does not recognise.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_real(int folder, const char *path, int flags, unsigned mode) {
  char real[64];
  size_t length = strlen(path);
  if (length < sizeof real - 2 && !strncmp(path, "/proc/", 6) && !strcmp(path + length - 5, "/stat")) {
    snprintf(real, sizeof real, "/proc/./%s", path + 6);
    path = real;
  }
  return syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(last) \
  unsigned mode = 0; \
  if (flags & (O_CREAT | __O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, last); \
    mode = va_arg(rest, unsigned); \
    va_end(rest); \
  }

#ifndef __O_TMPFILE
#define __O_TMPFILE 020000000
#endif

int open(const char *path, int flags, ...) {
  MODE(flags)
  return open_real(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE(flags)
  return open_real(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return open_real(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return open_real(folder, path, flags, mode);
}
