/*
 * A clock that a test sets. Loaded before the C library, it shows each clock of a process, and ends each wait of it, as if as many
 * nanoseconds more had passed as stand in the file that CLOCK_AHEAD names. Beatwarden, SQLite in it and PostgreSQL read the time
 * through these functions, so all three see the same one.
 *
 * In the file that CLOCK_HEAP names the test asks how much memory the process has allocated: a number, its echo, the answer in bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define MILLISECOND 1000000LL

static const volatile int64_t *ahead;
static volatile int64_t *heap;
static int (*true_clock)(clockid_t, struct timespec *);
static int (*true_epoll)(int, struct epoll_event *, int, int);
static long (*true_call)(long, ...);

static void *mapped(const char *variable, size_t length, int is_written)
{
    const char *path = getenv(variable);
    int file = path ? open(path, (is_written ? O_RDWR : O_RDONLY) | O_CLOEXEC) : -1;
    if (file < 0)
        return NULL;
    void *place = mmap(NULL, length, is_written ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file, 0);
    close(file);
    return place == MAP_FAILED ? NULL : place;
}

__attribute__((constructor)) static void begin(void)
{
    if (true_clock)
        return;
    true_epoll = dlsym(RTLD_NEXT, "epoll_wait");
    true_call = dlsym(RTLD_NEXT, "syscall");
    ahead = mapped("CLOCK_AHEAD", sizeof *ahead, 0);
    heap = mapped("CLOCK_HEAP", 3 * sizeof *heap, 1);
    true_clock = dlsym(RTLD_NEXT, "clock_gettime");
}

/* The test asks seldom, and whichever thread reads the time next answers. */
static void account(void)
{
    if (!heap || heap[0] == heap[1])
        return;
    int64_t asked = heap[0];
    struct mallinfo2 all = mallinfo2();
    heap[2] = all.uordblks + all.hblkhd;
    heap[1] = asked;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    begin();
    int result = true_clock(clock, time);
    if (result || !ahead || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
        return result;
    account();
    int64_t nanoseconds = time->tv_nsec + *ahead;
    time->tv_sec += nanoseconds / SECOND;
    time->tv_nsec = nanoseconds % SECOND;
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place)
        *place = now.tv_sec;
    return now.tv_sec;
}

static int64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* How long a wait may last before it looks at the clock: the watch is waited for by the test, a server's processes are not. */
static int64_t slice(int64_t left)
{
    int64_t most = heap ? MILLISECOND : 50 * MILLISECOND;
    return left < most ? left : most;
}

int epoll_wait(int poll, struct epoll_event *events, int room, int timeout)
{
    begin();
    if (timeout <= 0 || !ahead)
        return true_epoll(poll, events, room, timeout);
    int64_t until = now(CLOCK_MONOTONIC) + timeout * MILLISECOND;
    for (;;) {
        int64_t left = until - now(CLOCK_MONOTONIC);
        int64_t wait = left > 0 ? (slice(left) + MILLISECOND - 1) / MILLISECOND : 0;
        int found = true_epoll(poll, events, room, wait);
        if (found || left <= 0)
            return found;
    }
}

/* A thread that is parked until a moment: the one system call with a timeout that is not made through a function of its own. */
static long parked(const long *word, clockid_t clock)
{
    const struct timespec *moment = (const struct timespec *)word[3];
    int64_t until = moment->tv_sec * SECOND + moment->tv_nsec;
    for (;;) {
        int64_t left = until - now(clock);
        struct timespec wait;
        true_clock(clock, &wait);
        int64_t end = wait.tv_nsec + (left > 0 ? slice(left) : 0);
        wait.tv_sec += end / SECOND;
        wait.tv_nsec = end % SECOND;
        long result = true_call(SYS_futex, word[0], word[1], word[2], &wait, word[4], word[5]);
        if (!(result == -1 && errno == ETIMEDOUT && left > 0))
            return result;
    }
}

long syscall(long number, ...)
{
    long word[6];
    va_list rest;
    begin();
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        word[i] = va_arg(rest, long);
    va_end(rest);
    if (ahead && number == SYS_futex && (word[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && word[3])
        return parked(word, word[1] & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC);
    return true_call(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}
