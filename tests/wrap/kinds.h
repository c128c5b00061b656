/* Every kind of parameter that can cross, in a library of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <wchar.h>

enum colour { RED, GREEN = 7 };
struct pair { int32_t x; double y; };
struct four { float a, b, c, d; };
struct big { uint64_t words[8]; };
union either { uint64_t word; float ratio; };
struct box;
struct stream { const unsigned char *in; size_t in_left; unsigned char *out; size_t out_left; struct box *box; int state; };
struct table { int (*add)(int, int); int (*twice)(int (*)(int), int); const char *name; };
typedef int (*unary)(int);
typedef int (*compare)(const void *, const void *);
typedef int (*visit)(void *context, const char *name, struct pair pair);
typedef void (*any)(void);
struct hooks { unary first; void *context; unary second; };

/* Numbers and structs by value. */
int64_t k_numbers(int8_t a, uint16_t b, int c, unsigned long d, _Bool e, enum colour f, float g, double h);
int k_many(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, double k);
struct pair k_pair(struct pair pair, int by);
struct four k_four(struct four four);
struct big k_big(struct big big);
union either k_either(union either either);

/* Memory. */
size_t k_length(const char *text);
uint32_t k_sum(const void *data, size_t size);
void k_fill(unsigned char *data, size_t size, int value);
uint32_t k_array(uint32_t c[2]);
int k_one(int *value);
size_t k_upper(const char *text, char *to, size_t to_size);
void k_move(const struct pair *from, struct pair *to);
const char *k_find(const char *text, int character);
long k_number(const char *text, char **end);
int k_strings(const char *const *strings);
const char *k_static(void);
char *k_made(const char *text);
void k_free(char *made);
int k_feed(struct stream *stream, size_t most);
void k_sort(void *base, size_t count, size_t size, compare by);

/* Objects of the library. */
struct box *k_box(int value);
int k_open(struct box *box);
int k_boxes(struct box **first);
void k_end(struct box *box);

/* Functions. */
int k_apply(unary f, int value);
int k_visit(visit f, void *context);
unary k_handler(unary f);
unary k_squarer(void);
int k_table(struct table *table);
const struct table *k_own_table(void);
void k_remember(unary f);
int k_recall(int value);
int k_nested(unary f, int depth);
void *k_get_proc(const char *name);
void k_get(unary *f);
int k_hooks(struct hooks hooks, int value);

/* Structs that the two sides lay out differently. */
struct odd { char first; int : 5; char second; struct epoll_event events[2]; int bits : 7; unsigned more : 20; };
struct odd k_odd(struct odd odd, int by);
int k_odd_there(struct odd *odd);
int k_events(struct epoll_event *events, int room, int wanted);
int k_event_sum(const struct epoll_event *events, int count);
int k_stat(struct stat *to);
nlink_t k_links(const struct stat *of);
int k_each(int (*each)(struct epoll_event *event, struct epoll_event copy), int count);

/* An object with a table of functions, as C++ has them. */
typedef const struct shape_table *shape;
struct shape_table {
    int (*area)(shape *self);
    void (*scale)(shape *self, unary by);
    shape *(*twin)(shape *self);
    int (*visit)(shape *self, int (*f)(shape *self, int number));
};
shape *k_square(int width);
int k_shape(shape **made, int width);
int k_area(shape *of);
void k_drop(shape *of);

/* Functions in structs that are used where they are. */
int k_filled(void (*fill)(struct hooks *hooks), int value);

/* printf. */
int k_format(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int k_vformat(char *to, size_t size, const char *format, va_list list) __attribute__((format(printf, 3, 0)));

/* A format of letters: i, l, d and s, and p for a pointer that is left out at times. */
int k_letters(char *to, size_t size, const char *letters, ...);

/* Functions like printf behind pointers, both ways. */
typedef int (*teller)(void *context, const char *format, int level, ...);
int k_tell(teller tell, void *context, int number, const char *text);
teller k_teller(void);
teller k_tellers(teller tell);

/* The same with a va_list, as functions that write logs have it, alone and in a struct. */
typedef int (*list_teller)(const char *format, va_list list, void *context);
struct log {
    list_teller tell;
    void *context;
};
int k_tell_list(list_teller tell, void *context, int number, const char *text);
list_teller k_list_teller(void);
int k_log(const struct log *log, const char *text);

/* An array of arrays: the sum of its rows, which are turned round. */
int k_grid(int grid[2][3]);

/* What follows depends on a parameter. */
enum { K_SET_NAME = 1, K_SET_RATIO, K_SET_HOOK, K_SET_PAIR, K_FILL };
#define K_GET_SUM 10
#define K_GET_COUNT 11
#define K_UNTOLD (K_GET_COUNT + 1)
int k_control(int what, struct box *box, ...);

/* Memory that the library maps: filled, and with holes where it was unmapped. */
unsigned char *k_map(size_t pages, int value);
int k_unmap(unsigned char *mapped, size_t first, size_t pages);

/* Files of the program. */
int k_copy(FILE *from, FILE *to);
int k_next(void);
int k_close(FILE *file);

/* Functions in an array and behind pointers to constants: the sum of what they make of a value. */
struct operations { unary all[2]; const struct hooks *more; };
int k_operate(const struct operations *operations, int value);

/* Declared in ways in which a generator has to take care. */
typedef int k_row[3];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-qualifiers"
const char *const k_const_text(void);
const int k_const_number(const int value);
#pragma GCC diagnostic pop
int k_const_row(const k_row row);
double k_counted_row(int n, const double row[n]);
_Float16 k_half(_Float16 value);
#define call not_what_you_mean
#define wrapper +
#define operation(x)

/* errno, and the worst. */
int k_errno(int value);
int k_crash(int value);
