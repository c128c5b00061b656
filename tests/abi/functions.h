/* Functions, and pointers to some. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <sys/epoll.h>

typedef int (*compare)(const void *, const void *);
typedef void (*with_list)(const char *format, va_list list);
typedef void (*variadic)(const char *format, ...);
typedef long double (*precise)(int);
typedef int (*of_stat)(struct stat *);
typedef void (*nested)(compare inner, void *data);
typedef void (*nested_refused)(with_list inner);
struct methods { int (*read)(void *, char *, int); void (*close)(void *); };
struct methods_refused { int (*read)(void *, char *, int); void (*log)(const char *, va_list); };
struct points_to_methods { struct methods_refused *methods; };
struct self { int (*call)(struct self *); };

int integers(char a, unsigned short b, long long c, _Bool d, wchar_t e);
double floating(float a, double b);
struct pair { double x, y; } by_value(struct pair p);
int takes_stat(struct stat *s);
int takes_stat_twice(struct stat **s);
struct epoll_event returns_event(int n);
int takes_file(FILE *file);
int takes_jmp_buf(jmp_buf buffer);
int prints(const char *format, ...) __attribute__((format(printf, 1, 2)));
int variadic_without(int count, ...);
int lists(const char *format, va_list list);
long double long_doubles(long double x);
int takes_methods(struct methods *m);
int old_style();
typedef int eight __attribute__((vector_size(32)));
eight wide_vector(eight v);
typedef float four __attribute__((vector_size(16)));
four vector(four v);
int pointer_to_wide_vector(eight *v);
__int128 large(__int128 x);
double _Complex complex_number(double _Complex z);
int other_parameters(int a
#ifdef __x86_64__
    , int b
#endif
    );
