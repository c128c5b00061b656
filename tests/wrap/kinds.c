#include "kinds.h"
#include <stdarg.h>
#include <sys/mman.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct box { int value; };

int64_t k_numbers(int8_t a, uint16_t b, int c, unsigned long d, _Bool e, enum colour f, float g, double h)
{
    return a + b + c + (int64_t)d + e + f + (int64_t)(g * 4) + (int64_t)h;
}
int k_many(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, double k)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + (int)k;
}
struct pair k_pair(struct pair pair, int by) { return (struct pair){pair.x * by, pair.y * by}; }
struct four k_four(struct four four) { return (struct four){four.d, four.c, four.b, four.a}; }
struct big k_big(struct big big)
{
    for (int i = 0; i < 8; i++)
        big.words[i] = ~big.words[i];
    return big;
}
union either k_either(union either either) { either.word++; return either; }

size_t k_length(const char *text) { return text ? strlen(text) : (size_t)-1; }
uint32_t k_sum(const void *data, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + ((const unsigned char *)data)[i];
    return sum;
}
void k_fill(unsigned char *data, size_t size, int value) { memset(data, value, size); }
uint32_t k_array(uint32_t c[2]) { uint32_t sum = c[0] + c[1]; c[0] = sum; return sum; }
int k_one(int *value) { return value ? (*value)++ : -1; }
size_t k_upper(const char *text, char *to, size_t to_size)
{
    size_t i;
    for (i = 0; text[i] && i < to_size; i++)
        to[i] = (char)toupper(text[i]);
    return i;
}
void k_move(const struct pair *from, struct pair *to) { *to = *from; }
const char *k_find(const char *text, int character) { return strchr(text, character); }
long k_number(const char *text, char **end) { return strtol(text, end, 10); }
int k_strings(const char *const *strings)
{
    int length = 0;
    for (; *strings; strings++)
        length += (int)strlen(*strings);
    return length;
}
const char *k_static(void) { return "of the library"; }
char *k_made(const char *text) { return strdup(text); }
void k_free(char *made) { free(made); }
int k_feed(struct stream *stream, size_t most)
{
    size_t done = 0;
    while (done < most && stream->in_left && stream->out_left) {
        *stream->out++ = (unsigned char)(*stream->in++ ^ 0x20);
        stream->in_left--;
        stream->out_left--;
        done++;
    }
    stream->state++;
    return (int)done;
}
void k_sort(void *base, size_t count, size_t size, compare by) { qsort(base, count, size, by); }

struct box *k_box(int value)
{
    struct box *box = malloc(sizeof *box);
    box->value = value;
    return box;
}
int k_open(struct box *box) { return box->value; }
int k_boxes(struct box **first) { *first = k_box(77); return 1; }
void k_end(struct box *box) { free(box); }

static unary remembered, handler;
static int square(int value) { return value * value; }
static int add(int a, int b) { return a + b; }
static int twice(int (*f)(int), int value) { return f(f(value)); }
static const struct table own_table = {add, twice, "own"};

int k_apply(unary f, int value) { return f(value) + 1; }
int k_visit(visit f, void *context)
{
    int sum = 0;
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%d", i);
        sum += f(context, name, (struct pair){i, i / 2.0});
    }
    return sum;
}
unary k_handler(unary f) { unary old = handler; handler = f; return old; }
unary k_squarer(void) { return square; }
int k_table(struct table *table)
{
    int result = table->add(3, 4) * 100 + table->twice(square, 2) + (int)strlen(table->name);
    table->add = add;
    return result;
}
const struct table *k_own_table(void) { return &own_table; }
void k_remember(unary f) { remembered = f; }
int k_recall(int value) { return remembered(value); }
int k_nested(unary f, int depth) { return depth ? f(depth - 1) + 1 : 0; }
void *k_get_proc(const char *name)
{
    if (!strcmp(name, "square"))
        return (void *)square;
    return strcmp(name, "add") ? NULL : (void *)add;
}
int k_hooks(struct hooks hooks, int value) { return hooks.second(hooks.first(value)); }
void k_get(unary *f) { *f = square; }

struct odd k_odd(struct odd odd, int by)
{
    odd.first += by;
    odd.second -= by;
    odd.events[1].events += by;
    odd.events[1].data.u64 *= by;
    odd.bits = -odd.bits;
    odd.more += by;
    return odd;
}
int k_odd_there(struct odd *odd) { *odd = k_odd(*odd, 3); return odd->more; }
int k_events(struct epoll_event *events, int room, int wanted)
{
    int i;
    for (i = 0; i < room && i < wanted; i++)
        events[i] = (struct epoll_event){.events = EPOLLIN << i, .data.u64 = 0x1234567800000000 + i};
    return i;
}
int k_event_sum(const struct epoll_event *events, int count)
{
    int sum = 0;
    for (int i = 0; i < count; i++)
        sum += events[i].events * 100 + (int)events[i].data.u64;
    return sum;
}
int k_stat(struct stat *to)
{
    to->st_dev += 1;
    to->st_ino += 2;
    to->st_mode += 3;
    to->st_nlink += 4;
    to->st_blksize += 5;
    to->st_size = -to->st_size;
    to->st_mtim.tv_nsec += 6;
    return 0;
}
nlink_t k_links(const struct stat *of) { return of->st_nlink; }
int k_each(int (*each)(struct epoll_event *event, struct epoll_event copy), int count)
{
    int sum = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = 7, .data.fd = i};
        sum += each(&event, event) + event.events + event.data.fd;
    }
    return sum;
}

int k_filled(void (*fill)(struct hooks *hooks), int value)
{
    struct hooks *hooks = calloc(1, sizeof *hooks);
    hooks->first = square;
    fill(hooks);
    int result = hooks->second(hooks->first(value));
    free(hooks);
    return result;
}

struct square { shape table; int width; };
static int area(shape *self) { int width = ((struct square *)self)->width; return width * width; }
static void scale(shape *self, unary by) { struct square *square = (void *)self; square->width = by(square->width); }
static shape *twin(shape *self) { return k_square(((struct square *)self)->width); }
static int visit_shape(shape *self, int (*f)(shape *, int)) { return f(self, 1) + f(NULL, 2) + f(self, 3); }
static const struct shape_table square_table = {area, scale, twin, visit_shape};
shape *k_square(int width)
{
    struct square *square = malloc(sizeof *square);
    *square = (struct square){&square_table, width};
    return &square->table;
}
int k_shape(shape **made, int width)
{
    if (width < 0)
        return -1;
    *made = k_square(width);
    return 0;
}
int k_area(shape *of) { return of ? (*of)->area(of) : -1; }
void k_drop(shape *of) { free((void *)of); }

int k_format(char *to, size_t size, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = vsnprintf(to, size, format, list);
    va_end(list);
    return length;
}
int k_vformat(char *to, size_t size, const char *format, va_list list) { return vsnprintf(to, size, format, list); }

static FILE *last;
int k_copy(FILE *from, FILE *to)
{
    char line[100];
    if (!fgets(line, sizeof line, from))
        return feof(from) ? 0 : -1;
    last = from;
    return fprintf(to, "<%s>", line);
}
int k_next(void)
{
    int c = getc(last);
    return ungetc(c, last);
}
int k_close(FILE *file) { return fseek(file, 0, SEEK_END) ? -1 : (int)ftell(file) + fclose(file); }

int k_letters(char *to, size_t size, const char *letters, ...)
{
    char one[64];
    va_list list;
    va_start(list, letters);
    *to = 0;
    for (; *letters; letters++) {
        switch (*letters) {
        case 'i': snprintf(one, sizeof one, "%d", va_arg(list, int)); break;
        case 'l': snprintf(one, sizeof one, "%ld", va_arg(list, long)); break;
        case 'd': snprintf(one, sizeof one, "%g", va_arg(list, double)); break;
        case 's': snprintf(one, sizeof one, "%s", va_arg(list, const char *)); break;
        case 'p': snprintf(one, sizeof one, "%s", va_arg(list, void *) ? "set" : "null"); break;
        default: snprintf(one, sizeof one, "%c", *letters);
        }
        strncat(to, one, size - strlen(to) - 1);
    }
    va_end(list);
    return (int)strlen(to);
}
int k_tell(teller tell, void *context, int number, const char *text)
{
    return tell(context, "%d %s %.2f|%d%d%d%d%d %g%g%g%g%g%g%g%g%g %lld %%", 2, number, text, number / 4.0, 1, 2, 3, 4, 5, 1.5,
                2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 1LL << 40);
}
static int tell(void *context, const char *format, int level, ...)
{
    va_list list;
    va_start(list, level);
    int length = vsnprintf(context, 40, format, list);
    va_end(list);
    return level * 1000 + length;
}
teller k_teller(void) { return tell; }
teller k_tellers(teller tell) { return tell; }
static int tell_list(const char *format, va_list list, void *context) { return vsnprintf(context, 40, format, list); }
static int list(list_teller tell, void *context, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int told = tell(format, list, context);
    va_end(list);
    return told;
}
int k_tell_list(list_teller tell, void *context, int number, const char *text)
{
    return list(tell, context, "%d %s %.2f|%d%d%d%d%d %g", number, text, number / 4.0, 1, 2, 3, 4, 5, 1.5);
}
list_teller k_list_teller(void) { return tell_list; }
int k_log(const struct log *log, const char *text) { return list(log->tell, log->context, "log: %s", text); }
int k_grid(int grid[2][3])
{
    int sum = 0;
    for (int column = 0; column < 3; column++) {
        int above = grid[0][column];
        sum += above + 10 * grid[1][column];
        grid[0][column] = grid[1][column];
        grid[1][column] = above;
    }
    return sum;
}
int k_control(int what, struct box *box, ...)
{
    static int sum, count;
    int result = box != NULL;
    va_list list;
    va_start(list, box);
    count++;
    switch (what) {
    case K_SET_NAME: {
        const char *name = va_arg(list, const char *);
        result += (int)strlen(name) + va_arg(list, int);
        break;
    }
    case K_SET_RATIO: {
        double ratio = va_arg(list, double);
        result += (int)(ratio * (double)va_arg(list, long));
        break;
    }
    case K_SET_HOOK: {
        int (*hook)(void *, struct pair) = va_arg(list, int (*)(void *, struct pair));
        result += hook(va_arg(list, void *), (struct pair){3, 0.5});
        break;
    }
    case K_SET_PAIR: {
        struct pair pair = va_arg(list, struct pair);
        struct four four = va_arg(list, struct four);
        double number = va_arg(list, double);
        struct big big = va_arg(list, struct big);
        result += pair.x + (int)(pair.y + four.a + four.d + number) + (int)big.words[7];
        break;
    }
    case K_FILL: {
        unsigned char *data = va_arg(list, unsigned char *);
        memset(data, 'k', va_arg(list, size_t));
        break;
    }
    case K_GET_SUM: *va_arg(list, int *) = sum; break;
    case K_GET_COUNT: *va_arg(list, int *) = count; break;
    default: result = -1;
    }
    va_end(list);
    sum += result;
    return result;
}
unsigned char *k_map(size_t pages, int value)
{
    int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    unsigned char *mapped = mmap(NULL, pages * 4096 - 1, protection, flags, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    /* It is zero, whatever was there before. */
    for (size_t i = 0; i < pages * 4096; i++)
        if (mapped[i])
            return NULL;
    memset(mapped, value, pages * 4096);
    /* It may be protected when it is unmapped, and others get it. */
    if (value == 'p')
        mprotect(mapped, 4096, PROT_NONE);
    return mapped;
}
int k_unmap(unsigned char *mapped, size_t first, size_t pages)
{
    return munmap(mapped + first * 4096, pages * 4096);
}

int k_operate(const struct operations *operations, int value)
{
    return operations->all[0](value) + operations->all[1](value) + operations->more->second(value);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-qualifiers"
const char *const k_const_text(void) { return "constant"; }
const int k_const_number(const int value) { return value + 1; }
#pragma GCC diagnostic pop
int k_const_row(const k_row row) { return row[0] + row[1] + row[2]; }
double k_counted_row(int n, const double row[n])
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += row[i];
    return sum;
}
_Float16 k_half(_Float16 value) { return value * 2; }

int k_errno(int value) { errno = value; return -1; }
int k_crash(int value) { *(volatile int *)(uintptr_t)(unsigned)value = 1; return value; }
