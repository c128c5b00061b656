/* A library for aarch64 with one function of each kind that calls without generated code are tried with. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct point {
    int16_t x;
    double y;
    char name[8];
};

enum colour { RED, GREEN = 7 };

uint64_t add_ten(uint8_t a, int8_t b, uint16_t c, int16_t d, uint32_t e, int32_t f, uint64_t g, int64_t h, int8_t i,
                 int64_t j)
{
    return a + b + c + d + e + f + g + h + i + j;
}

double weighted(float a, double b, int n)
{
    return (a + b) * n;
}

struct point moved(struct point p, int by)
{
    p.x += by;
    p.y = -p.y;
    p.name[0] = 'm';
    return p;
}

void reverse(char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n / 2; i++) {
        char c = text[i];

        text[i] = text[n - 1 - i];
        text[n - 1 - i] = c;
    }
}

int64_t sum(const int32_t *values, size_t n, int64_t *squares)
{
    int64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += values[i];
        squares[i] = (int64_t) values[i] * values[i];
    }
    return sum;
}

size_t total_length(const char *const *texts)
{
    size_t n = 0;

    while (*texts)
        n += strlen(*texts++);
    return n;
}

int is_null(const void *p)
{
    return p == NULL;
}

enum colour other(enum colour c)
{
    return c == RED ? GREEN : RED;
}

int fails(void)
{
    errno = ENOSPC;
    return -1;
}

const char *greeting(void)
{
    return "hello from aarch64";
}

static int calls;

int count(void)
{
    return ++calls;
}

static int *volatile nowhere = (int *) 16;

void crash(void)
{
    *nowhere = 1;
}

void leave(int status)
{
    _exit(status);
}

static int twice(int n)
{
    return 2 * n;
}

int (*get_function(void))(int)
{
    return twice;
}

void set_point(struct point *p)
{
    p->x = 3;
    strcpy(p->name, "set");
}

/* Calls back: nested, and on a thread of its own. */
int apply(int (*f)(int), int n)
{
    return f(n) + f(n + 1);
}

struct task {
    int (*f)(int);
    int n, result;
};

static void *run(void *data)
{
    struct task *task = data;

    task->result = task->f(task->n);
    return NULL;
}

int apply_elsewhere(int (*f)(int), int n)
{
    struct task task = {f, n, 0};
    pthread_t thread;

    pthread_create(&thread, NULL, run, &task);
    pthread_join(thread, NULL);
    return task.result;
}
