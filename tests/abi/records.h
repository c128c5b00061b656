/* Structs and unions. */
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

struct plain { int size; double ratio; char name[8]; };
struct linked { int value; struct linked *next; };
struct opaque;
struct holds_opaque { struct opaque *inner; };
struct nested { struct plain first, second[2]; };
struct one_char { char c; };
struct one_wide { wchar_t w; };
struct floats2 { float x, y; };
struct floats3 { float x, y, z; };
struct doubles4 { double v[4]; };
struct doubles5 { double v[5]; };
struct mixed { double d; long l; };
struct three_longs { long a, b, c; };
struct precise_inside { int n; long double value; };
struct complex_inside { double _Complex z; };
struct large_inside { signed char c; __int128 value; };
struct vector_inside { float vector __attribute__((vector_size(16))); };
struct wide_vector_inside { int vector __attribute__((vector_size(32))); };
struct tail { int n; char data[]; };
struct old_tail { int n; char data[0]; };
struct empty { };
struct __attribute__((packed)) tight { signed char c; long l; };
#pragma pack(push, 2)
struct by_pragma { signed char c; long l; };
#pragma pack(pop)
struct __attribute__((aligned(64))) aligned { int n; };
struct aligned_field { signed char c; int n __attribute__((aligned(32))); };

/* On the host alone, as epoll_event is. */
#ifdef __x86_64__
#define HOST_PACKED __attribute__((packed))
#else
#define HOST_PACKED
#endif
struct host_packed { uint32_t events; uint64_t data; } HOST_PACKED;
struct holds_host_packed { int n; struct host_packed events[2]; };
struct points_to_host_packed { struct host_packed *events; };
struct host_packed_tail { uint32_t n; uint64_t last; char data[]; } HOST_PACKED;
struct other_order {
#ifdef __x86_64__
    int first; signed char second;
#else
    signed char second; int first;
#endif
};
struct other_width {
#ifdef __x86_64__
    long count;
#else
    int count;
#endif
    int n;
};
struct other_fields {
    int n;
#ifdef __x86_64__
    int here;
#else
    int there;
#endif
};
struct further_field {
    int n;
#ifdef __x86_64__
    int here;
#endif
};
struct other_kind {
#ifdef __x86_64__
    long value;
#else
    double value;
#endif
};
struct other_length {
#ifdef __x86_64__
    int values[4];
#else
    int values[6];
#endif
};

union either { int number; float ratio; char bytes[4]; };
union differing {
    int number;
#ifdef __x86_64__
    long wide;
#else
    int wide;
#endif
};
union other_members {
    int number;
#ifdef __x86_64__
    float ratio;
#endif
};
union precise_or_not { long double precise; double rough; };
struct anonymous_inside { int tag; union { int number; float ratio; }; struct { short a, b; }; };
struct anonymous_differing { int tag; union { struct host_packed p; signed char c; }; };
typedef struct { int x, y; } without_tag;
