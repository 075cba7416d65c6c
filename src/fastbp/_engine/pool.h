/* The pool: threads that share the parts of a pass, and sleep between passes.

   One job at a time: a pass that finds the pool busy runs on its own thread alone, with the same bits.  Threads that
   wait for the next phase spin, since it comes within microseconds and to wake a thread costs some fifty of them: for
   PATIENCE while the pool is at work, for SPIN_SECONDS after that; then they sleep.  The system may wake a worker on
   the processor where its caller is busy: the worker then moves to another.
   Rejected: OpenMP, whose workers do not survive a fork, and spin longer.  What differs between systems comes first:
   locks, clocks, processors, threads. */
#ifndef FASTBP_POOL_H
#define FASTBP_POOL_H

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu */
#endif

typedef void pool_task(void *job, int part, int of);

enum { POOL_MOST = 64 };

#if defined(__GNUC__)
#include <stdint.h>
#if defined(_WIN32)
#include <windows.h>

typedef SRWLOCK pool_mutex;
typedef CONDITION_VARIABLE pool_condition;
#define POOL_MUTEX SRWLOCK_INIT
#define POOL_CONDITION CONDITION_VARIABLE_INIT
#define pool_lock(mutex) AcquireSRWLockExclusive(mutex)
#define pool_unlock(mutex) ReleaseSRWLockExclusive(mutex)
#define pool_wait(condition, mutex) SleepConditionVariableSRW(condition, mutex, INFINITE, 0)
#define pool_wake_one(condition) WakeConditionVariable(condition)
#define pool_wake_all(condition) WakeAllConditionVariable(condition)
#define pool_yield() SwitchToThread()
#define pool_cpu() ((int)GetCurrentProcessorNumber())

static double pool_seconds(void)
{
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceFrequency(&per_second);
    QueryPerformanceCounter(&ticks);
    return (double)ticks.QuadPart / (double)per_second.QuadPart;
}

/* Moves the calling thread off a processor, to any other that the process may use. */
static void pool_leave_cpu(int cpu)
{
    DWORD_PTR others, all;
    if (cpu != pool_cpu() || cpu > 63 || !GetProcessAffinityMask(GetCurrentProcess(), &others, &all))
        return;
    others &= ~((DWORD_PTR)1 << cpu);
    if (others)
        SetThreadAffinityMask(GetCurrentThread(), others);
}

#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

typedef pthread_mutex_t pool_mutex;
typedef pthread_cond_t pool_condition;
#define POOL_MUTEX PTHREAD_MUTEX_INITIALIZER
#define POOL_CONDITION PTHREAD_COND_INITIALIZER
#define pool_lock(mutex) pthread_mutex_lock(mutex)
#define pool_unlock(mutex) pthread_mutex_unlock(mutex)
#define pool_wait(condition, mutex) pthread_cond_wait(condition, mutex)
#define pool_wake_one(condition) pthread_cond_signal(condition)
#define pool_wake_all(condition) pthread_cond_broadcast(condition)
#define pool_yield() sched_yield()

static double pool_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#if defined(__linux__)
#define pool_cpu() sched_getcpu()

static void pool_leave_cpu(int cpu)
{
    cpu_set_t others;
    if (cpu != pool_cpu() || sched_getaffinity(getpid(), sizeof others, &others) || CPU_COUNT(&others) < 2)
        return;
    CPU_CLR(cpu, &others);
    sched_setaffinity(0, sizeof others, &others);
}
#else
#define pool_cpu() (-1)
#define pool_leave_cpu(cpu) ((void)(cpu))
#endif
#endif

#define SPIN_SECONDS 40e-6
#define PATIENCE 1e-3
#define LOAD(variable) __atomic_load_n(&(variable), __ATOMIC_SEQ_CST)
#define STORE(variable, value) __atomic_store_n(&(variable), value, __ATOMIC_SEQ_CST)
#define ADD(variable, value) __atomic_add_fetch(&(variable), value, __ATOMIC_SEQ_CST)

/* States of `taken`: free, at work, or held by a caller that works alone for the time being. */
enum { POOL_FREE, POOL_WORKS, POOL_RESTS };

static struct {
    int taken, workers, registered;
    int cpu; /* where the caller runs */
    /* The job's number times 256, plus the number of its parts: one word, so that no thread sees half of a new job. */
    uint64_t call;
    pool_task *task;
    void *job;
    int unfinished;
    int sleepers, caller_sleeps;
    pool_mutex lock;
    pool_condition called, finished;
} pool = {.lock = POOL_MUTEX, .called = POOL_CONDITION, .finished = POOL_CONDITION};

static void pool_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spins until a condition holds or the time is over; yields the processor from time to time. */
#define SPIN_UNTIL(condition)                                                                           \
    do {                                                                                                \
        for (int look = 0; look < 256 && !(condition); look++)                                          \
            pool_pause();                                                                               \
        if (!(condition)) {                                                                             \
            const double begin = pool_seconds();                                                        \
            double calm = begin, now = begin;                                                           \
            while (!(condition) && now < begin + PATIENCE && now < calm + SPIN_SECONDS) {               \
                for (int look = 0; look < 16 && !(condition); look++)                                   \
                    pool_pause();                                                                       \
                pool_yield();                                                                           \
                now = pool_seconds();                                                                   \
                if (LOAD(pool.taken) == POOL_WORKS)                                                     \
                    calm = now;                                                                         \
            }                                                                                           \
        }                                                                                               \
    } while (0)

static uint64_t pool_next_call(uint64_t seen)
{
    SPIN_UNTIL(LOAD(pool.call) != seen);
    if (LOAD(pool.call) == seen) {
        pool_lock(&pool.lock);
        ADD(pool.sleepers, 1);
        while (LOAD(pool.call) == seen)
            pool_wait(&pool.called, &pool.lock);
        ADD(pool.sleepers, -1);
        pool_unlock(&pool.lock);
    }
    return LOAD(pool.call);
}

#if defined(_WIN32)
static DWORD WINAPI pool_worker(void *number)
#else
static void *pool_worker(void *number)
#endif
{
    const int part = (int)(intptr_t)number;
    /* The first call that has a part for this worker comes after its start: none before has as many parts. */
    for (uint64_t seen = 0;;) {
        seen = pool_next_call(seen);
        const int of = (int)(seen & 255);
        if (part >= of)
            continue;
        pool_leave_cpu(LOAD(pool.cpu)); /* the caller's */
        pool.task(pool.job, part, of);
        if (ADD(pool.unfinished, -1) == 0 && LOAD(pool.caller_sleeps)) {
            pool_lock(&pool.lock);
            pool_wake_one(&pool.finished);
            pool_unlock(&pool.lock);
        }
    }
    return 0;
}

#if defined(_WIN32)
static void pool_hire(int workers)
{
    for (; pool.workers < workers; pool.workers++) {
        HANDLE thread = CreateThread(NULL, 0, pool_worker, (void *)(intptr_t)(pool.workers + 1), 0, NULL);
        if (thread == NULL)
            return;
        CloseHandle(thread);
    }
}
#else
/* Only the thread that forks lives on in the child. */
static void pool_forget(void)
{
    pool.taken = POOL_FREE;
    pool.workers = pool.unfinished = pool.sleepers = pool.caller_sleeps = 0;
    pool.call = 0;
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.called, NULL);
    pthread_cond_init(&pool.finished, NULL);
}

static void pool_hire(int workers)
{
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;
    if (!pool.registered)
        pool.registered = pthread_atfork(NULL, NULL, pool_forget) == 0;
    if (!pool.registered)
        return;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    /* Signals are for Python's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < workers
           && pthread_create(&thread, &detached, pool_worker, (void *)(intptr_t)(pool.workers + 1)) == 0)
        pool.workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&detached);
}
#endif

static int pool_take(void)
{
    int free = POOL_FREE;
    return __atomic_compare_exchange_n(&pool.taken, &free, POOL_WORKS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Acquires the pool for `wanted` threads, the caller's included; returns how many there are, 1: the caller's alone. */
static int pool_enter(int wanted)
{
    if (wanted > POOL_MOST)
        wanted = POOL_MOST;
    if (wanted < 2 || !pool_take())
        return 1;
    if (pool.workers < wanted - 1)
        pool_hire(wanted - 1);
    if (pool.workers == 0)
        STORE(pool.taken, POOL_FREE);
    return pool.workers < wanted - 1 ? pool.workers + 1 : wanted;
}

static void pool_leave(int threads)
{
    if (threads > 1)
        STORE(pool.taken, POOL_FREE);
}

/* Called after entering for several threads: whether the next passes do without the workers. */
static void pool_rest(int resting) { STORE(pool.taken, resting ? POOL_RESTS : POOL_WORKS); }

/* Runs all parts of a task, the first on the caller's thread, which has entered for at least `of` threads. */
static void pool_run(pool_task *task, void *job, int of)
{
    if (of > 1) {
        pool.task = task;
        pool.job = job;
        STORE(pool.cpu, pool_cpu());
        STORE(pool.unfinished, of - 1);
        STORE(pool.call, (pool.call & ~(uint64_t)255) + 256 + (uint64_t)of);
        if (LOAD(pool.sleepers)) {
            pool_lock(&pool.lock);
            pool_wake_all(&pool.called);
            pool_unlock(&pool.lock);
        }
    }
    task(job, 0, of);
    if (of == 1)
        return;
    SPIN_UNTIL(LOAD(pool.unfinished) == 0);
    if (LOAD(pool.unfinished)) {
        pool_lock(&pool.lock);
        STORE(pool.caller_sleeps, 1);
        while (LOAD(pool.unfinished))
            pool_wait(&pool.finished, &pool.lock);
        STORE(pool.caller_sleeps, 0);
        pool_unlock(&pool.lock);
    }
}

static int pool_size(void) { return pool.workers + 1; }

#else
static int pool_enter(int wanted) { (void)wanted; return 1; }
static void pool_leave(int threads) { (void)threads; }
static void pool_rest(int resting) { (void)resting; }
static void pool_run(pool_task *task, void *job, int of) { (void)of; task(job, 0, 1); }
static int pool_size(void) { return 1; }
#endif

#endif
