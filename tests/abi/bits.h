/* Bit-fields. AAPCS64 lets bit-fields without a name align what they are in, and the
 * System V ABI does not. */
struct simple_bits { unsigned a : 3, b : 5, c : 24; };
struct signed_bits { int a : 3; int b : 5; };
struct char_bits { char a : 3; char b : 5; };
struct across_bits { unsigned a : 20, b : 20; };
struct mixed_bits { signed char c; int a : 4; long long b : 40; };
struct zero_bits { signed char a; int : 0; signed char b; };
struct nameless_bits { signed char a; int : 5; signed char b; };
struct named_bits { signed char a; int b : 5; signed char c; };
struct __attribute__((packed)) packed_bits { unsigned a : 3; unsigned b : 30; signed char c; };
struct bool_bits { _Bool a : 1, b : 1; };
enum bit_kind { KIND_A, KIND_B };
struct enum_bits { enum bit_kind a : 2, b : 2; };
struct zero_last_bits { signed char a; long : 0; };
struct other_bits {
#ifdef __x86_64__
    unsigned a : 4;
#else
    unsigned a : 5;
#endif
};
