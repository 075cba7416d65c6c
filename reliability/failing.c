/* Loaded before the C library: the n-th allocation fails, once, of those that a caller asks for who lies in a file
   with FAILS_IN in its path. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static long left, seen;
static const char *part = "";

void fail_at(long n) 
{
    const char *given = getenv("FAILS_IN");
    part = given ? given : "fastbp/_engine";
    left = n;
    seen = 0;
}
long allocations(void) { return seen; }

static int fails(void *caller)
{
    Dl_info where;
    if (!left || !dladdr(caller, &where) || !where.dli_fname || !strstr(where.dli_fname, part))
        return 0;
    seen++;
    return left > 0 && --left == 0 ? (left = -1) : 0;
}

void *malloc(size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size); }
