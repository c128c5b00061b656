#define _GNU_SOURCE
#include "events.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

static event_handler current;

event_handler event_set(event_handler handler)
{
    event_handler former = current;
    current = handler;
    return former;
}

int event_raise(int number) { return current ? current(number) : -1; }

static int doubler(int number) { return 2 * number; }
event_handler event_doubler(void) { return doubler; }

struct ticker {
    pthread_t thread;
    ticked f;
    void *user;
    uint64_t count, sum;
};

static void *run(void *it)
{
    struct ticker *ticker = it;
    for (uint64_t i = 0; i < ticker->count; i++)
        ticker->sum += ticker->f(i, ticker->user);
    return NULL;
}

struct ticker *ticker_start(ticked f, void *user, uint64_t times)
{
    struct ticker *ticker = calloc(1, sizeof *ticker);
    ticker->f = f;
    ticker->user = user;
    ticker->count = times;
    if (pthread_create(&ticker->thread, NULL, run, ticker)) {
        free(ticker);
        return NULL;
    }
    return ticker;
}

uint64_t ticker_join(struct ticker *ticker)
{
    pthread_join(ticker->thread, NULL);
    uint64_t sum = ticker->sum;
    free(ticker);
    return sum;
}

struct teller {
    told f;
    void *user;
    int number;
    enum thread_end end;
};

static void *tells(void *it)
{
    struct teller *teller = it;
    char text[1000];
    snprintf(text, sizeof text, "thread %d", teller->number);
    teller->f(text, teller->user);
    if (teller->end == BY_EXIT)
        pthread_exit(it);
    while (teller->end == BY_CANCEL)
        pause();
    return it;
}
static int tells_in_c11(void *it) { return tells(it) != NULL; }

int thread_tells(told f, void *user, int number, enum thread_end end)
{
    struct teller teller = {f, user, number, end};
    pthread_t thread;
    thrd_t other;
    int result = 0;
    if (end == IN_C11)
        return thrd_create(&other, tells_in_c11, &teller) != thrd_success
            || thrd_join(other, &result) != thrd_success || result != 1;
    if (pthread_create(&thread, NULL, tells, &teller))
        return 1;
    if (end == BY_CANCEL)
        pthread_cancel(thread);
    return pthread_join(thread, NULL);
}

static _Thread_local uint64_t calls;
uint64_t thread_calls(void) { return ++calls; }

int thread_errno(int value)
{
    int former = errno;
    errno = value;
    return former;
}

uint64_t thread_fold(ticked f, void *user, uint64_t n)
{
    uint64_t sum = 0;
    for (; n > 0; n--) {
        errno = (int) n;
        sum += f(n, user);
        if (errno != (int) n + 1)
            return (uint64_t) -1;
    }
    return sum;
}

uint64_t thread_sum(uint32_t *numbers, size_t numbers_count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < numbers_count; i++) {
        sum += numbers[i];
        numbers[i] = ~numbers[i];
    }
    return sum;
}

/* Writes where the functions that started a program had their variables. */
static __attribute__((noinline)) void go_on(void)
{
    char room[8000];
    memset(room, 0x55, sizeof room);
    __asm__ volatile("" ::"r"(room) : "memory");
}

static int ended(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A shell, the descriptor of which by that number is another one, or as it was. */
static int spawn(char *command, int fd, int number)
{
    char *words[] = {"sh", "-c", command, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    posix_spawn_file_actions_init(&actions);
    if (fd != number)
        posix_spawn_file_actions_adddup2(&actions, fd, number);
    int error = posix_spawnp(&child, "sh", &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    memset(command, '?', strlen(command));
    go_on();
    return error ? -1 : ended(child);
}

static int spawn_with_actions(char *command)
{
    int ends[2];
    char said[16] = "";
    if (pipe2(ends, O_CLOEXEC))
        return -1;
    int status = spawn(command, ends[1], STDOUT_FILENO);
    close(ends[1]);
    ssize_t size = read(ends[0], said, sizeof said - 1);
    close(ends[0]);
    return size > 0 && atoi(said) == status ? status : -1;
}

static int run_vfork(char *command)
{
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    memset(command, '?', strlen(command));
    go_on();
    return child < 0 ? -1 : ended(child);
}

static int run_popen(char *command, const char *mode, int expected)
{
    FILE *stream = popen(command, mode);
    int said = expected;
    memset(command, '?', strlen(command));
    go_on();
    if (!stream)
        return -1;
    if (*mode == 'w')
        fprintf(stream, "%d\n", expected);
    else if (fscanf(stream, "%d", &said) != 1)
        said = -1;
    int status = pclose(stream);
    return said == expected && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct wanted {
    enum program_start how;
    int status;
};

static void *start(void *it)
{
    struct wanted *wanted = it;
    char *command = malloc(64);
    if (wanted->how == BY_POPEN_TO_WRITE)
        strcpy(command, "read status; exit $status");
    else if (wanted->how == BY_SPAWN_WITH_ACTIONS || wanted->how == BY_POPEN_TO_READ)
        sprintf(command, "echo %d; exit %d", wanted->status, wanted->status);
    else
        sprintf(command, "exit %d", wanted->status);
    int status = wanted->status;
    switch (wanted->how) {
    case BY_SPAWN: status = spawn(command, 0, 0); break;
    case BY_SPAWN_WITH_ACTIONS: status = spawn_with_actions(command); break;
    case BY_VFORK: status = run_vfork(command); break;
    case BY_SYSTEM: status = system(command); status = WIFEXITED(status) ? WEXITSTATUS(status) : -1; break;
    case BY_POPEN_TO_READ: status = run_popen(command, "r", status); break;
    case BY_POPEN_TO_WRITE: status = run_popen(command, "w", status); break;
    default: status = -1;
    }
    free(command);
    wanted->status = status;
    return NULL;
}

int program_run(enum program_start how, int status, int in_thread)
{
    struct wanted wanted = {how, status};
    pthread_t thread;
    if (!in_thread)
        start(&wanted);
    else if (pthread_create(&thread, NULL, start, &wanted) || pthread_join(thread, NULL))
        return -1;
    return wanted.status;
}
