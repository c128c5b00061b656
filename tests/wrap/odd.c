/* The library that odd.h declares, as aarch64 has it. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct node { int value; };
struct item {
    const char *now;
    int size, values[2];
    int (*call)(int c);
    int *data;
    int count;
};
struct iotdec { int a; };

int odd_label(int value) { return value + 1; }
int odd_right(int value) { return value + 2; }
int odd_left(int value) { return value + 3; }

int odd_inline(int value) { return value + 9; }
int odd_inline_too(int value) { return value + 10; }
struct iotdec odd_inline_refused(int **value) { return (struct iotdec){**value + 11}; }

int odd_sum(int size, int count) { return size + count; }
int f_odd_sum(int value) { return value + 4; }
int m_odd_sum(int value) { return value + 5; }
int serve_0(int value) { return value + 6; }
int entry_0(int value) { return value + 7; }
int give_item(int value) { return value + 8; }
int back_item(struct item *item) { return item->size; }

struct node *odd_node(int value)
{
    struct node *node = malloc(sizeof *node);
    node->value = value;
    return node;
}
int odd_value(struct node *node) { return node->value; }
size_t odd_length(const char *text, unsigned long more) { return strlen(text) + more; }
void odd_free(void *memory, void (*release)(void *)) { release(memory); }

int odd_item(struct item *item)
{
    item->values[1] = item->size + item->data[1];
    return item->call((int)strlen(item->now));
}
int odd_call(int (*function)(int, const char *), int value) { return function(value, "text"); }
int odd_total(const int *data, int count)
{
    int total = 0;
    while (count-- > 0)
        total += *data++;
    return total;
}
int odd_text(const char *index, int p, int c, int k) { return index[0] + p + c + k; }
int odd_fails(int value) { abort(); return value; }
int odd_refused(int **where, struct iotdec by_value) { return **where + by_value.a; }
_Float32 odd_float(_Float32 value) { return value; }
void odd_fill(int *values)
{
    for (int i = 0; i < 4; i++)
        values[i] = i;
}
