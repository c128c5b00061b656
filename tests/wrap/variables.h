/* A library with exported variables of every kind. */
#ifndef VARIABLES_H
#define VARIABLES_H

#include <stddef.h>

struct var_point {
    short x;
    double y;
    const char *label;
};

struct var_operations {
    const char *name;
    int (*add)(int a, int b);
    struct {
        int (*negate)(int a);
    } more[2];
};

typedef int (*var_function)(int value);

/* Its size is the library's affair. */
extern const char var_version[];
extern const char *const var_build;
extern const int var_primes[5];
extern const struct var_operations var_operations;

extern int var_level;
extern const char *var_name;
extern double var_table[4];
extern struct var_point var_origin;
extern var_function var_twice;
extern void (*var_on_change)(int level);
extern unsigned char *var_buffer;

/* These cannot cross. */
extern long double var_precise;
extern __thread int var_own;
/* What it is for this thread, after adding to it. */
int var_add_to_own(int number);

int var_get_level(void);
void var_set_level(int level);
int var_name_length(void);
double var_sum(void);
void var_move(double by);
double var_origin_x_plus_y(void);
int var_label_length(void);
int var_call_twice(int value);
void var_fill_buffer(int value);
/* Sets errno to EDOM. */
int var_fails(void);
void var_crash(void);

#endif
