// Intercepts calls of the C library (LD_PRELOAD) and makes chosen ones fail.
//
//   FAULT_ROOT    counting starts at the first call that names a path under this one
//   FAULT_AT      the number of the call to hit, from 1; 0: none
//   FAULT_HOW     errno:<n>      the call does nothing and fails with this error number
//                 short          a read or a write transfers half of the bytes, at least 1
//                 cut:<flag>     the file system of FAULT_ROOT is shut down before the call
//                 plain          an exchange of two names is a rename, and reports success
//   FAULT_STICKY  1: every later call of the same function is hit, too
//   FAULT_CALL    the calls to hit instead: a function, or with a flag `renameat2:EXCHANGE`,
//                 `renameat2:NOREPLACE`, `openat:O_TMPFILE`
//   FAULT_FROM    the first of these calls that is hit; 1: those before the counting starts, too
//   FAULT_LOG     the file to which each call and its result are written, one line each
//
//   FAULT_AHEAD   the number of seconds by which the clocks are ahead from the start
//
// A sleep returns immediately and advances the clocks instead, so that timeouts take no time.

#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FS_IOC_SHUTDOWN 0x8004587d

enum how { NOTHING, ERRNO, SHORT, CUT, PLAIN };

static const char *root;
static long at;
static enum how how;
static long number;
static int sticky;
static const char *chosen;
static long from;
static int log_fd = -1;

static atomic_int armed;
static atomic_long calls;
static atomic_long chosen_calls;
static _Atomic(const char *) hit_call;
static atomic_long slept_ns;

__attribute__((constructor)) static void read_settings(void)
{
	const char *text;

	root = getenv("FAULT_ROOT");
	at = (text = getenv("FAULT_AT")) ? atol(text) : 0;
	sticky = (text = getenv("FAULT_STICKY")) && *text == '1';
	text = getenv("FAULT_HOW");
	if (text && !strncmp(text, "errno:", 6)) {
		how = ERRNO;
		number = atol(text + 6);
	} else if (text && !strcmp(text, "short")) {
		how = SHORT;
	} else if (text && !strcmp(text, "plain")) {
		how = PLAIN;
	} else if (text && !strncmp(text, "cut:", 4)) {
		how = CUT;
		number = atol(text + 4);
	}
	chosen = getenv("FAULT_CALL");
	from = (text = getenv("FAULT_FROM")) ? atol(text) : 1;
	text = getenv("FAULT_AHEAD");
	slept_ns = text ? atol(text) * 1000000000L : 0;
	text = getenv("FAULT_LOG");
	if (text)
		log_fd = syscall(SYS_openat, AT_FDCWD, text,
				 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

// One intercepted call.
struct call {
	const char *name;
	long nth;
	int hit;
	int fd;
	const char *path;
};

static void cut_the_power(void)
{
	int fd = syscall(SYS_openat, AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
	unsigned flag = number;

	if (fd < 0 || syscall(SYS_ioctl, fd, FS_IOC_SHUTDOWN, &flag))
		_exit(99);
	syscall(SYS_close, fd);
}

// Returns whether these are the calls of FAULT_CALL.
static int is_chosen(const char *name, const char *flag)
{
	size_t length = strlen(name);

	if (!chosen || strncmp(chosen, name, length))
		return 0;
	return !chosen[length] ||
	       (chosen[length] == ':' && flag && !strcmp(chosen + length + 1, flag));
}

static struct call intercept_flagged(const char *name, const char *flag, const char *path, int fd)
{
	struct call call = { name, 0, 0, fd, path };
	const char *first;

	if (!root)
		return call;
	// Missing from the start: the standard library remembers what it finds then.
	if (from <= 1 && is_chosen(name, flag))
		call.hit = 1;
	if (!armed) {
		if (!path || strncmp(path, root, strlen(root)))
			return call;
		armed = 1;
	}
	call.nth = ++calls;
	first = hit_call;
	if (call.nth == at) {
		hit_call = name;
		call.hit = 1;
	} else if (sticky && how != CUT && first && !strcmp(first, name)) {
		call.hit = 1;
	}
	if (from > 1 && is_chosen(name, flag) && ++chosen_calls >= from)
		call.hit = 1;
	if (call.hit && how == CUT)
		cut_the_power();
	return call;
}

static struct call intercept(const char *name, const char *path, int fd)
{
	return intercept_flagged(name, NULL, path, fd);
}

static int fails(const struct call *call)
{
	if (!call->hit || how != ERRNO)
		return 0;
	errno = number;
	return 1;
}

static size_t shortened(const struct call *call, size_t length)
{
	if (!call->hit || how != SHORT || length < 2)
		return length;
	return length / 2;
}

static void log_call(const struct call *call, long result)
{
	int error = errno;
	char link[64], name[4096] = "", line[8192];
	const char *path = call->path;
	ssize_t length;

	if (!call->nth || log_fd < 0)
		return;
	if (!path && call->fd >= 0) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", call->fd);
		length = syscall(SYS_readlinkat, AT_FDCWD, link, name, sizeof name - 1);
		name[length > 0 ? length : 0] = 0;
		path = name;
	}
	length = snprintf(line, sizeof line, "%ld\t%s\t%s\t%ld\t%d\t%d\n", call->nth,
			  call->name, path ? path : "", result, result < 0 ? error : 0,
			  call->hit);
	syscall(SYS_write, log_fd, line, length);
	errno = error;
}

// The path of a statx of an open file is empty or NULL. A separate function, because the C library
// declares the path as nonnull and the compiler would remove the check.
__attribute__((noipa)) static const char *named(const char *path)
{
	return path && *path ? path : NULL;
}

// The path of a name in an open folder. The sweep changes names only there.
__attribute__((noipa)) static const char *named_in(int folder, const char *name)
{
	static __thread char path[4096 + 256];
	char link[64];
	ssize_t length;

	if (!name || *name == '/' || folder < 0)
		return name;
	snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
	length = syscall(SYS_readlinkat, AT_FDCWD, link, path, 4096);
	if (length < 0)
		return name;
	snprintf(path + length, sizeof path - length, "/%s", name);
	return path;
}

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) \
		real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define FAULTY(name, parameters, arguments, path, fd) \
	int name parameters \
	{ \
		REAL(name); \
		struct call call = intercept(#name, path, fd); \
		int result = fails(&call) ? -1 : real arguments; \
		log_call(&call, result); \
		return result; \
	}

FAULTY(fdatasync, (int fd), (fd), NULL, fd)
FAULTY(fsync, (int fd), (fd), NULL, fd)
FAULTY(flock, (int fd, int operation), (fd, operation), NULL, fd)
FAULTY(fchown, (int fd, uid_t user, gid_t group), (fd, user, group), NULL, fd)
FAULTY(ftruncate64, (int fd, off64_t length), (fd, length), NULL, fd)
FAULTY(fstat64, (int fd, struct stat64 *stat), (fd, stat), NULL, fd)
FAULTY(lstat64, (const char *path, struct stat64 *stat), (path, stat), path, -1)
FAULTY(stat64, (const char *path, struct stat64 *stat), (path, stat), path, -1)
FAULTY(statx, (int fd, const char *path, int flags, unsigned mask, struct statx *stat),
       (fd, path, flags, mask, stat), named(path), fd)
FAULTY(linkat, (int from, const char *a, int to, const char *b, int flags),
       (from, a, to, b, flags), named_in(to, b), -1)
FAULTY(rename, (const char *a, const char *b), (a, b), b, -1)
FAULTY(renameat, (int from, const char *a, int to, const char *b), (from, a, to, b),
       named_in(to, b), -1)
FAULTY(unlink, (const char *path), (path), path, -1)
FAULTY(unlinkat, (int folder, const char *path, int flags), (folder, path, flags),
       named_in(folder, path), -1)
FAULTY(fchmod, (int fd, mode_t mode), (fd, mode), NULL, fd)
FAULTY(mkdir, (const char *path, mode_t mode), (path, mode), path, -1)
FAULTY(kill, (pid_t pid, int signal), (pid, signal), NULL, -1)
FAULTY(sync_file_range, (int fd, off64_t offset, off64_t length, unsigned flags),
       (fd, offset, length, flags), NULL, fd)

#define FAULTY_TRANSFER(name, buffer) \
	ssize_t name(int fd, buffer bytes, size_t length, off64_t offset) \
	{ \
		REAL(name); \
		struct call call = intercept(#name, NULL, fd); \
		ssize_t result = fails(&call) \
			? -1 \
			: real(fd, bytes, shortened(&call, length), offset); \
		log_call(&call, result); \
		return result; \
	}

FAULTY_TRANSFER(pread64, void *)
FAULTY_TRANSFER(pwrite64, const void *)

ssize_t read(int fd, void *bytes, size_t length)
{
	REAL(read);
	struct call call = intercept("read", NULL, fd);
	ssize_t result = fails(&call) ? -1 : real(fd, bytes, shortened(&call, length));
	log_call(&call, result);
	return result;
}

int renameat2(int from, const char *a, int to, const char *b, unsigned flags)
{
	REAL(renameat2);
	const char *flag = flags & RENAME_EXCHANGE ? "EXCHANGE"
			   : flags & RENAME_NOREPLACE ? "NOREPLACE"
			   : NULL;
	struct call call = intercept_flagged("renameat2", flag, named_in(to, b), -1);
	int result;

	if (call.hit && how == PLAIN)
		flags = 0;
	result = fails(&call) ? -1 : real(from, a, to, b, flags);
	log_call(&call, result);
	return result;
}

// The library has two names for it, with the same meaning on 64-bit machines.
#define FAULTY_OPENAT(name) \
	int name(int folder, const char *path, int flags, ...) \
	{ \
		REAL(name); \
		va_list more; \
		va_start(more, flags); \
		mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
		va_end(more); \
		const char *flag = flags & __O_TMPFILE ? "O_TMPFILE" : NULL; \
		struct call call = \
			intercept_flagged("openat", flag, named_in(folder, path), -1); \
		int result = fails(&call) ? -1 : real(folder, path, flags, mode); \
		log_call(&call, result); \
		return result; \
	}

FAULTY_OPENAT(openat)
FAULTY_OPENAT(openat64)

// The library has no function for openat2.
long syscall(long number, ...)
{
	REAL(syscall);
	va_list more;
	va_start(more, number);
	long a = va_arg(more, long), b = va_arg(more, long), c = va_arg(more, long);
	long d = va_arg(more, long), e = va_arg(more, long), f = va_arg(more, long);
	va_end(more);
	if (number != SYS_openat2)
		return real(number, a, b, c, d, e, f);
	struct call call = intercept("openat2", (const char *)b, -1);
	long result = fails(&call) ? -1 : real(number, a, b, c, d, e, f);
	log_call(&call, result);
	return result;
}

ssize_t flistxattr(int fd, char *names, size_t length)
{
	REAL(flistxattr);
	struct call call = intercept("flistxattr", NULL, fd);
	ssize_t result = fails(&call) ? -1 : real(fd, names, length);
	log_call(&call, result);
	return result;
}

ssize_t readlink(const char *path, char *bytes, size_t length)
{
	REAL(readlink);
	struct call call = intercept("readlink", path, -1);
	ssize_t result = fails(&call) ? -1 : real(path, bytes, length);
	log_call(&call, result);
	return result;
}

int open64(const char *path, int flags, ...)
{
	REAL(open64);
	va_list more;
	va_start(more, flags);
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
	va_end(more);
	struct call call = intercept("open64", path, -1);
	int result = fails(&call) ? -1 : real(path, flags, mode);
	log_call(&call, result);
	return result;
}

int fcntl(int fd, int command, ...)
{
	REAL(fcntl);
	va_list more;
	va_start(more, command);
	long argument = va_arg(more, long);
	va_end(more);
	// Debug builds check with it whether a descriptor is open before they close it.
	if (command == F_GETFD)
		return real(fd, command);
	struct call call = intercept("fcntl", NULL, fd);
	int result = fails(&call) ? -1 : real(fd, command, argument);
	log_call(&call, result);
	return result;
}

char *realpath(const char *path, char *resolved)
{
	REAL(realpath);
	struct call call = intercept("realpath", path, -1);
	char *result = fails(&call) ? NULL : real(path, resolved);
	log_call(&call, result ? 0 : -1);
	return result;
}

DIR *opendir(const char *path)
{
	REAL(opendir);
	struct call call = intercept("opendir", path, -1);
	DIR *result = fails(&call) ? NULL : real(path);
	log_call(&call, result ? 0 : -1);
	return result;
}

struct dirent64 *readdir64(DIR *folder)
{
	REAL(readdir64);
	struct call call = intercept("readdir64", NULL, dirfd(folder));
	struct dirent64 *result = fails(&call) ? NULL : real(folder);
	log_call(&call, result || !errno ? 0 : -1);
	return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
		   void *argument)
{
	REAL(pthread_create);
	struct call call = intercept("pthread_create", NULL, -1);
	int result = fails(&call) ? number : real(thread, attributes, work, argument);
	log_call(&call, result ? -1 : 0);
	return result;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	REAL(clock_gettime);
	int result = real(clock, time);
	long ns;

	if (!result && slept_ns) {
		ns = time->tv_nsec + slept_ns % 1000000000;
		time->tv_sec += slept_ns / 1000000000 + ns / 1000000000;
		time->tv_nsec = ns % 1000000000;
	}
	return result;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
		    struct timespec *left)
{
	(void)clock, (void)flags, (void)left;
	slept_ns += time->tv_sec * 1000000000L + time->tv_nsec;
	// Lets other threads run, for which this one may be waiting.
	syscall(SYS_sched_yield);
	return 0;
}
