/* A native program that uses all of it, and knows nothing of wrappers. */
#include "kinds.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
#define IS(what)                                                                                                       \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            failures++;                                                                                                \
            printf("line %d: not so: %s\n", __LINE__, #what);                                                          \
        }                                                                                                              \
    } while (0)

static int triple(int value) { return value * 3; }
static int add(int a, int b) { return a + b; }
static int twice(int (*f)(int), int value) { return f(f(value)); }
static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static int nested(int depth) { return k_nested(nested, depth); }
static int visiting(void *context, const char *name, struct pair pair)
{
    strcat(context, name);
    return pair.x * 10 + (int)(pair.y * 2);
}
static int vformat(char *to, size_t size, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = k_vformat(to, size, format, list);
    va_end(list);
    return length;
}

static void values(void)
{
    IS(k_numbers(-3, 40000, -100000, 1UL << 40, 1, GREEN, 2.5f, -7.0) == -3 + 40000 - 100000 + (1L << 40) + 1 + 7 + 10 - 7);
    IS(k_many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000.5) == 1385);
    struct pair pair = k_pair((struct pair){6, 1.5}, 7);
    IS(pair.x == 42 && pair.y == 10.5);
    struct four four = k_four((struct four){1, 2, 3, 4});
    IS(four.a == 4 && four.b == 3 && four.c == 2 && four.d == 1);
    struct big big = k_big((struct big){{1, 2, 3, 4, 5, 6, 7, 8}});
    IS(big.words[0] == ~1ULL && big.words[7] == ~8ULL);
    IS(k_either((union either){.word = 99}).word == 100);
}

static void memory(void)
{
    IS(k_length("text") == 4 && k_length(NULL) == (size_t)-1);
    unsigned char bytes[1000];
    memset(bytes, 7, sizeof bytes);
    uint32_t sum = k_sum(bytes, sizeof bytes);
    k_fill(bytes + 1, sizeof bytes - 2, 9);
    IS(sum == k_sum("\7", 1) * 0 + sum && bytes[0] == 7 && bytes[1] == 9 && bytes[998] == 9 && bytes[999] == 7);
    k_fill(NULL, 0, 1);
    uint32_t two[2] = {30, 12};
    IS(k_array(two) == 42 && two[0] == 42 && two[1] == 12);
    int one = 41;
    IS(k_one(&one) == 41 && one == 42 && k_one(NULL) == -1);
    char upper[8] = "-------";
    IS(k_upper("abc", upper, sizeof upper) == 3 && !strcmp(upper, "ABC----"));
    struct pair from = {1, 2}, to = {0, 0};
    k_move(&from, &to);
    IS(to.x == 1 && to.y == 2);
    const char *text = "find me";
    IS(k_find(text, 'm') == text + 5 && !k_find(text, 'z'));
    char *end;
    IS(k_number(text + 7, &end) == 0 && k_number("123abc", NULL) == 123);
    const char *number = "456def";
    IS(k_number(number, &end) == 456 && end == number + 3);
    const char *const strings[] = {"one", "three", NULL};
    IS(k_strings(strings) == 8);
    char *made = k_made("made");
    IS(made && !strcmp(made, "made"));
    k_free(made);
    int numbers[] = {5, -3, 9, 0, 2};
    k_sort(numbers, 5, sizeof *numbers, by_value);
    IS(numbers[0] == -3 && numbers[1] == 0 && numbers[2] == 2 && numbers[3] == 5 && numbers[4] == 9);

    unsigned char out[16] = "................";
    struct stream stream = {(const unsigned char *)"ABCDEFGH", 8, out, 5, NULL, 0};
    IS(k_feed(&stream, 3) == 3 && stream.in_left == 5 && stream.out == out + 3 && stream.out_left == 2);
    IS(k_feed(&stream, 9) == 2 && stream.state == 2 && *stream.in == 'F');
    IS(!memcmp(out, "abcde...", 8));
}

/* More than a lane has room for, and of all together more than there is. */
static void large(void)
{
    size_t size = 48 << 20;
    unsigned char *data = malloc(size);
    for (int round = 0; round < 50; round++) {
        k_fill(data, size, round);
        IS(data[0] == round && data[size - 1] == round);
    }
    struct { int value, other[3]; } *all = (void *)data;
    size_t count = 60000;
    for (size_t index = 0; index < count; index++)
        all[index].value = (int)((unsigned)index * 2654435761u) / 4;
    k_sort(all, count, sizeof *all, by_value);
    size_t sorted = 1;
    while (sorted < count && all[sorted - 1].value <= all[sorted].value)
        sorted++;
    IS(sorted == count);
    free(data);
}

static void objects(void)
{
    struct box *box = k_box(5), *first = NULL;
    IS(k_open(box) == 5 && k_boxes(&first) == 1 && k_open(first) == 77);
    k_end(box);
    k_end(first);
}

static void functions(void)
{
    char names[32] = "";
    IS(k_hooks((struct hooks){triple, NULL, k_squarer()}, 2) == 36);
    IS(k_apply(triple, 5) == 16);
    IS(k_visit(visiting, names) == 33 && !strcmp(names, "n0n1n2"));
    IS(k_handler(triple) == NULL && k_handler(NULL) == triple);
    unary square = k_squarer();
    IS(square && square(9) == 81 && k_squarer() == square && k_apply(square, 3) == 10);
    k_handler(square);
    IS(k_handler(NULL) == square);
    struct table table = {add, twice, "mine"};
    IS(k_table(&table) == 700 + 16 + 4 && table.add != add && table.add(20, 22) == 42 && table.twice == twice);
    IS(!strcmp(table.name, "mine"));
    k_remember(triple);
    IS(k_recall(4) == 12);
    IS(k_nested(nested, 20) == 20);
    unary proc = (unary)k_get_proc("square");
    IS(proc && proc(5) == 25);
    IS(k_get_proc("none") == NULL);
    unary got = NULL;
    k_get(&got);
    IS(got == square);
}

static int each(struct epoll_event *event, struct epoll_event copy)
{
    IS(event->events == copy.events && event->data.u64 == copy.data.u64);
    event->events = 1000;
    return copy.data.fd;
}

static void repacked(void)
{
    struct odd odd = {5, 9, {{1, {.u64 = 10}}, {2, {.u64 = 0x100000001}}}, -17, 1000};
    struct odd other = k_odd(odd, 2);
    IS(other.first == 7 && other.second == 7 && other.bits == 17 && other.more == 1002);
    IS(other.events[0].events == 1 && other.events[0].data.u64 == 10);
    IS(other.events[1].events == 4 && other.events[1].data.u64 == 0x200000002);
    IS(k_odd_there(&odd) == 1003 && odd.first == 8 && odd.bits == 17 && odd.events[1].data.u64 == 0x300000003);
    struct epoll_event events[5];
    memset(events, 0x55, sizeof events);
    IS(k_events(events, 4, 3) == 3 && events[3].events == 0x55555555 && events[4].events == 0x55555555);
    for (int i = 0; i < 3; i++)
        IS(events[i].events == (uint32_t)EPOLLIN << i && events[i].data.u64 == 0x1234567800000000u + i);
    IS(k_event_sum(events, 3) == 703 && k_event_sum(NULL, 0) == 0);
    struct stat status = {.st_dev = 10, .st_ino = 20, .st_mode = 30, .st_nlink = 40, .st_blksize = 50, .st_size = 1L << 40};
    status.st_mtim.tv_nsec = 60;
    status.st_uid = 70;
    IS(k_stat(&status) == 0 && status.st_dev == 11 && status.st_ino == 22 && status.st_mode == 33);
    IS(status.st_nlink == 44 && status.st_blksize == 55 && status.st_size == -(1L << 40));
    IS(status.st_mtim.tv_nsec == 66 && status.st_uid == 70);
    IS(k_each(each, 3) == 3 + 3000 + 3);
}

static int counted(shape *self, int number) { return self ? (*self)->area(self) * number : 1000; }

static void shapes(void)
{
    shape *first = k_square(3), *second = first, *third = NULL;
    IS(k_shape(&second, 5) == 0 && second != first && k_shape(&third, -1) == -1 && !third);
    IS((*first)->area(first) == 9 && (*second)->area(second) == 25 && k_area(second) == 25 && k_area(NULL) == -1);
    (*first)->scale(first, triple);
    IS(k_area(first) == 81);
    third = (*first)->twin(first);
    IS(third != first && (*third)->area(third) == 81);
    IS((*second)->visit(second, counted) == 25 * 4 + 1000);
    k_drop(first);
    k_drop(second);
    k_drop(third);
    first = k_square(2);
    IS((*first)->area(first) == 4);
    k_drop(first);
}

/* At an address that no function of aarch64 can have. */
__asm__(".text\n.p2align 4\nnop\nodd_triple: lea (%rdi,%rdi,2), %eax\nret\n");
int odd_triple(int value);
static void fill(struct hooks *hooks)
{
    IS(hooks->first(5) == 25);
    hooks->second = odd_triple;
}
static void fill_both(struct hooks *hooks)
{
    hooks->first = triple;
    hooks->second = triple;
}

/* With a heap that is shared. */
static void shared(void)
{
    IS(k_filled(fill, 2) == 12 && k_filled(fill, 3) == 27 && k_filled(fill_both, 5) == 45);

    struct hooks *more = calloc(1, sizeof *more);
    struct operations *operations = calloc(1, sizeof *operations);
    more->second = triple;
    *operations = (struct operations) {{triple, triple}, more};
    IS(k_operate(operations, 5) == 45 && operations->all[1](2) == 6 && k_operate(operations, 6) == 54);
    free(operations);
    free(more);
}

static void formats(void)
{
    char text[200];
    IS(k_format(text, sizeof text, "plain %%") == 7 && !strcmp(text, "plain %"));
    k_format(text, sizeof text, "%d %s %5.2f %c %lu %x %.3s|%*d", -5, "text", 3.14159, 'z', 1UL << 40, 255u, "cutting", 4, 7);
    IS(!strcmp(text, "-5 text  3.14 z 1099511627776 ff cut|   7"));
    k_format(text, sizeof text, "%g %g %g %g %g %g %g %g %g %g %d %d %d %d %d %d %d %d", 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 1, 2,
             3, 4, 5, 6, 7, 8);
    IS(!strcmp(text, "1 2 3 4 5 6 7 8 9 10 1 2 3 4 5 6 7 8"));
    vformat(text, sizeof text, "%s %d %g %s %d %d %d %d %d %g", "a", 1, 2.5, "b", 3, 4, 5, 6, 7, 8.5);
    IS(!strcmp(text, "a 1 2.5 b 3 4 5 6 7 8.5"));
}

static void letters(void)
{
    char text[200];
    IS(k_letters(text, sizeof text, "i l,d;s.", -3, 1L << 40, 2.5, "text") == 26);
    IS(!strcmp(text, "-3 1099511627776,2.5;text."));
    IS(k_letters(text, sizeof text, "dididididididididididi", 1., 2, 3., 4, 5., 6, 7., 8, 9., 10, 11., 12, 13., 14, 15., 16,
                 17., 18, 19., 20, 21., 22) && !strcmp(text, "12345678910111213141516171819202122"));
    IS(k_letters(text, sizeof text, "p", NULL) == 4);
}

static int tell(void *context, const char *format, int level, ...)
{
    va_list list;
    va_start(list, level);
    int length = vsnprintf(context, 200, format, list);
    va_end(list);
    return level * 1000 + length;
}

static void tellers(void)
{
    char text[200];
    IS(k_tell(tell, text, -30, "text") == 2064);
    IS(!strcmp(text, "-30 text -7.50|12345 1.52.53.54.55.56.57.58.59.5 1099511627776 %"));
    IS(k_tellers(tell) == tell && k_tellers(k_teller()) == k_teller());
    char *shared = (char *)k_made("a long text, into which another is written");
    IS(k_teller()(shared, "%s: %d, %g", 7, "%d", 42, 0.5) == 7011);
    IS(!strcmp(shared, "%d: 42, 0.5"));
    IS(k_tell(k_teller(), shared, 1, "") == 2057);
    k_free(shared);
}

static int tell_list(const char *format, va_list list, void *context) { return vsnprintf(context, 200, format, list); }

static int list(list_teller tell, void *context, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int told = tell(format, list, context);
    va_end(list);
    return told;
}

static void list_tellers(void)
{
    char text[200];
    IS(k_tell_list(tell_list, text, -30, "text") == 24);
    IS(!strcmp(text, "-30 text -7.50|12345 1.5"));
    char *shared = (char *)k_made("a long text, into which another is written");
    IS(list(k_list_teller(), shared, "%s: %d, %g", "%d", 42, 0.5) == 11);
    IS(!strcmp(shared, "%d: 42, 0.5"));
    IS(k_tell_list(k_list_teller(), shared, 1, "") == 17);
    IS(k_log(&(struct log){tell_list, text}, "%s") == 7 && !strcmp(text, "log: %s"));
    k_free(shared);
}

static void grids(void)
{
    int grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
    IS(k_grid(grid) == 156);
    IS(grid[0][0] == 4 && grid[0][2] == 6 && grid[1][0] == 1 && grid[1][2] == 3);
}

static int hooked(void *user, struct pair pair)
{
    ++*(int *)user;
    return pair.x + (int)(pair.y * 100);
}

static void controls(void)
{
    struct box *box = k_box(1);
    unsigned char data[300] = {0};
    int user = 0, sum = -1, count = -1;
    IS(k_control(K_SET_NAME, box, "name", 30) == 35);
    IS(k_control(K_SET_NAME, NULL, "", -1) == -1);
    IS(k_control(K_SET_RATIO, NULL, 0.25, 1L << 10) == 256);
    IS(k_control(K_SET_HOOK, box, hooked, &user) == 54 && user == 1);
    IS(k_control(K_SET_PAIR, NULL, (struct pair){100, 0.5}, (struct four){1, 2, 3, 4.5F}, 1000.25,
                 (struct big){{0, 0, 0, 0, 0, 0, 0, 10000}}) == 11106);
    IS(k_control(K_FILL, NULL, data, sizeof data - 1) == 0 && data[298] == 'k' && data[299] == 0);
    IS(k_control(K_GET_SUM, NULL, &sum) == 0 && sum == 35 - 1 + 256 + 54 + 11106);
    IS(k_control(K_GET_COUNT, NULL, &count) == 0 && count == 8);
    k_end(box);
}

static void mapped(void)
{
    for (int round = 0; round < 20; round++) {
        unsigned char *few = k_map(3, 'p'), *many = k_map(600, 'm');
        IS(few && few[4096] == 'p' && few[3 * 4096 - 1] == 'p');
        IS(many && many[0] == 'm' && many[600 * 4096 - 1] == 'm');
        IS(k_unmap(few, 0, 3) == 0);
        if (round % 2) {
            IS(k_unmap(many, 0, 600) == 0);
        } else {
            IS(k_unmap(many, 0, 100) == 0 && many[100 * 4096] == 'm');
            IS(k_unmap(many, 100, 500) == 0);
        }
    }
}

static void files(void)
{
    char text[100];
    FILE *from = tmpfile(), *to = tmpfile();
    IS(fputs("one\ntwo\nthree\n", from) >= 0 && fseek(from, 4, SEEK_SET) == 0);
    IS(k_copy(from, to) == 6 && k_next() == 't');
    IS(k_copy(from, to) == 8 && k_copy(from, to) == 0 && feof(from));
    rewind(from);
    IS(k_copy(from, to) == 6);
    rewind(to);
    IS(fread(text, 1, sizeof text, to) == 20 && !memcmp(text, "<two\n><three\n><one\n>", 20));
    IS(k_close(to) == 20);
    fclose(from);
}

static void oddities(void)
{
    const k_row row = {1, 2, 39};
    const double numbers[] = {0.5, 1, 2};
    IS(!strcmp(k_const_text(), "constant") && k_const_number(41) == 42 && k_const_row(row) == 42);
    IS(k_counted_row(3, numbers) == 3.5 && k_half(1.25f) == 2.5f);
}

static void rest(void)
{
    errno = 0;
    IS(k_errno(EXDEV) == -1 && errno == EXDEV);
    const struct table *own = k_own_table();
    IS(own && !strcmp(own->name, "own") && own->add(20, 22) == 42 && own->twice(triple, 2) == 18);
    const char *text = k_static();
    IS(text && !strcmp(text, "of the library"));
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "crash")) {
        IS(k_crash(16) == -5);
        IS(k_apply(triple, 5) == 16);
        return failures;
    }
    if (argc > 1 && !strcmp(argv[1], "untold")) {
        int count = -1;
        IS(k_control(K_UNTOLD, NULL, 1) == -7);
        IS(k_control(K_GET_COUNT, NULL, &count) == 0 && count == 1);
        return failures;
    }
    if (argc > 1 && !strcmp(argv[1], "shared")) {
        shared();
        return failures;
    }
    values();
    memory();
    large();
    objects();
    functions();
    repacked();
    shapes();
    formats();
    letters();
    tellers();
    list_tellers();
    grids();
    controls();
    mapped();
    files();
    oddities();
    rest();
    return failures;
}
