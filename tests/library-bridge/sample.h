/* A library as a vendor could have it, with everything that is hard to call from another architecture. */
#ifndef SAMPLE_H
#define SAMPLE_H
#include <stdint.h>

typedef int (*function)(int);

void empty(void);
int add(int a, int b);
/* That of the question the project comes from. */
uint32_t so_lib_function_a(uint32_t c[2]);
/* errno on entry; sets another one. */
int swap_errno(int value);
/* Calls of this thread so far. */
int count_calls(void);

/* Sum of f(n) so many times. */
int call_back(function f, int n, int times);
/* depth ? f(depth - 1) + 1 : 0 */
int nest(function f, int depth);
/* f(n), called by a thread of the library's own. */
int call_from_thread(function f, int n);
/* Like signal(): installs a handler, returns the former one. */
function swap_handler(function handler);
/* handler(n) */
int call_handler(int n);
/* A function of the library's, which doubles. */
function get_doubler(void);
/* Returns through longjmp from deep within the library. */
int jump_inside(int value);

/* A constant of the library's. */
const char *describe(int n);
/* A variable of the library's; the native part gives its address. */
extern int shared_counter;
int *shared_counter_address(void);
int count_shared(void);

/* What libraries do that are broken or hostile. */
enum misdeed { SEGFAULT, ABORT, EXIT, FORK, CLOSE_ALL, SCRIBBLE, HANG, OVERFLOW_STACK, WILD_CALLBACK };
int misbehave(enum misdeed, uint64_t argument);
#endif
