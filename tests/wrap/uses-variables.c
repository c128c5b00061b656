/* Reads and writes the variables of a library, as any program does that was written for it. */
#include "variables.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what) ((what) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #what), exit(1)))

static int seen;

static void changed(int level)
{
    seen = level;
    /* The library's own is this already. */
    CHECK(var_level == level);
    CHECK(var_get_level() == level);
    var_level = level + 1;
}

static int thrice(int value) { return 3 * value; }

static void before_any_call(void)
{
    CHECK(strcmp(var_version, "1.2.3") == 0);
    CHECK(strcmp(var_build, "release") == 0);
    CHECK(var_primes[4] == 11);
    CHECK(var_level == 7);
    CHECK(strcmp(var_name, "nobody") == 0);
    CHECK(var_origin.x == 1 && strcmp(var_origin.label, "origin") == 0);
    CHECK(strcmp(var_operations.name, "plain") == 0);
    CHECK(var_operations.add(2, 3) == 5);
    CHECK(var_operations.more[0].negate(4) == -4 && !var_operations.more[1].negate);
    CHECK(var_twice(21) == 42);
    CHECK(!var_on_change);
}

static void both_ways(void)
{
    static char name[] = "somebody else";

    var_level = 9;
    CHECK(var_get_level() == 9);
    var_set_level(10);
    CHECK(var_level == 10 && var_table[3] == 10);
    var_table[1] = 100;
    CHECK(var_sum() == 1 + 100 + 3 + 10);
    var_name = name;
    CHECK(var_name_length() == 13 && var_name == name);
    var_move(0.25);
    CHECK(var_origin.y == 0.75 && strcmp(var_origin.label, "moved") == 0);
    var_origin.x = 5;
    var_origin.label = "here";
    CHECK(var_origin_x_plus_y() == 5.75 && var_label_length() == 4);
    CHECK(var_call_twice(4) == 8);
    var_twice = thrice;
    CHECK(var_call_twice(4) == 12 && var_twice == thrice);
    var_fill_buffer('x');
    CHECK(var_buffer && var_buffer[15] == 'x');
    errno = 0;
    CHECK(var_fails() == -1 && errno == EDOM && var_level == 11);
}

static void in_callbacks(void)
{
    var_on_change = changed;
    var_set_level(20);
    CHECK(seen == 20);
    CHECK(var_level == 21 && var_table[3] == 21);
    var_on_change = NULL;
    var_set_level(30);
    CHECK(seen == 20 && var_level == 30);
}

static void by_name(void)
{
    int *level = dlsym(RTLD_DEFAULT, "var_level");

    CHECK(level);
    *level = 40;
    CHECK(var_get_level() == 40);
    var_set_level(41);
    CHECK(*level == 41);
    CHECK(!dlsym(RTLD_DEFAULT, "var_precise") || getenv("NATIVE"));
    CHECK(!dlsym(RTLD_DEFAULT, "var_own") || getenv("NATIVE"));
}

static void *adds(void *number)
{
    for (int sum = 1, i = 0; i < 100; i++)
        CHECK(var_add_to_own(*(int *)number) == (sum += *(int *)number));
    return NULL;
}

/* By functions of the library, what each thread has is its own. */
static void own_of_threads(void)
{
    int numbers[] = {1, 10, 100};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, adds, &numbers[i]) == 0);
    adds(&numbers[2]);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* A new worker has what the library begins with, and what the program has set since. */
static void anew(void)
{
    var_set_level(50);
    var_crash();
    var_table[0] = 1000;
    CHECK(var_get_level() == 7 && var_level == 7);
    CHECK(var_sum() == 1000 + 2 + 3 + 4);
    CHECK(var_operations.add(2, 3) == 5 && var_twice(21) == 42);
}

int main(int argc, char **argv)
{
    before_any_call();
    both_ways();
    in_callbacks();
    by_name();
    own_of_threads();
    if (argc > 1 && strcmp(argv[1], "anew") == 0)
        anew();
    return 0;
}
