/* A clock that runs backwards: loaded before libc (LD_PRELOAD), for one command and all that it starts.

   The wall clock shows as many seconds before CLOCK_TURNED as have passed since then. Monotonic clocks are left alone,
   as they are by whoever sets a machine's clock. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static const long long NS = 1000000000;

static long long real_ns(void) {
  static int (*original)(clockid_t, struct timespec *);
  struct timespec now;
  if (!original) original = dlsym(RTLD_NEXT, "clock_gettime");
  original(CLOCK_REALTIME, &now);
  return now.tv_sec * NS + now.tv_nsec;
}

static long long backwards_ns(void) {
  const char *turned = getenv("CLOCK_TURNED"); /* seconds since 1970 */
  return turned ? 2 * atoll(turned) * NS - real_ns() : real_ns();
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*original)(clockid_t, struct timespec *);
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) {
    if (!original) original = dlsym(RTLD_NEXT, "clock_gettime");
    return original(clock, now);
  }
  long long ns = backwards_ns();
  now->tv_sec = ns / NS;
  now->tv_nsec = ns % NS;
  return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
  long long ns = backwards_ns();
  (void)zone;
  now->tv_sec = ns / NS;
  now->tv_usec = ns % NS / 1000;
  return 0;
}

time_t time(time_t *now) {
  time_t seconds = backwards_ns() / NS;
  if (now) *now = seconds;
  return seconds;
}

/* Whoever waits until a moment has read this clock before, but the kernel knows the real one only. */
int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
  static int (*original)(sem_t *, const struct timespec *);
  if (!original) original = dlsym(RTLD_NEXT, "sem_timedwait");
  long long ns = until->tv_sec * NS + until->tv_nsec - backwards_ns() + real_ns();
  struct timespec moment = {ns / NS, ns % NS};
  return original(semaphore, &moment);
}
