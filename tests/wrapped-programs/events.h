/* A library of events: handlers that are set and come back, threads of its own, what each thread has of its own, and programs that it starts. */
#ifndef EVENTS_H
#define EVENTS_H
#include <stddef.h>
#include <stdint.h>

typedef int (*event_handler)(int number);
/* Like signal(): the former handler. */
event_handler event_set(event_handler handler);
/* What the handler returns, or -1 without one. */
int event_raise(int number);
/* A handler of the library's own: twice the number. */
event_handler event_doubler(void);

typedef uint64_t (*ticked)(uint64_t number, void *user);
struct ticker;
/* A thread that calls back so many times. */
struct ticker *ticker_start(ticked f, void *user, uint64_t times);
/* The sum of what was returned. */
uint64_t ticker_join(struct ticker *ticker);

typedef void (*told)(const char *text, void *user);
enum thread_end { BY_RETURN, BY_EXIT, BY_CANCEL, IN_C11, THREAD_ENDS };
/* A thread that calls back with text of its own, on its stack, and ends so. 0, or 1 if it could not. */
int thread_tells(told f, void *user, int number, enum thread_end end);

/* How often this thread has called it. */
uint64_t thread_calls(void);
/* errno as it was; it becomes `value`. */
int thread_errno(int value);
/* f(times, user) + ... + f(2, user) + f(1, user), with that number as errno in each. */
uint64_t thread_fold(ticked f, void *user, uint64_t times);
/* A sum of numbers, each of which is turned over. */
uint64_t thread_sum(uint32_t *numbers, size_t numbers_count);

enum program_start { BY_SPAWN, BY_SPAWN_WITH_ACTIONS, BY_VFORK, BY_SYSTEM, BY_POPEN_TO_READ, BY_POPEN_TO_WRITE, PROGRAM_STARTS };
/* The status with which a program ends that is to end with this one, up to 99; -1 if it went otherwise. From a thread of the library's, if wanted. */
int program_run(enum program_start how, int status, int in_thread);
#endif
