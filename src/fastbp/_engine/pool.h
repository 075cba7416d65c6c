/* The pool: threads that share the parts of a pass, and sleep when there is none.

   One job at a time: who finds the pool taken works alone, which changes no bit.  Whoever waits looks out
   for the next phase, since it comes within microseconds and waking a sleeper costs some fifty of them:
   for PATIENCE while the pool is at work, for SPIN_SECONDS after that, and then sleeps.  The system may wake a worker
   on the processor of its caller, who is busy there: then the worker moves to another.
   Not OpenMP: its workers do not survive a fork, and spin longer. */
#ifndef FASTBP_POOL_H
#define FASTBP_POOL_H

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu */
#endif

typedef void pool_task(void *job, int part, int of);

enum { POOL_MOST = 64 };

#if defined(__GNUC__) && !defined(_WIN32)
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#define SPIN_SECONDS 40e-6
#define PATIENCE 1e-3
#define LOAD(variable) __atomic_load_n(&(variable), __ATOMIC_SEQ_CST)
#define STORE(variable, value) __atomic_store_n(&(variable), value, __ATOMIC_SEQ_CST)
#define ADD(variable, value) __atomic_add_fetch(&(variable), value, __ATOMIC_SEQ_CST)

/* What `taken` says: by nobody, at work, or kept by somebody who works alone for the time being. */
enum { POOL_FREE, POOL_WORKS, POOL_RESTS };

static struct {
    int taken, workers, registered;
    int cpu; /* where the caller runs */
    /* Number of the job times 256 plus its parts: one word, so that nobody sees half of a new job. */
    uint64_t call;
    pool_task *task;
    void *job;
    int unfinished;
    int sleepers, caller_sleeps;
    pthread_mutex_t lock;
    pthread_cond_t called, finished;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER,
          .finished = PTHREAD_COND_INITIALIZER};

static double pool_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void pool_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks at a condition until it holds or patience ends; lets others run from time to time. */
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
                sched_yield();                                                                          \
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
        pthread_mutex_lock(&pool.lock);
        ADD(pool.sleepers, 1);
        while (LOAD(pool.call) == seen)
            pthread_cond_wait(&pool.called, &pool.lock);
        ADD(pool.sleepers, -1);
        pthread_mutex_unlock(&pool.lock);
    }
    return LOAD(pool.call);
}

/* To any processor that the process may use but the caller's. */
static void pool_step_aside(void)
{
#if defined(__linux__)
    const int cpu = LOAD(pool.cpu);
    cpu_set_t others;
    if (cpu != sched_getcpu() || sched_getaffinity(getpid(), sizeof others, &others) || CPU_COUNT(&others) < 2)
        return;
    CPU_CLR(cpu, &others);
    sched_setaffinity(0, sizeof others, &others);
#endif
}

static int pool_cpu(void)
{
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

static void *pool_worker(void *number)
{
    const int part = (int)(intptr_t)number;
    /* The first call that concerns a worker comes after its start, and none before has so many parts. */
    for (uint64_t seen = 0;;) {
        seen = pool_next_call(seen);
        const int of = (int)(seen & 255);
        if (part >= of)
            continue;
        pool_step_aside();
        pool.task(pool.job, part, of);
        if (ADD(pool.unfinished, -1) == 0 && LOAD(pool.caller_sleeps)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_signal(&pool.finished);
            pthread_mutex_unlock(&pool.lock);
        }
    }
    return NULL;
}

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

static int pool_take(void)
{
    int free = POOL_FREE;
    return __atomic_compare_exchange_n(&pool.taken, &free, POOL_WORKS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Takes the pool for so many threads, the caller among them; how many there are, 1 for nobody else. */
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

/* Who has entered for several threads says whether the next passes want them. */
static void pool_rest(int resting) { STORE(pool.taken, resting ? POOL_RESTS : POOL_WORKS); }

/* All parts of a task, the first one by the caller, who has entered for at least so many threads. */
static void pool_run(pool_task *task, void *job, int of)
{
    if (of > 1) {
        pool.task = task;
        pool.job = job;
        STORE(pool.cpu, pool_cpu());
        STORE(pool.unfinished, of - 1);
        STORE(pool.call, (pool.call & ~(uint64_t)255) + 256 + (uint64_t)of);
        if (LOAD(pool.sleepers)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_broadcast(&pool.called);
            pthread_mutex_unlock(&pool.lock);
        }
    }
    task(job, 0, of);
    if (of == 1)
        return;
    SPIN_UNTIL(LOAD(pool.unfinished) == 0);
    if (LOAD(pool.unfinished)) {
        pthread_mutex_lock(&pool.lock);
        STORE(pool.caller_sleeps, 1);
        while (LOAD(pool.unfinished))
            pthread_cond_wait(&pool.finished, &pool.lock);
        STORE(pool.caller_sleeps, 0);
        pthread_mutex_unlock(&pool.lock);
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
