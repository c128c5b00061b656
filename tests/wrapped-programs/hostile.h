/* A library that does what broken and hostile ones do. */
#ifndef HOSTILE_H
#define HOSTILE_H
#include <stdint.h>

struct thing {
    uint64_t words[8];
};
struct object;
typedef int (*answer)(int number);

/* What a sane library does; to see that one runs. */
int add(int a, int b);
int ask(answer f, int number);

/* Pointers to where nothing is, or nothing that is shared. */
enum { WILD_KINDS = 8 };
const char *wild_text(int kind);
const struct thing *wild_thing(int kind);
answer wild_function(int kind);
struct object *wild_object(int kind);
int object_word(struct object *object);

enum misdeed {
    SIGNAL_ITSELF,
    STOP_ITSELF,
    SIGNAL_PROGRAM,
    UNMAP_ARENA,
    UNMAP_EVERYTHING,
    PROTECT_ARENA,
    JUMP_INTO_DATA,
    JUMP_NOWHERE,
    BECOME_ANOTHER,
    EXIT_AT_ONCE,
    ABORT_IN_THREAD,
    CLOSE_ALL,
    WRITE_OVER_ALL,
    WRITE_OVER_ALL_ALWAYS,
    FLOOD_THREADS,
    FLOOD_OUTPUT,
    CALL_LATER,
    EAT_MEMORY,
    SPIN,
};
int misbehave(enum misdeed what, answer f, uint64_t number);
#endif
