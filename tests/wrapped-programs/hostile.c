#define _GNU_SOURCE
#include "hostile.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int add(int a, int b) { return a + b; }
int ask(answer f, int number) { return f(number); }

/* Where a segment that the two processes share begins and ends. Parts of its file are mapped elsewhere, too. */
static void find(const char *name, char **start, char **end)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    *start = *end = NULL;
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to, offset;
        if (!strstr(line, name) || sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) != 3)
            continue;
        if (!offset)
            *start = (char *) from;
        if (!offset || *end == (char *) from)
            *end = (char *) to;
    }
    if (maps)
        fclose(maps);
    if (!*start)
        abort();
}

/* The emulator leaves out of its list what changes while it makes that. */
static int arena(const char *name, char **start, char **end)
{
    char *before;
    find(name, start, end);
    do {
        before = *end;
        find(name, start, end);
    } while (*end != before);
    return 1;
}

static void *wild(int kind)
{
    char *start, *end;
    switch (kind) {
    case 0: return (void *) 16;
    case 1: return (void *) 0x123456789000;
    case 2: return (void *) 0x7ffffffff000;
    case 3: return (void *) 0xffff800000000000;
    case 4: return (void *) -8;
    case 5: return arena("iotdec-exchange", &start, &end) ? end : NULL;
    case 6: return arena("iotdec-guest", &start, &end) ? start - 8 : NULL;
    default: return arena("iotdec-guest", &start, &end) ? end - 4 : NULL;
    }
}

const char *wild_text(int kind)
{
    char *text = wild(kind);
    /* The last bytes of what is shared, without an end. */
    if (kind == 7 && text)
        memset(text, 'x', 4);
    return text;
}
const struct thing *wild_thing(int kind) { return wild(kind); }
answer wild_function(int kind) { return (answer) wild(kind); }
struct object *wild_object(int kind) { return wild(kind); }
int object_word(struct object *object) { return *(volatile int *) object; }

static const struct thing sane_thing = {{1, 2, 3}};
static char sane_text[] = "sane";
static void *wild_or(int kind, const void *sane) { return kind < 0 ? (void *) sane : wild(kind); }

int wild_look(looks f, void *user, int kind) { return f(user, wild_or(kind, &sane_thing)); }
int wild_read(reads f, int kind, int length) { return f(wild_or(kind, sane_text), length); }
long wild_fill(fills f, int kind, size_t size)
{
    static char room[64];
    return f(wild_or(kind, room), size);
}
void *wild_move(moves f, void *p) { return f(p, 16); }
int wild_show(shows f, int kind) { return f((struct view){5, {wild_or(kind, sane_text)}}); }
int wild_list(lists f, int kind)
{
    static char *names[] = {sane_text, NULL};
    return f(1, wild_or(kind, names));
}
int wild_say(says f, int kind)
{
    char *text = wild_or(kind, sane_text);
    if (kind == 7)
        memset(text, 'x', 4);
    return f(text);
}
int wild_keep(keeps f, const void *mine) { return f(mine); }

int wild_out(const struct thing **thing, char **text, const char *given, int kind)
{
    if (kind == -2)
        *text = (char *) given + 1;
    if (kind < -2)
        return 0;
    *thing = wild_or(kind, &sane_thing);
    if (kind == -1)
        *text = sane_text;
    return 1;
}
struct view wild_view(int kind) { return (struct view){6, {wild_or(kind, sane_text)}}; }
int wild_note(struct note *note, int kind)
{
    if (kind < -2)
        return 0;
    note->label = kind % 2 == 0 ? wild_or(kind, sane_text) : sane_text;
    note->thing = kind % 2 == 0 ? &sane_thing : wild_or(kind, &sane_thing);
    return 1;
}

static looks looked;
static void *looks_later(void *p)
{
    looked(p, wild_or((int) (intptr_t) p, &sane_thing));
    return p;
}
static int start(void *(*run)(void *), void *argument);
int wild_look_later(looks f, int kind)
{
    looked = f;
    return start(looks_later, (void *) (intptr_t) kind);
}

static void *aborts(void *p)
{
    abort();
    return p;
}

static void scribble(uint64_t state)
{
    char *start, *end;
    if (!arena("iotdec-exchange", &start, &end))
        return;
    /* Header and lanes, and the first message stacks. */
    for (int i = 0; i < 200000; i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        size_t room = i % 4 ? 1 << 17 : 8 << 20;
        ((volatile uint64_t *) start)[(state >> 20) % (room / 8)] = state >> (state % 3 * 20);
    }
}

static void *scribbles(void *p)
{
    for (uint64_t round = 1;; round++)
        scribble(round);
    return p;
}

static answer asked;
static void *floods(void *p)
{
    asked(7);
    for (;;)
        pause();
    return p;
}

static void *later(void *p)
{
    int number = (int) (intptr_t) p;
    usleep(50000);
    asked(number);
    /* It has nothing to do for longer than a call may take in this test. */
    usleep(700000);
    asked(number + 1);
    return NULL;
}

static int start(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 128 << 10);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    return pthread_create(&thread, &attributes, run, argument);
}

#define PRINTERS 60
struct printer {
    pthread_t thread;
    int number, lines, wrong;
};

static void *printer(void *p)
{
    struct printer *it = p;
    for (int i = 0; i < it->lines; i++) {
        it->wrong += asked(it->number * 1000 + i) != it->number * 1000 + i + 1;
        fprintf(stderr, "thread %d line %d, of which all is to be seen, and nothing in between\n", it->number, i);
    }
    return NULL;
}

/* Threads that print so many lines each, and call back before each of them. How many answers were wrong. */
static int prints(int lines)
{
    static struct printer all[PRINTERS];
    int wrong = 0;
    for (int i = 0; i < PRINTERS; i++) {
        all[i] = (struct printer){.number = i, .lines = lines};
        if (pthread_create(&all[i].thread, NULL, printer, &all[i]))
            abort();
    }
    for (int i = 0; i < PRINTERS; i++) {
        pthread_join(all[i].thread, NULL);
        wrong += all[i].wrong;
    }
    return wrong;
}

int misbehave(enum misdeed what, answer f, uint64_t number)
{
    char *begin, *end;
    pid_t program = getppid();
    asked = f;
    switch (what) {
    case SIGNAL_ITSELF:
        kill(getpid(), (int) number);
        pause();
        return -1;
    case STOP_ITSELF:
        kill(getpid(), SIGSTOP);
        /* It may take a moment to reach this thread. */
        pause();
        return -1;
    case SIGNAL_PROGRAM: {
        /* How many of these ways there are. */
        siginfo_t info = {0};
        info.si_code = SI_QUEUE;
        int done = 0;
        done += kill(program, (int) number) == 0;
        done += kill(0, (int) number) == 0;
        done += kill(-getpgid(program), (int) number) == 0;
        done += syscall(SYS_tkill, program, (int) number) == 0;
        done += syscall(SYS_tgkill, program, program, (int) number) == 0;
        done += syscall(SYS_rt_sigqueueinfo, program, (int) number, &info) == 0;
        done += sigqueue(program, (int) number, (union sigval){0}) == 0;
        return done;
    }
    case UNMAP_ARENA:
        if (arena(number ? "iotdec-guest" : "iotdec-exchange", &begin, &end))
            munmap(begin, (size_t) (end - begin));
        return 0;
    case UNMAP_EVERYTHING:
        return munmap((void *) 0x10000, (size_t) 1 << 46);
    case PROTECT_ARENA:
        if (arena("iotdec-exchange", &begin, &end))
            mprotect(begin, (size_t) (end - begin), PROT_READ);
        return 0;
    case JUMP_INTO_DATA: {
        static uint32_t garbage[256];
        uint64_t state = number;
        for (int i = 0; i < 256; i++)
            garbage[i] = (uint32_t) ((state = state * 6364136223846793005 + 1442695040888963407) >> 32);
        mprotect((void *) ((uintptr_t) garbage & ~4095ul), 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
        __builtin___clear_cache((char *) garbage, (char *) (garbage + 256));
        return ((answer) (void *) garbage)((int) number);
    }
    case JUMP_NOWHERE:
        return ((answer) number)(1);
    case BECOME_ANOTHER:
        return execl("/bin/sleep", "sleep", "1000", (char *) NULL);
    case EXIT_AT_ONCE:
        _exit((int) number);
    case ABORT_IN_THREAD:
        start(aborts, NULL);
        pause();
        return -1;
    case CLOSE_ALL:
        return (int) syscall(SYS_close_range, 0, ~0u, 0);
    case WRITE_OVER_ALL:
        scribble(number);
        return 0;
    case WRITE_OVER_ALL_ALWAYS:
        return start(scribbles, NULL);
    case FLOOD_THREADS:
        for (uint64_t i = 0; i < number; i++)
            if (start(floods, NULL))
                return (int) i;
        sleep(100);
        return (int) number;
    case FLOOD_OUTPUT:
        return prints((int) number);
    case CALL_LATER:
        return start(later, (void *) (uintptr_t) number);
    case EAT_MEMORY: {
        static void *volatile last;
        int got = 0;
        while (got < 100000 && (last = malloc(1 << 20)))
            got++;
        return got;
    }
    case SPIN:
        for (volatile int i = 0;; i++)
            ;
    }
    return 0;
}
