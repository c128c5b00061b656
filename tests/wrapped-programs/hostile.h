/* A library that does what broken and hostile ones do. */
#ifndef HOSTILE_H
#define HOSTILE_H
#include <stddef.h>
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

/* Pointers with which it calls back: these kinds, or, where KIND is negative, right ones. */
struct view {
    uint64_t number;
    struct {
        const char *text;
    } inner;
};
struct note {
    const char *label;
    const struct thing *thing;
};
typedef int (*looks)(void *user, const struct thing *thing);
typedef int (*reads)(const char *data, int data_len);
typedef long (*fills)(void *buffer, size_t size);
typedef void *(*moves)(void *memory, size_t size);
typedef int (*shows)(struct view view);
typedef int (*lists)(int count, char **names);
typedef int (*says)(const char *words);
typedef int (*keeps)(const struct thing *mine);
int wild_look(looks f, void *user, int kind);
int wild_read(reads f, int kind, int length);
long wild_fill(fills f, int kind, size_t size);
void *wild_move(moves f, void *p);
int wild_show(shows f, int kind);
int wild_list(lists f, int kind);
int wild_say(says f, int kind);
int wild_keep(keeps f, const void *mine);
/* What it looks like from a thread of the library's. */
int wild_look_later(looks f, int kind);

/* Where it puts pointers. */
int wild_out(const struct thing **thing, char **text, const char *given, int kind);
struct view wild_view(int kind);
int wild_note(struct note *note, int kind);

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
