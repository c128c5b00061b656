/*
 * iotdec_bridge.h: what the native parts of all generated wrapper libraries have in common. Part of each of them.
 */
#include "iotdec_operations.h"
#include "iotdec_text.h"
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#define IOTDEC_UNUSED __attribute__((__unused__))
#define IOTDEC_BITS(pointer) ((uint64_t)(uintptr_t)(pointer))

/* The library's description, which the generated code defines. */
static struct iotdec_wrapper iotdec_wrapper;

/* Fails a call that cannot be made. */
static IOTDEC_UNUSED void iotdec_complain(struct iotdec_wrapper *wrapper, const char *why)
{
    struct iotdec_call call;

    if (iotdec_call_begin(&call, wrapper, 16)) {
        iotdec_call_fail(&call, why);
        iotdec_call_end(&call);
    }
}

/* A function that is not wrapped is called. */
static IOTDEC_UNUSED void iotdec_refuse(struct iotdec_wrapper *wrapper, const char *function, const char *why)
{
    char text[400];

    snprintf(text, sizeof text, "%s is not wrapped: %s", function, why);
    iotdec_complain(wrapper, text);
}

/* A variadic function is called in a way that is not declared. */
static IOTDEC_UNUSED void iotdec_no_variant(struct iotdec_wrapper *wrapper, const char *function, const char *selector,
                                            long long value)
{
    char text[400];

    snprintf(text, sizeof text,
             "%s: nothing says what follows when %s is %lld; say in wrap.toml: [function.%s] variants.%lld = \"TYPES\", "
             "or instead of the number the constant that it is",
             function, selector, value, function, value);
    iotdec_complain(wrapper, text);
}

/* So many elements, in bytes. */
static IOTDEC_UNUSED size_t iotdec_bytes(struct iotdec_call *call, long long count, size_t element)
{
    size_t size;

    if (count >= 0 && !__builtin_mul_overflow((size_t)count, element, &size) && size <= LONG_MAX)
        return size;
    iotdec_call_fail(call, "the number of elements at a pointer is negative or too large");
    return 0;
}

/* The same at a pointer. If that is shared, nothing is copied, and the library may think of a negative number what it
   likes. */
static IOTDEC_UNUSED size_t iotdec_bytes_at(struct iotdec_call *call, const void *at, long long count, size_t element)
{
    if (count < 0 && iotdec_is_shared(at, 1))
        return 0;
    return iotdec_bytes(call, count, element);
}

/* A word of a message, which the library can write at any time. */
#define IOTDEC_ONCE(word) (*(__volatile__ __typeof__(word) *)&(word))

/* A copy of what the library can write: what is looked at in it is what is used of it. */
#define IOTDEC_KEEP(copy) __asm__ __volatile__("" : : "r"(&(copy)) : "memory")

/* A pointer in a copy of a struct that the library passed or returned. */
static IOTDEC_UNUSED uint64_t iotdec_held(const void *record, size_t offset)
{
    uint64_t pointer;

    IOTDEC_KEEP(*(const char *)record);
    memcpy(&pointer, (const char *)record + offset, sizeof pointer);
    return pointer;
}

/* Whether so many elements are where most of what both sides have is; of what is not, iotdec_check knows. */
static IOTDEC_UNUSED int iotdec_is_near(uint64_t pointer, long long count, size_t element)
{
    const struct iotdec_reach *reach = __atomic_load_n(&iotdec_wrapper.reach, __ATOMIC_ACQUIRE);
    size_t size;

    if (!reach || count < 0 || __builtin_mul_overflow((size_t)count, element, &size))
        return 0;
    for (int range = 0; range < 2; range++) {
        uint64_t offset = pointer - reach->ranges[range].start;

        if (offset <= reach->ranges[range].size && size <= reach->ranges[range].size - offset)
            return 1;
    }
    return !pointer || !size;
}

/* Leaves what is the same already, for it may be a constant. */
static IOTDEC_UNUSED void iotdec_store(const void *to, const void *from, size_t size)
{
    if (memcmp(to, from, size))
        memcpy((void *)to, from, size);
}

/* A pointer to a function in memory that both sides use. It is replaced where the two can call the function at another
   address only, if the memory may be written: it was not reached as a constant, or no constant can be there. */
static IOTDEC_UNUSED void iotdec_meet(struct iotdec_call *call, const void *at, void *function, uint32_t signature,
                                      int writes)
{
    uint64_t met = iotdec_meet_function(call, function, signature);

    if (met != IOTDEC_BITS(function) && (writes || iotdec_is_near(IOTDEC_BITS(at), 1, sizeof met)))
        memcpy((void *)at, &met, sizeof met);
}

/* Conversion of structs that are laid out differently. */
#define IOTDEC_TOO_LARGE(what) "there is no room for the value of " what " on the other side"

static IOTDEC_UNUSED uint64_t iotdec_get_bits(const unsigned char *from, size_t at, unsigned count)
{
    uint64_t bits = 0;

    for (unsigned bit = 0; bit < count; bit++, at++)
        bits |= (uint64_t)(from[at / 8] >> at % 8 & 1) << bit;
    return bits;
}

static IOTDEC_UNUSED void iotdec_put_bits(unsigned char *to, size_t at, unsigned count, uint64_t bits)
{
    for (unsigned bit = 0; bit < count; bit++, at++)
        to[at / 8] = (unsigned char)((to[at / 8] & ~(1U << at % 8)) | (bits >> bit & 1) << at % 8);
}

static IOTDEC_UNUSED const char *iotdec_text(struct iotdec_call *call, const void *text)
{
    return iotdec_in(call, text, text ? strlen(text) + 1 : 0);
}

/* `count` strings, or those up to a null if it is negative. */
static IOTDEC_UNUSED const char **iotdec_texts(struct iotdec_call *call, const void *texts, long long count)
{
    const char *const *from = texts;
    const char **to;
    size_t number = 0;

    if (!from)
        return NULL;
    if (count < 0)
        while (from[number])
            number++;
    else
        number = (size_t)count;
    to = iotdec_take(call, iotdec_bytes(call, (long long)number + 1, sizeof *to));
    if (iotdec_call_failed(call))
        return NULL;
    for (size_t index = 0; index < number; index++)
        to[index] = iotdec_text(call, from[index]);
    to[number] = NULL;
    return to;
}

/* File descriptors that a function returns: the library's, and then the program's. What it leaves alone is that. */
#define IOTDEC_LEFT_ALONE INT_MIN
struct iotdec_descriptors {
    size_t room, count, next;
    struct iotdec_descriptor all[IOTDEC_MAX_DESCRIPTORS];
};

/* Where the library puts some, of so many bytes. */
static IOTDEC_UNUSED int32_t *iotdec_room_for_descriptors(struct iotdec_call *call,
                                                          struct iotdec_descriptors *descriptors, size_t bytes)
{
    int32_t *room = iotdec_take(call, bytes);

    if (bytes / sizeof *room > IOTDEC_MAX_DESCRIPTORS - descriptors->room) {
        iotdec_call_fail(call, "there is room for more than 16 file descriptors, which one call cannot return");
        return room;
    }
    descriptors->room += bytes / sizeof *room;
    for (size_t index = 0; index < bytes / sizeof *room; index++)
        room[index] = IOTDEC_LEFT_ALONE;
    return room;
}

static IOTDEC_UNUSED void iotdec_add_descriptors(struct iotdec_descriptors *descriptors, const void *from, size_t bytes,
                                                 int is_lent)
{
    const int32_t *numbers = from;

    for (size_t index = 0; index < bytes / sizeof *numbers; index++)
        if (descriptors->count < IOTDEC_MAX_DESCRIPTORS)
            descriptors->all[descriptors->count++] =
                (struct iotdec_descriptor){IOTDEC_ONCE(numbers[index]), (uint32_t)is_lent};
}

static IOTDEC_UNUSED int iotdec_next_descriptor(struct iotdec_descriptors *descriptors)
{
    return descriptors->all[descriptors->next++].number;
}

static IOTDEC_UNUSED void iotdec_put_descriptors(struct iotdec_descriptors *descriptors, void *to, size_t bytes)
{
    for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
        int number = iotdec_next_descriptor(descriptors);

        if (number != IOTDEC_LEFT_ALONE)
            memcpy((char *)to + at, &number, sizeof number);
    }
}

/* Of a call that has failed. */
static IOTDEC_UNUSED void iotdec_no_descriptors(void *to, long long bytes)
{
    const int none = -1;

    for (long long at = 0; to && at + (long long)sizeof none <= bytes; at += (long long)sizeof none)
        memcpy((char *)to + at, &none, sizeof none);
}

/* A copy that is never given back. */
static IOTDEC_UNUSED void *iotdec_keep(struct iotdec_call *call, const void *memory, size_t size)
{
    void *copy;

    if (!memory || iotdec_is_shared(memory, size))
        return (void *)memory;
    copy = iotdec_malloc(size ? size : 1);
    if (!copy) {
        iotdec_call_fail(call, "no shared memory is left for what the library keeps");
        return NULL;
    }
    return memcpy(copy, memory, size);
}

/* Where a pointer that came back is in the program, if it is into a copy or just behind it. */
static IOTDEC_UNUSED int iotdec_home(uint64_t *pointer, const void *copy, const void *memory, size_t size)
{
    if (!copy || copy == memory || *pointer - IOTDEC_BITS(copy) > size)
        return 0;
    *pointer = IOTDEC_BITS(memory) + (*pointer - IOTDEC_BITS(copy));
    return 1;
}

/* The same for pointers that the library has written. */
static IOTDEC_UNUSED void iotdec_homes(void *pointers, size_t bytes, const void *copy, const void *memory, size_t size)
{
    for (size_t at = 0; at + sizeof(uint64_t) <= bytes; at += sizeof(uint64_t)) {
        uint64_t pointer;

        memcpy(&pointer, (char *)pointers + at, sizeof pointer);
        if (iotdec_home(&pointer, copy, memory, size))
            memcpy((char *)pointers + at, &pointer, sizeof pointer);
    }
}

/*
 * Copies that stay at their address: the library remembers it. Found by the address of what they are copies of; a
 * further object at the same address gets the same one.
 */
struct iotdec_kept {
    struct iotdec_kept *next;
    void *memory, *copy;
    size_t size;
    /* The generated code's own: what it sent last. */
    void *state;
};

static IOTDEC_UNUSED pthread_mutex_t iotdec_kept_lock = PTHREAD_MUTEX_INITIALIZER;
static IOTDEC_UNUSED struct iotdec_kept *iotdec_kept_all[1024];

static IOTDEC_UNUSED struct iotdec_kept *iotdec_kept(struct iotdec_call *call, void *memory, size_t size, size_t state)
{
    struct iotdec_kept **chain = &iotdec_kept_all[IOTDEC_BITS(memory) / 16 % 1024], *kept;

    pthread_mutex_lock(&iotdec_kept_lock);
    for (kept = *chain; kept; kept = kept->next)
        if (kept->memory == memory && kept->size == size)
            break;
    if (!kept) {
        kept = calloc(1, sizeof *kept);
        if (kept) {
            *kept = (struct iotdec_kept){*chain, memory, NULL, size, calloc(1, state)};
            kept->copy = iotdec_is_shared(memory, size) ? memory : iotdec_calloc(1, size);
            if (kept->copy && kept->state) {
                *chain = kept;
            } else {
                if (kept->copy != memory)
                    iotdec_free(kept->copy);
                free(kept->state);
                free(kept);
                kept = NULL;
            }
        }
    }
    pthread_mutex_unlock(&iotdec_kept_lock);
    if (!kept)
        iotdec_call_fail(call, "no memory is left for a struct that the library keeps");
    return kept;
}

/* Of which object this is the copy. */
static IOTDEC_UNUSED struct iotdec_kept *iotdec_kept_of(const void *copy, size_t size)
{
    struct iotdec_kept *kept = NULL;

    pthread_mutex_lock(&iotdec_kept_lock);
    for (size_t chain = 0; copy && !kept && chain < 1024; chain++)
        for (kept = iotdec_kept_all[chain]; kept; kept = kept->next)
            if (kept->copy == copy && kept->size == size)
                break;
    pthread_mutex_unlock(&iotdec_kept_lock);
    return kept;
}

/*
 * Objects of the library that begin with the address of a table of functions. The program gets another object in the
 * place of each, in memory of its own: a table of functions that it can call, whatever the library writes into its
 * own later. It is the same one for as long as the library has an object of that kind at that address.
 */
#define IOTDEC_NO_SIGNATURE UINT32_MAX
struct iotdec_interface {
    const char *name;
    size_t count;
    const uint32_t *signatures;
};

struct iotdec_object {
    /* Where the program looks. */
    void **table;
    const struct iotdec_interface *interface;
    uint64_t home;
    struct iotdec_object *next_by_home, *next_by_address;
};

static IOTDEC_UNUSED pthread_mutex_t iotdec_objects_lock = PTHREAD_MUTEX_INITIALIZER;
static IOTDEC_UNUSED struct iotdec_object *iotdec_objects_by_home[256], *iotdec_objects_by_address[256];

static IOTDEC_UNUSED size_t iotdec_object_chain(uint64_t address)
{
    return (address >> 4 ^ address >> 12) % 256;
}

/* What is in a table for a function that cannot cross. */
static IOTDEC_UNUSED uint64_t iotdec_no_function(void)
{
    fprintf(stderr, "iotdec: %s: a function of an object is called whose parameters cannot cross; the ABI report "
                    "tells why\n", iotdec_wrapper.name);
    return 0;
}

/* The library's object for one of the program's; 0 if it is none that the library handed out. */
static IOTDEC_UNUSED uint64_t iotdec_known_object(struct iotdec_call *call, const struct iotdec_interface *interface,
                                                  const void *object)
{
    const struct iotdec_object *known;
    uint64_t home = 0;

    (void)call;
    pthread_mutex_lock(&iotdec_objects_lock);
    for (known = iotdec_objects_by_address[iotdec_object_chain(IOTDEC_BITS(object))]; known;
         known = known->next_by_address)
        if (known == object && known->interface == interface)
            home = known->home;
    pthread_mutex_unlock(&iotdec_objects_lock);
    return home;
}

static IOTDEC_UNUSED uint64_t iotdec_give_object(struct iotdec_call *call, const struct iotdec_interface *interface,
                                                 const void *object)
{
    uint64_t home = iotdec_known_object(call, interface, object);
    char text[200];

    if (home)
        return iotdec_handle(call, (const void *)(uintptr_t)home);
    if (object) {
        snprintf(text, sizeof text, "an object with a %s that the library did not hand out", interface->name);
        iotdec_call_fail(call, text);
    }
    return 0;
}

static IOTDEC_UNUSED void *iotdec_take_object(struct iotdec_call *call, const struct iotdec_interface *interface,
                                              uint64_t home)
{
    struct iotdec_object *object = NULL, **by_home, **by_address;
    const uint64_t *at, *functions;

    if (!home || !(at = iotdec_check(call, home, sizeof *at)))
        return NULL;
    functions = iotdec_check(call, __atomic_load_n(at, __ATOMIC_RELAXED), interface->count * sizeof *functions);
    if (!functions) {
        iotdec_call_fail(call, "an object of the library without a table of functions");
        return NULL;
    }
    pthread_mutex_lock(&iotdec_objects_lock);
    by_home = &iotdec_objects_by_home[iotdec_object_chain(home)];
    for (object = *by_home; object; object = object->next_by_home)
        if (object->home == home && object->interface == interface)
            break;
    if (!object) {
        /* In front of a table of C++ are an offset and what the type is called: none. */
        void **table = calloc(interface->count + 2, sizeof *table);

        object = malloc(sizeof *object);
        if (!object || !table) {
            free(table);
            free(object);
            pthread_mutex_unlock(&iotdec_objects_lock);
            iotdec_call_fail(call, "no memory is left for an object");
            return NULL;
        }
        by_address = &iotdec_objects_by_address[iotdec_object_chain(IOTDEC_BITS(object))];
        *object = (struct iotdec_object){table + 2, interface, home, *by_home, *by_address};
        *by_home = *by_address = object;
    }
    for (size_t index = 0; index < interface->count; index++) {
        uint32_t signature = interface->signatures[index];
        void *function = (void *)iotdec_no_function;

        if (signature != IOTDEC_NO_SIGNATURE)
            function = iotdec_take_function(call, __atomic_load_n(&functions[index], __ATOMIC_RELAXED), signature);
        __atomic_store_n(&object->table[index], function, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&iotdec_objects_lock);
    return object;
}

/*
 * Arguments as a function with a variable number of them takes them on aarch64: numbers and addresses in the
 * registers that are left, floating point numbers in others, and what finds no place, in order, on the stack.
 */
#define IOTDEC_STACK_WORDS 32
struct iotdec_arguments {
    uint64_t general[8], stack[IOTDEC_STACK_WORDS];
    double floating[8];
};

struct iotdec_placing {
    struct iotdec_call *call;
    struct iotdec_arguments *arguments;
    unsigned generals, floatings, general, floating, stacked;
};

static IOTDEC_UNUSED void iotdec_place_word(struct iotdec_placing *to, uint64_t word)
{
    if (to->general < to->generals)
        to->arguments->general[to->general++] = word;
    else if (to->stacked < IOTDEC_STACK_WORDS)
        to->arguments->stack[to->stacked++] = word;
    else
        iotdec_call_fail(to->call, "more arguments after a format than can cross");
}

static IOTDEC_UNUSED void iotdec_place_double(struct iotdec_placing *to, double number)
{
    uint64_t word;

    if (to->floating < to->floatings) {
        to->arguments->floating[to->floating++] = number;
        return;
    }
    memcpy(&word, &number, sizeof word);
    if (to->stacked < IOTDEC_STACK_WORDS)
        to->arguments->stack[to->stacked++] = word;
    else
        iotdec_call_fail(to->call, "more arguments after a format than can cross");
}

/*
 * Finds out from a format as for printf what the arguments are, and places them; `strings` are conversions beyond `s`
 * that take a string.
 */
static IOTDEC_UNUSED void iotdec_format(struct iotdec_placing *to, const char *format, const char *strings,
                                        struct iotdec_list *from)
{
    while (format && (format = strchr(format, '%'))) {
        long precision = -1;
        int longs = 0, is_big = 0;
        char conversion;

        format += 1 + strspn(format + 1, "-+ #0'I!,");
        if (*format == '*') {
            iotdec_place_word(to, (uint64_t)(int64_t)va_arg(from->list, int));
            format++;
        }
        format += strspn(format, "0123456789");
        if (*format == '$') {
            iotdec_call_fail(to->call, "a format with numbered arguments cannot cross");
            return;
        }
        if (*format == '.') {
            format++;
            if (*format == '*') {
                precision = va_arg(from->list, int);
                iotdec_place_word(to, (uint64_t)precision);
                format++;
            } else {
                precision = strtol(format, (char **)&format, 10);
            }
        }
        for (;; format++) {
            if (*format == 'l')
                longs++;
            else if (*format == 'q' && !strchr(strings, 'q'))
                longs = 2;
            else if (*format == 'j' || *format == 'z' || *format == 't') {
                /* As one conversion that SQLite has. */
                if (*format == 'z' && strchr(strings, 'z'))
                    break;
                longs = 1;
            } else if (*format == 'L')
                is_big = 1;
            else if (*format != 'h')
                break;
        }
        conversion = *format;
        if (!conversion)
            return;
        format++;
        if (conversion == '%')
            continue;
        if (conversion == 's' || conversion == 'S' || strchr(strings, conversion)) {
            const char *text = va_arg(from->list, const char *);
            size_t size;

            if (conversion == 'S' && !strchr(strings, 'S'))
                longs = 1;
            if (!text)
                size = 0;
            else if (conversion != 's' && conversion != 'S')
                size = strlen(text) + 1;
            else if (longs)
                size = precision < 0 ? (wcslen((const wchar_t *)text) + 1) * sizeof(wchar_t)
                                     : wcsnlen((const wchar_t *)text, precision) * sizeof(wchar_t);
            else
                size = precision < 0 ? strlen(text) + 1 : strnlen(text, precision);
            /* One byte more than the precision would let it read, lest it be shared memory of nothing. */
            text = text && !size ? iotdec_in(to->call, "", 1) : iotdec_in(to->call, text, size);
            iotdec_place_word(to, IOTDEC_BITS(text));
        } else if (strchr("aAeEfFgG", conversion)) {
            if (is_big) {
                iotdec_call_fail(to->call, "a long double after a format cannot cross");
                return;
            }
            iotdec_place_double(to, va_arg(from->list, double));
        } else if (conversion == 'p') {
            iotdec_place_word(to, IOTDEC_BITS(va_arg(from->list, void *)));
        } else if (strchr("dic", conversion)) {
            iotdec_place_word(to, longs ? (uint64_t)va_arg(from->list, long)
                                        : (uint64_t)(int64_t)va_arg(from->list, int));
        } else if (strchr("ouxX", conversion)) {
            iotdec_place_word(to, longs ? va_arg(from->list, unsigned long) : va_arg(from->list, unsigned));
        } else if (conversion != 'm') {
            iotdec_call_fail(to->call, "a conversion of a format is not known, or writes to memory");
            return;
        }
    }
}

/* The same for a format of letters; `letters` has each that stands for an argument, and after it of which kind. */
static IOTDEC_UNUSED void iotdec_letters(struct iotdec_placing *to, const char *format, const char *letters,
                                         struct iotdec_list *from)
{
    for (; format && *format; format++) {
        const char *known = letters;
        void *pointer;

        while (*known && *known != *format)
            known += 2;
        switch (*known ? known[1] : 0) {
        case 'i':
            iotdec_place_word(to, (uint64_t)(int64_t)va_arg(from->list, int));
            break;
        case 'l':
            iotdec_place_word(to, (uint64_t)va_arg(from->list, long));
            break;
        case 'd':
            iotdec_place_double(to, va_arg(from->list, double));
            break;
        case 's':
            iotdec_place_word(to, IOTDEC_BITS(iotdec_text(to->call, va_arg(from->list, const char *))));
            break;
        case 'p':
            iotdec_place_word(to, iotdec_shared(to->call, va_arg(from->list, void *), "an argument after the format"));
            break;
        case 'o':
            pointer = va_arg(from->list, void *);
            iotdec_place_word(to, iotdec_is_shared(pointer, 1) ? IOTDEC_BITS(pointer) : 0);
            break;
        default:
            break;
        }
    }
}

/* FILEs that the library was given, and may use from now on. */
static IOTDEC_UNUSED struct iotdec_lent {
    struct iotdec_lent *next;
    FILE *file;
} *iotdec_lent;
static IOTDEC_UNUSED pthread_mutex_t iotdec_lent_lock = PTHREAD_MUTEX_INITIALIZER;

/* Finds a FILE there; adds it, or takes it off, if that is wanted. Whether it was there. */
static IOTDEC_UNUSED int iotdec_lend(FILE *file, int add, int take)
{
    struct iotdec_lent **at, *lent;

    pthread_mutex_lock(&iotdec_lent_lock);
    for (at = &iotdec_lent; *at && (*at)->file != file; at = &(*at)->next)
        continue;
    lent = *at;
    if (lent && take) {
        *at = lent->next;
        free(lent);
    } else if (!lent && add) {
        struct iotdec_lent *new = malloc(sizeof *new);

        if (new) {
            new->file = file;
            new->next = iotdec_lent;
            iotdec_lent = new;
        }
    }
    pthread_mutex_unlock(&iotdec_lent_lock);
    return lent != NULL;
}

/* What the library does with a FILE: the native end of iotdec_streams.h. Nothing of it is believed. */
static IOTDEC_UNUSED long iotdec_operate(void *stream, int operation, void *memory, long number)
{
    FILE *file = stream;
    size_t done;
    int64_t offset;

    if (number < 0 || !iotdec_lend(file, 0, operation == IOTDEC_CLOSE))
        return -1;
    switch (operation) {
    case IOTDEC_READ:
        if (!iotdec_is_shared(memory, (size_t)number))
            return -1;
        done = fread(memory, 1, (size_t)number, file);
        return done == 0 && ferror(file) ? -1 : (long)done;
    case IOTDEC_WRITE:
        if (!iotdec_is_shared(memory, (size_t)number))
            return -1;
        return (long)fwrite(memory, 1, (size_t)number, file);
    case IOTDEC_SEEK:
        if (!iotdec_is_shared(memory, sizeof offset))
            return -1;
        memcpy(&offset, memory, sizeof offset);
        if (fseeko(file, offset, (int)number))
            return -1;
        offset = ftello(file);
        memcpy(memory, &offset, sizeof offset);
        return 0;
    case IOTDEC_CLOSE:
        return fclose(file);
    default:
        return -1;
    }
}

/* A FILE in a message: its address, and who does what is to be done with it. */
static IOTDEC_UNUSED uint64_t *iotdec_stream(struct iotdec_call *call, FILE *file, uint32_t signature)
{
    uint64_t *given;

    if (!file)
        return NULL;
    iotdec_lend(file, 1, 0);
    given = iotdec_take(call, 2 * sizeof *given);
    given[0] = IOTDEC_BITS(file);
    given[1] = IOTDEC_BITS(iotdec_give_function(call, (void (*)(void))iotdec_operate, signature));
    return given;
}
