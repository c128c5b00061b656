/* A library whose header is hard on generated code, for tests/wrap.rs. */
#ifndef ODD_H
#define ODD_H

#include <stddef.h>
#include <stdint.h>

typedef struct node *node;
struct item {
    const char *now;
    int size, values[2];
    int (*call)(int c);
    int *data;
    int count;
};
struct iotdec { int a; };

/* Known to the linker by other names: one that C gives to nothing, and two each other's. */
int odd_labelled(int value) __asm__("odd_label");
int odd_left(int value) __asm__("odd_right");
int odd_right(int value) __asm__("odd_left");

/* With bodies, which programs need not use, and which are others than the library's. */
extern inline __attribute__((__gnu_inline__)) int odd_inline(int value) { return -value; }
inline int odd_inline_too(int value) { return -value; }
inline struct iotdec odd_inline_refused(int **value) { return (struct iotdec){**value}; }

/* Called like what a generator could write for another one. */
int odd_sum(int size, int count);
int f_odd_sum(int value);
int m_odd_sum(int value);
int serve_0(int value);
int entry_0(int value);
int give_item(int value);
int back_item(struct item *item);

/* With parameters that hide what they are called like. */
node odd_node(int node);
int odd_value(node node);
size_t odd_length(const char *strlen, unsigned long uint64_t);
void odd_free(void *memory, void (*free)(void *memory));

int odd_item(struct item *item);
int odd_call(int (*function)(int now, const char *message), int value);
int odd_total(const int *data, int count);
int odd_text(const char *index, int p, int c, int k);
int odd_fails(int on_crash);
int odd_refused(int **where, struct iotdec by_value);
/* Of a type that not every libclang knows. */
_Float32 odd_float(_Float32 value);

#define ODD_LOST (-state)
#define ODD_ROOM limit
#define limit 4
#define state 5
void odd_fill(int *values);

#define now 17
#define size 5
#define count 3
#define item 9
#define values nothing
#define writes 4
#define counts 7
#define depth 8
#define c 4
#define p 4
#define k 4
#define at 2
#define sent 2
#define copy 1
#define call 3
#define data other_data
#define list 4
#define message 1
#define result 7
#define value(x) x
#define index(x) x
#define memcpy odd_memcpy
#define strlen(x) odd_strlen(x)
#define abort() odd_abort()
#define free odd_other_free
#define node a_node
#define odd_sum odd_other_sum
#define if(x) while (x)
#define volatile
#define unused not_an_attribute
#define visibility not_an_attribute
#define noreturn not_an_attribute

#endif
