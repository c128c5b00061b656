/* Calls what odd.h declares, for tests/wrap.rs. Its macros are not for programs like this one. */
#include <stdio.h>
#include <string.h>

static size_t length(const char *text) { return strlen(text); }

#include "odd.h"
#undef now
#undef size
#undef values
#undef call
#undef data
#undef count
#undef item
#undef node
#undef odd_sum
#undef c
#undef if
#undef volatile

static int failures;

#define IS(what)                                                 \
    do {                                                         \
        if (!(what)) {                                           \
            failures++;                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
        }                                                        \
    } while (0)

static int ten_times(int number) { return 10 * number; }
static int longer(int number, const char *text) { return number + (int)length(text); }
static void *released;
static void release(void *memory) { released = memory; }

int main(void)
{
    int data[2] = {4, 5}, filled[5] = {9, 9, 9, 9, 9};
    struct item item = {"now", 3, {0, 0}, ten_times, data, 2};

    IS(odd_labelled(1) == 2 && odd_left(1) == 3 && odd_right(1) == 4);
    int (*volatile inlined[])(int) = {odd_inline, odd_inline_too};
    IS(inlined[0](1) == 10 && inlined[1](1) == 11);
    IS(odd_sum(1, 2) == 3 && f_odd_sum(1) == 5 && m_odd_sum(1) == 6);
    IS(serve_0(1) == 7 && entry_0(1) == 8 && give_item(1) == 9 && back_item(&item) == 3);
    IS(odd_value(odd_node(7)) == 7 && odd_length("odd", 4) == 7);
    odd_free(&item, release);
    IS(released == &item);
    IS(odd_item(&item) == 30 && item.values[1] == 8 && item.now[0] == 'n' && item.data == data);
    IS(odd_call(longer, 3) == 7 && odd_total(data, 2) == 9 && odd_text("x", 1, 2, 3) == 'x' + 6);
    odd_fill(filled);
    IS(filled[0] == 0 && filled[3] == 3 && filled[4] == 9);
    IS(odd_float(1) == 0);
    IS(odd_fails(1) == -5);
    return failures;
}
