/*
 * iotdec_wrapper.h: what the native part of a generated wrapper library uses of libiotdec.so. Not for programs.
 *
 * A wrapper has a native part (libfoo.so.1, compiled for amd64) and a guest part (compiled for aarch64, see
 * iotdec_guest.h). Both are generated from the same headers and agree on the numbers of functions and signatures and
 * on the layout of messages. A function of the native part looks like this:
 *
 *     int foo(int a, const char *text, void (*f)(int))
 *     {
 *         struct iotdec_call c;
 *         struct m_foo *m = iotdec_call_begin(&c, &iotdec_wrapper, sizeof *m);
 *         if (!m)
 *             return ON_CRASH;
 *         m->a = a;
 *         m->text = (uint64_t) iotdec_in(&c, text, text ? strlen(text) + 1 : 0);
 *         m->f = iotdec_give_function(&c, (void (*)(void)) f, SIG_void_int);
 *         int result = iotdec_call_run(&c, F_foo) ? m->result : ON_CRASH;
 *         iotdec_call_end(&c);
 *         return result;
 *     }
 *
 * Nothing between begin and end needs to check for failure: what fails is recorded in the call, and iotdec_call_run
 * then returns 0 without running anything.
 *
 * A message and all that iotdec_take, _in and _out give lie in memory that the library can write at any time: read
 * each field once, and let no address or length from there decide what of the program's own memory is accessed
 * without iotdec_check.
 *
 * errno crosses both ways by itself. Calls nest up to IOTDEC_MAX_DEPTH: a callback may call the library again. A
 * callback may longjmp, or throw, past calls of its own thread; they are forgotten on both sides, as if the library
 * had been called directly.
 */
#ifndef IOTDEC_WRAPPER_H
#define IOTDEC_WRAPPER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOTDEC_WRAPPER_VERSION 3
/* Calls within callbacks within calls of one thread, counted in calls. */
#define IOTDEC_MAX_DEPTH 64
/* Largest message, in bytes. Data goes into iotdec_take, _in and _out, which have no such limit. */
#define IOTDEC_MAX_MESSAGE 65536

/*
 * A wrapper library's native part, one (static, zero-initialised where nothing is said) per library.
 *
 * serve[s](message, target) calls the native function `target`, whose signature is number s, with the arguments in
 * `message`, and writes its result there. The message is of the size that the guest part's entry of that signature
 * passed to iotdec_callback_begin.
 *
 * entries[s] is native code that is jumped to, with the arguments of signature s as any C function has them and
 * register r10 = address of the guest's function: what a guest's function pointer points to in the program. It is
 * a C function in a file compiled with -ffixed-r10 -DIOTDEC_ENTRIES that reads iotdec_target (below) before anything else:
 *
 *     static int entry_5(int a)
 *     {
 *         void *target = iotdec_target;
 *         struct iotdec_call c;
 *         struct m_5 *m = iotdec_call_begin(&c, &iotdec_wrapper, sizeof *m);
 *         if (!m)
 *             return ON_CRASH;
 *         m->a = a;
 *         int result = iotdec_call_pointer(&c, 5, target) ? m->result : ON_CRASH;
 *         iotdec_call_end(&c);
 *         return result;
 *     }
 */
struct iotdec_variable;
struct iotdec_reach;
enum iotdec_accel {
    IOTDEC_ACCEL_AUTO = 1,   /* as much as there is, as with 0 */
    IOTDEC_ACCEL_OFF = 2,
    IOTDEC_ACCEL_NATIVE = 3, /* what the host's libraries need, or an error */
    IOTDEC_ACCEL_TURBO = 4   /* turbo from the first call on, or an error */
};
struct iotdec_wrapper {
    uint32_t version;       /* IOTDEC_WRAPPER_VERSION */
    uint32_t functions;     /* how many the guest part has */
    uint32_t signatures;    /* how many function pointer signatures; entries in serve and entries */
    uint32_t accel;         /* enum iotdec_accel, or 0: how much of the accelerator; the environment counts first */
    uint64_t fingerprint;   /* the guest part's, which must be the same: parts of two generations do not mix */
    const char *name;       /* for messages, such as "libfoo.so.1" */
    /*
     * The aarch64 library: a path, or a name without a slash to be found in the sysroot. The guest part may be
     * linked against it by its SONAME: it is loaded before.
     */
    const char *library;
    /* The guest part: a path; one without a leading slash is relative to the directory of the native part's file. */
    const char *guest_part;
    const char *sysroot;    /* a path; NULL: IOTDEC_SYSROOT or the installed one */
    void (*const *serve)(void *message, void *target);
    void *const *entries;
    void *state;            /* the runtime's own; NULL at first */
    const struct iotdec_variable *variables;
    uint64_t variable_count;
    const struct iotdec_reach *reach; /* the runtime's; NULL at first */
};

/* Where most of what both sides have is: the memory of the worker that was started last, and the program's. */
struct iotdec_reach {
    struct {
        uint64_t start, size;
    } ranges[2];
};

/*
 * An exported variable. The native part has one of the same name and size (or the program, if it was linked so that
 * variables of libraries are copied into it); before and after each call, and each callback, what one side has changed
 * is written into the other side's. What changes as a whole are pointers, and words of what is between them.
 */
struct iotdec_variable {
    const char *name;
    void *here;                      /* the program's */
    const void *first;               /* what it held at first; NULL: zeros */
    uint64_t size;
    const struct iotdec_slot *slots; /* the pointers in it, by offset */
    uint32_t count;
    uint32_t flags;
};
/* The library's alone: written into the program's when the library is loaded. */
#define IOTDEC_VARIABLE_CONSTANT 1

/* A pointer in a variable. One that is of no kind crosses as it is. */
struct iotdec_slot {
    uint32_t offset;
    uint32_t kind;
    uint64_t detail; /* FUNCTION: its signature. SHARED: bytes that are there at least; 0 if it may be to anything */
};
enum iotdec_slot_kind {
    IOTDEC_SLOT_FUNCTION = 1,
    IOTDEC_SLOT_TEXT = 2,   /* terminated; a copy of the program's stays for ever */
    IOTDEC_SLOT_SHARED = 3, /* must be to memory that both sides have */
    IOTDEC_SLOT_HANDLE = 4  /* an object of the library */
};

/* A call that is being made, on the stack of the function that makes it. Contents are the runtime's own. */
struct iotdec_call {
    uint64_t opaque[8];
};

#if defined(__x86_64__)
#ifdef IOTDEC_ENTRIES /* defined by files compiled with -ffixed-r10 */
register void *iotdec_target __asm__("r10");
#endif
#endif

/*
 * Starts a worker if none runs, a lane for this thread if it has none, and gives the message to fill in: zeroed,
 * 16-byte aligned. NULL if that cannot be done: the reason is recorded, and neither run nor end may follow.
 */
void *iotdec_call_begin(struct iotdec_call *call, struct iotdec_wrapper *wrapper, size_t message);
/* Runs a function of the guest part. 1 if it returned, 0 if not or if something failed since begin. */
int iotdec_call_run(struct iotdec_call *call, uint32_t function);
/* The same for a guest's function that a pointer of this signature points to. */
int iotdec_call_pointer(struct iotdec_call *call, uint32_t signature, void *target);
/* Gives back the message and all memory taken. errno stays. */
void iotdec_call_end(struct iotdec_call *call);
/* Has the call fail with IOTDEC_BAD_POINTER and this text; for what the generated code itself finds wrong. */
void iotdec_call_fail(struct iotdec_call *call, const char *text);
/* 1 if something failed since begin, such as one iotdec_check of several after run. */
int iotdec_call_failed(const struct iotdec_call *call);

/* Memory of the call that both sides see, 16-byte aligned, not zeroed, until end. Never NULL: if there is none, the
 * call fails, and the address is one where everything may be written but nothing is kept. */
void *iotdec_take(struct iotdec_call *call, size_t size);
/* Whether the library has the `size` bytes at `memory` at the same address. */
int iotdec_is_there(struct iotdec_call *call, const void *memory, size_t size);
/* `memory` itself if it is NULL or shared already, else a copy of its `size` bytes. */
void *iotdec_in(struct iotdec_call *call, const void *memory, size_t size);
/* The same, but with zeros instead of a copy: for what the library only writes. */
void *iotdec_out(struct iotdec_call *call, void *memory, size_t size);
/* Copies `size` bytes back from what iotdec_in or _out gave for `memory`, unless that was `memory` itself. */
void iotdec_back(struct iotdec_call *call, void *memory, const void *copy, size_t size);

/*
 * A native function pointer as the guest is to see it: the same address (another one, known to both sides, where the
 * guest cannot have something there). Values that are no addresses of functions ((void *) 0, 1, -1) and the guest's own
 * functions stay what they are. It stays callable until the worker ends.
 */
uint64_t iotdec_give_function(struct iotdec_call *call, void (*function)(void), uint32_t signature);
/* A guest's function pointer as the program is to see it: the reverse. Stays callable for ever; after the worker's
 * end a call of it fails with IOTDEC_STALE. */
void *iotdec_take_function(struct iotdec_call *call, uint64_t function, uint32_t signature);
/* A function pointer in memory that both sides use, whoever wrote it there: makes it callable on both sides, and gives
 * the address at which it is: its own, unless the guest cannot have a function there. What is no function's address, or
 * can be called at no common one, is left alone. */
uint64_t iotdec_meet_function(struct iotdec_call *call, void *function, uint32_t signature);

/*
 * A pointer that came from the guest and that the program will follow. NULL stays NULL; if not all of its `size`
 * bytes are shared with the worker that runs now, the call fails and the result is NULL.
 */
void *iotdec_check(struct iotdec_call *call, uint64_t pointer, size_t size);
/* The same, with what is to be said if it is wrong. Where nothing is to be read, any pointer is right. */
void *iotdec_check_or(struct iotdec_call *call, uint64_t pointer, size_t size, const char *text);
/* The same for a terminated string. */
char *iotdec_check_string(struct iotdec_call *call, uint64_t pointer);
/* A handle that the program got from the guest and only hands back: itself, but the call fails with IOTDEC_STALE if
 * it is of a worker that is no more. */
uint64_t iotdec_handle(struct iotdec_call *call, const void *handle);
/* A pointer that crosses as it is without a rule that says how much it points to: itself; unless NULL or shared, the
 * call fails with IOTDEC_BAD_POINTER. `parameter` is its name, for the message. */
uint64_t iotdec_shared(struct iotdec_call *call, const void *pointer, const char *parameter);
/* A file descriptor of the program as the library is to see it: the number of a duplicate, which is the library's to
 * close. What is no open descriptor stays a negative number. */
int iotdec_give_descriptor(struct iotdec_call *call, int descriptor);
/*
 * File descriptors that the library returned, as the program is to see them: after run, whatever that said, and after
 * all else that may fail. Numbers of the program's own take the place of the library's, close-on-exec, of all or, if the
 * call fails, of none. Negative numbers stay what they are. One that is not lent is closed in the library in any case.
 * One that is lent stays open there, and the program must not close its own, which is the same each time.
 */
#define IOTDEC_MAX_DESCRIPTORS 16
struct iotdec_descriptor {
    int32_t number;
    uint32_t is_lent;
};
void iotdec_take_descriptors(struct iotdec_call *call, struct iotdec_descriptor *descriptors, size_t count);

/*
 * In a serve function, for one whose parameters or result need the functions above: binds `call` to the call during
 * which the callback happens (nothing must be run with it, and it has no end). Memory taken with it is there until
 * the library calls back again at this depth, or returns. Failures fail the outer call once this callback is done.
 */
void iotdec_serve_begin(struct iotdec_call *call, struct iotdec_wrapper *wrapper);

/*
 * Fills in the variables whose contents only the running library knows, such as addresses; for a constructor of the
 * native part. It starts the worker, at the latest before main.
 */
void iotdec_variables_begin(struct iotdec_wrapper *wrapper);

/*
 * The address of the library's variable of that name and size, readable and writable here; NULL, with the reason
 * recorded, if there is none. Of the worker that runs now: ask again each time.
 */
void *iotdec_symbol(struct iotdec_wrapper *wrapper, const char *name, size_t size);
/* The address in the guest of the library's function of that name, for iotdec_call_pointer; NULL as above. */
void *iotdec_function(struct iotdec_wrapper *wrapper, const char *name);

#ifdef __cplusplus
}
#endif
#endif
