/*
 * iotdec_guest.h: what the guest part of a generated wrapper library exports and uses. Not for programs.
 *
 * The guest part is a shared library for aarch64. The worker, iotdec-calls, loads it and finds
 * `const struct iotdec_guest iotdec_guest` in it; the functions below are the worker's, and stay undefined when the
 * guest part is linked. iotdec_wrapper.h tells how the two parts fit together.
 */
#ifndef IOTDEC_GUEST_H
#define IOTDEC_GUEST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOTDEC_GUEST_VERSION 1

/*
 * function[f](message) unpacks the message, calls the library, and writes the result into the message:
 *
 *     static void f_foo(void *p)
 *     {
 *         struct m_foo *m = p;
 *         m->result = foo(m->a, (const char *) m->text, (void (*)(int)) m->f);
 *     }
 *
 * serve[s](message, target) does the same for a function pointer of signature s.
 *
 * entries[s] is jumped to with the arguments of signature s as any C function has them and register x18 = address of
 * the native function: what a native function pointer points to in the guest. It is a C function in a file
 * compiled with -ffixed-x18 -DIOTDEC_ENTRIES that reads iotdec_target before anything else:
 *
 *     static int entry_5(int a)
 *     {
 *         void *target = iotdec_target;
 *         struct iotdec_callback c;
 *         struct m_5 *m = iotdec_callback_begin(&c, sizeof *m);
 *         m->a = a;
 *         iotdec_callback_run(&c, &iotdec_guest, 5, target);
 *         int result = m->result;
 *         iotdec_callback_end(&c);
 *         return result;
 *     }
 */
struct iotdec_guest {
    uint32_t version;     /* IOTDEC_GUEST_VERSION */
    uint32_t functions;   /* entries in function */
    uint32_t signatures;  /* entries in serve and entries */
    uint32_t reserved;    /* 0 */
    uint64_t fingerprint; /* the native part's */
    void (*const *function)(void *message);
    void (*const *serve)(void *message, void *target);
    void *const *entries;
};

extern const struct iotdec_guest iotdec_guest;

/* A callback that is being made, on the stack of the function that makes it. Contents are the worker's own. */
struct iotdec_callback {
    uint64_t opaque[8];
};

#if defined(__aarch64__) && defined(IOTDEC_ENTRIES)
register void *iotdec_target __asm__("x18");
#endif

/* The message to fill in: zeroed, 16-byte aligned, at most IOTDEC_MAX_MESSAGE bytes. Works on any thread, the
 * library's own included. Never NULL: without a program to call back, the worker ends. */
void *iotdec_callback_begin(struct iotdec_callback *callback, size_t message);
/* Has the program run its function `target` with this message; returns when it is done. If the program leaves the
 * callback by longjmp, this does not return, and the library's frames up to the outer call are abandoned. */
void iotdec_callback_run(struct iotdec_callback *callback, const struct iotdec_guest *guest, uint32_t signature,
                         void *target);
/* Gives back the message. */
void iotdec_callback_end(struct iotdec_callback *callback);

#ifdef __cplusplus
}
#endif
#endif
