/* Preloaded: what POSIX lets system calls do that are not wrong. Whoever asks for errno of another call is to keep it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/types.h>

#define SPOILT 4242
/* Called before a checker is ready. */
#define UNCHECKED __attribute__((no_sanitize_thread))

/* All of them take numbers and pointers, and at most six. */
UNCHECKED long syscall(long number, ...)
{
    long (*real)(long, ...) = (long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    long result = real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    if (result >= 0)
        errno = SPOILT;
    return result;
}

UNCHECKED void *mmap(void *start, size_t size, int protection, int flags, int file, off_t offset)
{
    void *(*real)(void *, size_t, int, int, int, off_t) =
        (void *(*) (void *, size_t, int, int, int, off_t)) dlsym(RTLD_NEXT, "mmap");
    void *result = real(start, size, protection, flags, file, offset);
    if (result != (void *) -1)
        errno = SPOILT;
    return result;
}
UNCHECKED void *mmap64(void *start, size_t size, int protection, int flags, int file, off_t offset)
{
    return mmap(start, size, protection, flags, file, offset);
}
