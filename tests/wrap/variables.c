#include "variables.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(int a, int b) { return a + b; }
static int negate(int a) { return -a; }
static int twice(int value) { return 2 * value; }

const char var_version[] = "1.2.3";
const char *const var_build = "release";
const int var_primes[5] = {2, 3, 5, 7, 11};
const struct var_operations var_operations = {"plain", add, {{negate}, {NULL}}};

int var_level = 7;
const char *var_name = "nobody";
double var_table[4] = {1, 2, 3, 4};
struct var_point var_origin = {1, 0.5, "origin"};
var_function var_twice = twice;
void (*var_on_change)(int level);
unsigned char *var_buffer;
long double var_precise = 1;
__thread int var_own = 1;

int var_add_to_own(int number) { return var_own += number; }

int var_get_level(void) { return var_level; }

void var_set_level(int level)
{
    var_level = level;
    if (var_on_change)
        var_on_change(level);
    /* What the callback has made of it. */
    var_table[3] = var_level;
}

int var_name_length(void) { return (int)strlen(var_name); }
double var_sum(void) { return var_table[0] + var_table[1] + var_table[2] + var_table[3]; }

void var_move(double by)
{
    var_origin.y += by;
    var_origin.label = "moved";
}

double var_origin_x_plus_y(void) { return var_origin.x + var_origin.y; }
int var_label_length(void) { return (int)strlen(var_origin.label); }
int var_call_twice(int value) { return var_twice(value); }

void var_fill_buffer(int value)
{
    if (!var_buffer)
        var_buffer = malloc(16);
    memset(var_buffer, value, 16);
}

int var_fails(void)
{
    var_level++;
    errno = EDOM;
    return -1;
}

void var_crash(void) { abort(); }
