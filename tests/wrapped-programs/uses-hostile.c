/* A program that has to go on, whatever its library does: program WHAT. Says "ok", or what is wrong. */
#define _GNU_SOURCE
#include "../scenarios.h"
#include "hostile.h"
#include "iotdec.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct iotdec_error error;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            iotdec_last_error(&error); \
            printf("line %d: %s; error %d: %s\n", __LINE__, #condition, error.kind, error.text); \
            exit(1); \
        } \
    } while (0)

static _Atomic int answered;
static int answers(int number)
{
    answered = number;
    return number + 1;
}

/* The library runs, or another does soon: when the threads of the last one have given their lanes back. */
static void works(void)
{
    int tries = 0;
    while (add(20, 3) != 23 || ask(answers, 8) != 9) {
        CHECK(++tries < 200);
        usleep(50000);
    }
    iotdec_clear_error();
}

#define KIND(kind) (1u << IOTDEC_##kind)

/* A call that fails, as one of these kinds. */
static void fails(enum misdeed what, uint64_t number, unsigned kinds, int sig)
{
    works();
    int result = misbehave(what, answers, number);
    int found = iotdec_last_error(&error);
    if (result != 0 || !(kinds >> found & 1) || (sig && error.signal != sig) || !error.text[0]) {
        printf("misdeed %d (%#lx) returned %d; error %d, signal %d: %s\n", what, number, result, found, error.signal,
            error.text);
        exit(1);
    }
    works();
}

static void pointers(void)
{
    for (int kind = 0; kind < WILD_KINDS; kind++) {
        works();
        /* The very last bytes may be text, but then they have no end. */
        CHECK(wild_text(kind) == NULL);
        CHECK(iotdec_last_error(NULL) == IOTDEC_BAD_POINTER);
        iotdec_clear_error();
        CHECK(wild_thing(kind) == NULL);
        CHECK(iotdec_last_error(NULL) == IOTDEC_BAD_POINTER);
        iotdec_clear_error();
        struct object *object = wild_object(kind);
        /* Nobody looks at it but the library, which crashes, but for where it may read. */
        if (kind < 5) {
            CHECK(object_word(object) == 0);
            CHECK(iotdec_last_error(NULL) == IOTDEC_CRASHED);
        }
        works();
        answer f = wild_function(kind);
        /* What is no address stays what it is, as SIG_ERR does. */
        if (kind == 1 || kind == 2) {
            CHECK(f != NULL && f(3) == 0);
            CHECK(iotdec_last_error(NULL) == IOTDEC_CRASHED);
        }
        if (kind == 3) {
            CHECK(f == NULL);
            CHECK(iotdec_last_error(NULL) == IOTDEC_BAD_POINTER);
        }
    }
    works();
}

static int calls;
static int user;
static volatile int later_calls;

static int look(void *data, const struct thing *thing)
{
    calls++;
    CHECK(data == &user);
    return thing ? (int) thing->words[1] : -5;
}
static int read_all(const char *data, int length)
{
    calls++;
    int sum = 0;
    for (int i = 0; i < length; i++)
        sum += data[i];
    return sum;
}
static long fill(void *buffer, size_t size)
{
    calls++;
    memset(buffer, 'x', size);
    return (long) size;
}
static void *move(void *memory, size_t size)
{
    calls++;
    return size == 16 ? memory : NULL;
}
static int show(struct view view)
{
    calls++;
    return view.inner.text[0] + (int) view.number;
}
static int list(int count, char **names)
{
    calls++;
    return count + names[0][0];
}
static int say(const char *words)
{
    calls++;
    return (int) strlen(words);
}
static int keep(const struct thing *mine)
{
    calls++;
    return (int) mine->words[0];
}
static int look_later(void *data, const struct thing *thing)
{
    (void) data;
    later_calls += (int) thing->words[0];
    return 0;
}

/* The last call has failed because of this, and none of ours was called. */
static void refused(const char *callback, const char *parameter)
{
    CHECK(calls == 0);
    CHECK(iotdec_last_error(&error) == IOTDEC_BAD_POINTER);
    CHECK(strstr(error.text, callback) && strstr(error.text, parameter) && error.address);
    iotdec_clear_error();
}

/* What comes as it should, and comes through. */
static void sane_arguments(void)
{
    struct thing private = {{77}};
    calls = 0;
    CHECK(wild_look(look, &user, -1) == 2);
    CHECK(wild_read(read_all, -1, 4) == 's' + 'a' + 'n' + 'e');
    CHECK(wild_fill(fill, -1, 64) == 64);
    CHECK(wild_move(move, &private) == &private);
    CHECK(wild_show(show, -1) == 's' + 5);
    CHECK(wild_list(list, -1) == 's' + 1);
    CHECK(wild_say(say, -1) == 4);
    /* Called "value" in wrap.toml. */
    CHECK(wild_keep(keep, &private) == 77);
    /* No byte of it is to be read. */
    CHECK(wild_read(read_all, 1, 0) == 0);
    CHECK(calls == 9);

    const struct thing *thing = &private;
    char letters[] = "abc", *text = letters;
    CHECK(wild_out(&thing, &text, letters, -3) == 0 && thing == &private && text == letters);
    CHECK(wild_out(&thing, &text, letters, -1) == 1 && thing->words[2] == 3 && !strcmp(text, "sane"));
    CHECK(wild_out(&thing, &text, letters, -2) == 1 && text == letters + 1);
    CHECK(wild_view(-1).inner.text[0] == 's');
    struct note note = {"mine", NULL};
    CHECK(wild_note(&note, -3) == 0 && !strcmp(note.label, "mine") && !note.thing);
    CHECK(wild_note(&note, -1) == 1 && !strcmp(note.label, "sane") && note.thing->words[1] == 2);
}

static void arguments(void)
{
    for (int kind = 0; kind < WILD_KINDS; kind++) {
        works();
        sane_arguments();
        works();
        calls = 0;
        CHECK(wild_look(look, &user, kind) == 0);
        refused("looks", "thing");
        CHECK(wild_read(read_all, kind, 8) == 0);
        refused("reads", "data");
        CHECK(wild_fill(fill, kind, 64) == 0);
        refused("fills", "buffer");
        if (kind != 7) {
            CHECK(wild_show(show, kind) == 0);
            refused("shows", "inner.text");
        }
        CHECK(wild_list(list, kind) == 0);
        refused("lists", "names");
        CHECK(wild_say(say, kind) == 0);
        CHECK(calls == 0 && iotdec_last_error(NULL) == IOTDEC_BAD_POINTER);
        iotdec_clear_error();

        const struct thing *thing = NULL;
        char *text = NULL;
        CHECK(wild_out(&thing, &text, "abc", kind) == 0);
        refused("wild_out", "thing");
        CHECK(thing == NULL);
        if (kind != 7) {
            CHECK(wild_view(kind).number == 0);
            refused("wild_view", "inner.text");
        }
        struct note note = {0};
        CHECK(wild_note(&note, kind) == 0);
        CHECK(iotdec_last_error(NULL) == IOTDEC_BAD_POINTER);
        iotdec_clear_error();
    }
    /* As much as there is not. */
    works();
    calls = 0;
    int lengths[] = {-1, INT_MAX};
    for (int i = 0; i < 2; i++) {
        CHECK(wild_read(read_all, -1, lengths[i]) == 0);
        CHECK(calls == 0 && iotdec_last_error(NULL) == IOTDEC_BAD_POINTER);
    }
    CHECK(wild_fill(fill, -1, SIZE_MAX) == 0);
    CHECK(calls == 0 && iotdec_last_error(NULL) == IOTDEC_BAD_POINTER);
    iotdec_clear_error();
    /* No call that could fail is running. */
    for (int kind = 0; kind < WILD_KINDS; kind++)
        CHECK(wild_look_later(look_later, kind) == 0);
    CHECK(wild_look_later(look_later, -1) == 0);
    for (int i = 0; i < 1000 && later_calls != 1; i++)
        usleep(10000);
    CHECK(later_calls == 1);
    works();
}

static void signals(void)
{
    /* One that is ignored must not keep us. */
    iotdec_set_call_timeout(20000);
    int ends[] = {SIGTERM, SIGKILL, SIGSEGV, SIGALRM, SIGUSR1, SIGHUP, SIGQUIT};
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++)
        fails(SIGNAL_ITSELF, (uint64_t) ends[i], KIND(CRASHED), ends[i]);
    iotdec_set_call_timeout(500);
    fails(STOP_ITSELF, 0, KIND(TIMED_OUT), 0);
    iotdec_set_call_timeout(0);
    fails(ABORT_IN_THREAD, 0, KIND(CRASHED), SIGABRT);
    /* Of seven ways to send us a signal none is open. */
    int kinds[] = {0, SIGTERM, SIGKILL, SIGSTOP};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        CHECK(misbehave(SIGNAL_PROGRAM, answers, (uint64_t) kinds[i]) == 0);
    CHECK(iotdec_last_error(NULL) == 0);
    works();
}

static void memory(void)
{
    iotdec_set_call_timeout(10000);
    fails(UNMAP_ARENA, 0, KIND(CRASHED) | KIND(TIMED_OUT), 0);
    fails(UNMAP_ARENA, 1, KIND(CRASHED) | KIND(TIMED_OUT), 0);
    fails(PROTECT_ARENA, 0, KIND(CRASHED) | KIND(TIMED_OUT), 0);
    /* Of what the emulator has there, too; it can end in any way. */
    fails(UNMAP_EVERYTHING, 0, KIND(CRASHED) | KIND(EXITED) | KIND(TIMED_OUT), 0);
    /* That takes some time beside other tests. */
    iotdec_set_call_timeout(60000);
    CHECK(misbehave(EAT_MEMORY, answers, 0) > 100);
    works();
}

static void jumps(void)
{
    iotdec_set_call_timeout(2000);
    uint64_t nowhere[] = {0, 1, 4096, 0x123456789abc, 0xfffffffffffff000};
    for (unsigned i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        fails(JUMP_NOWHERE, nowhere[i], KIND(CRASHED) | KIND(TIMED_OUT), 0);
    for (uint64_t seed = 1; seed <= (getenv("SHORT") ? 4 : 40); seed++) {
        works();
        /* Whatever that does. Even nothing. */
        misbehave(JUMP_INTO_DATA, answers, seed);
        works();
    }
    /* Ours, which is nothing in its process. */
    misbehave(JUMP_NOWHERE, answers, (uint64_t) (uintptr_t) works);
    works();
}

static void ends(void)
{
    fails(EXIT_AT_ONCE, 0, KIND(EXITED), 0);
    fails(EXIT_AT_ONCE, 77, KIND(EXITED), 0);
    iotdec_set_call_timeout(1000);
    fails(BECOME_ANOTHER, 0, KIND(TIMED_OUT) | KIND(EXITED), 0);
    fails(SPIN, 0, KIND(TIMED_OUT), 0);
    iotdec_set_call_timeout(0);
    CHECK(misbehave(CLOSE_ALL, answers, 0) == 0);
    works();
    /* What an ended library had allocated is gone, and nobody else's fault. */
    struct object *left = wild_object(7);
    CHECK(left != NULL);
    misbehave(EXIT_AT_ONCE, answers, 0);
    errno = 0;
    CHECK(iotdec_realloc(left, 100) == NULL && errno == ENOMEM);
    iotdec_free(left);
    works();
    /* The same of what it never allocated. */
    CHECK((left = wild_object(7)) && iotdec_realloc(left, 100) == NULL);
    iotdec_free(left);
    works();
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

static void scribbling(void)
{
    iotdec_set_call_timeout(1000);
    for (uint64_t seed = 1; seed <= (getenv("SHORT") ? 4 : 100); seed++) {
        misbehave(WRITE_OVER_ALL, answers, seed);
        works();
    }
    /* While we call, too. */
    for (int round = 0; round < (getenv("SHORT") ? 2 : 30); round++) {
        works();
        misbehave(WRITE_OVER_ALL_ALWAYS, answers, 0);
        for (double start = now(); now() < start + 1;) {
            add(1, 2);
            ask(answers, 4);
            /* Its argument may be spoiled on the way, and then this is text that is empty: whatever it is, it is there. */
            const char *text = wild_text(0);
            if (text)
                (void) *(volatile const char *) text;
        }
        /* That one is ended now, if it still runs; the one after it is whole. */
        misbehave(EXIT_AT_ONCE, answers, 0);
        works();
    }
}

enum { FLOOD_ROUNDS = 6, FLOOD_LINES = 20 };
static void floods(void)
{
    /* No limit of time: how long hundreds of threads take to start is the machine's affair. Twice, for the next worker
     * has all lanes again. */
    for (int round = 0; round < 2; round++) {
        fails(FLOOD_THREADS, 400, KIND(EXITED), 0);
        CHECK(strstr(error.text, "the program has no lane for it"));
    }
    /* All rounds together have more threads than there are lanes. */
    for (int round = 0; round < FLOOD_ROUNDS; round++)
        CHECK(misbehave(FLOOD_OUTPUT, answers, FLOOD_LINES) == 0);
    works();
}

static void later(void)
{
    works();
    answered = 0;
    CHECK(misbehave(CALL_LATER, answers, 55) == 0);
    /* Nothing is being called when it comes. */
    iotdec_set_call_timeout(300);
    for (int number = 55; number <= 56; number++) {
        for (int i = 0; i < 1000 && answered != number; i++)
            usleep(10000);
        CHECK(answered == number);
    }
    iotdec_set_call_timeout(0);
    works();
    /* And when its worker has gone. */
    CHECK(misbehave(CALL_LATER, answers, 66) == 0);
    CHECK(misbehave(EXIT_AT_ONCE, answers, 1) == 0);
    works();
    usleep(200000);
    CHECK(answered != 66);
}

int main(int argc, char **argv)
{
    static const struct scenario all[] = {
        {"pointers", pointers}, {"arguments", arguments}, {"signals", signals}, {"memory", memory}, {"jumps", jumps}, {"ends", ends},
        {"scribbling", scribbling}, {"floods", floods}, {"later", later}, {NULL, NULL},
    };
    int status = run_scenario(all, argc, argv);
    if (status == 0)
        puts("ok");
    return status;
}
