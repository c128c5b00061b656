/* What a single value can be. */
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>
#include <stdarg.h>

typedef int plain_int;
typedef unsigned long long unsigned_long_long;
typedef long plain_long;
typedef char plain_char;
typedef signed char signed_char;
typedef char text[16];
typedef wchar_t wide_text[4];
typedef _Bool boolean;
typedef __int128 large;
typedef double real;
typedef long double precise;
typedef long double *precise_pointer;
typedef float _Complex complex_float;
typedef double _Complex complex_double;
typedef long double _Complex complex_precise;
typedef float four_floats __attribute__((vector_size(16)));
typedef int eight_ints __attribute__((vector_size(32)));
typedef _Atomic int atomic_int_here;
typedef va_list arguments;
enum ordinary { FIRST, SECOND };
enum negative { BELOW = -1, ABOVE };
enum wide { FAR = 0x100000000 };
enum __attribute__((packed)) narrow { LITTLE };
/* Its constants are other numbers on each side. */
enum measured { OF_LONG_DOUBLE = (char)-1 < 0, OTHER };
typedef uint32_t two_words[2];
