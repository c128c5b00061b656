/* What generated libraries for the guest share: the way to the host, and whose object
 * is whose. Nothing in here is exported. */
#ifndef IOTDEC_NATIVE_H
#define IOTDEC_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* Of the generated part: the library, and its functions in the guest's own build. */
extern const char iotdec_library[];
extern const uint64_t iotdec_fingerprint;
extern const char *const iotdec_own_names[];
extern const size_t iotdec_own_count;
extern void *iotdec_own[];

/* Of the functions that the host does: which it does over the ring, too. */
extern const unsigned char iotdec_over_ring[];

/* Whether the host does a function; it does not change after the start. */
int iotdec_serves(uint32_t function);
/* Has the host do it: so many arguments in words, then its result in the first. */
void iotdec_invoke(uint32_t function, const char *name, uint64_t *words, uint32_t count);
/* Ends the process: to go on would damage memory. */
void iotdec_die(const char *what, const char *name) __attribute__((noreturn, cold));

/* The objects that the host has made, by their identities. */
void iotdec_own_object(void *identity);
void iotdec_disown_object(void *identity);
int iotdec_owns(void *identity);

/* Functions of the host that it left in objects. */
void iotdec_note_host_function(uintptr_t address);
int iotdec_is_host_function(uintptr_t address);

/* A string of the host, which a function has just left in an object, in memory of the
 * guest: QEMU lets no system call read the host's. Stays for good; the same text is the
 * same string. */
char *iotdec_text(const char *text);

/* A value that no object has as its identity. */
extern char iotdec_nobody[];

#pragma GCC visibility pop

/* Exports a function that goes to the guest's own, whatever it takes: all registers
 * and the stack stay as they are. */
#define IOTDEC_JUMP(name, index)                        \
    __asm__(".text\n\t.balign 4\n\t"                    \
            ".globl " #name "\n\t"                      \
            ".type " #name ", %function\n" #name ":\n\t" \
            "hint #34\n\t" /* bti c */                  \
            "adrp x16, iotdec_own + 8 * " #index "\n\t" \
            "ldr x16, [x16, :lo12:iotdec_own + 8 * " #index "]\n\t" \
            "br x16\n\t"                                \
            ".size " #name ", . - " #name "\n")

#endif
