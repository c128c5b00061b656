/*
 * iotdec.h: what a program may ask the runtime of wrapped aarch64 libraries (libiotdec.so).
 *
 * A program that only calls wrapped libraries needs none of this. It is for programs that want to know why a call
 * failed, to bound how long one may take, or to keep data where the library can reach it without copies.
 *
 * Every function may be called from any thread, but not from a signal handler.
 */
#ifndef IOTDEC_H
#define IOTDEC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why a call failed. */
enum iotdec_error_kind {
    IOTDEC_NO_ERROR = 0,
    IOTDEC_NOT_STARTED = 1, /* no worker: emulator, sysroot, library or generated part missing or unfit */
    IOTDEC_CRASHED = 2,     /* a signal ended the worker; all calls in it failed */
    IOTDEC_EXITED = 3,      /* the library ended its process */
    IOTDEC_TIMED_OUT = 4,   /* no answer within the time-out; the worker was killed */
    IOTDEC_MISBEHAVED = 5,  /* the worker wrote what no correct worker writes, and was killed */
    IOTDEC_BAD_POINTER = 6, /* a pointer to memory that the two sides do not share */
    IOTDEC_STALE = 7,       /* a handle, pointer or function of a worker that is no more */
    IOTDEC_TOO_DEEP = 8,    /* more calls within callbacks within calls than are served */
    IOTDEC_NO_MEMORY = 9,   /* no shared memory, lane or place for a function pointer is left */
    IOTDEC_FORKED = 10,     /* called in the child of a fork; it must exec first */
    IOTDEC_BAD_DESCRIPTOR = 11 /* a file descriptor that cannot cross: none that is open, or too many are */
};

/* The last failure of a thread's calls. Texts are terminated, cut if need be, and empty if unknown. */
struct iotdec_error {
    int32_t kind;        /* enum iotdec_error_kind */
    int32_t signal;      /* that ended the worker, or 0 */
    int32_t status;      /* the worker's exit status, or 0 */
    int32_t reserved;
    uint64_t pc;         /* guest address of the instruction that crashed, or 0 */
    uint64_t address;    /* that it accessed, or the pointer that was refused, or 0 */
    uint64_t generation; /* of the worker in which it happened: 1 for the first, 0 if none was started */
    char library[128];   /* that crashed, as the guest's dynamic linker names it, without directories */
    char symbol[128];    /* the nearest exported one before pc */
    char text[512];      /* the cause and, where there is one, the remedy, in a sentence */
};

/* Fills in the calling thread's last failure, and returns its kind. It stays until the next one. */
int iotdec_last_error(struct iotdec_error *error);
/* Forgets it. */
void iotdec_clear_error(void);

/*
 * Runs on the thread whose call failed, before the call returns its on_crash value; of several threads that were in a
 * worker when it ended, each gets its own. It may longjmp, abort, or return. NULL removes it. Returns the former one.
 */
typedef void (*iotdec_crash_handler)(const struct iotdec_error *error, void *data);
iotdec_crash_handler iotdec_set_crash_handler(iotdec_crash_handler handler, void *data);

/*
 * How long any later call may take until its worker is killed, in milliseconds; 0, as at first, for ever. Time spent
 * in callbacks does not count. The environment variable IOTDEC_CALL_TIMEOUT sets the initial value.
 */
void iotdec_set_call_timeout(uint32_t milliseconds);

/*
 * Memory that wrapped libraries read and write at the same address: pointers into it cross as they are, whole lists
 * and structs of pointers with them. As malloc and its relatives. A worker's end leaves it alone; a library may
 * damage its contents, never its bookkeeping.
 */
void *iotdec_malloc(size_t size);
void *iotdec_calloc(size_t count, size_t size);
void *iotdec_realloc(void *memory, size_t size);
void *iotdec_memalign(size_t alignment, size_t size);
void iotdec_free(void *memory);
size_t iotdec_usable_size(const void *memory);

/* Whether all `size` bytes at `memory` can be accessed by both the program and the worker that runs now. */
int iotdec_is_shared(const void *memory, size_t size);

#ifdef __cplusplus
}
#endif
#endif
