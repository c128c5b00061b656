/* Constants, some of which are other numbers on each side. */
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>

#define SAME 7
#define SAME_EXPRESSION (SAME * 3 + sizeof(long))
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY)
#define LOWEST CHAR_MIN
#define SIZE_OF_WIDEST sizeof(long double)
#define FORMAT_OF_WIDEST __LDBL_MANT_DIG__
#define IS_CHAR_SIGNED ((char)-1 < 0)
#define LARGEST ((size_t)-1)
#ifdef __x86_64__
#define HOST_ALONE 1
#else
#define GUEST_ALONE -2
#endif
/* No integers, and worse. */
#define NAME "constants"
#define RATIO 1.5
#define NOTHING
#define BEGIN {
#define END }
#define OPENING (
#define TYPE unsigned long
#define CALLS(x) ((x) + 1)
#define CAST ((void (*)(void))-1)
#define STATEMENT do { } while (0)
#define AFTER_THE_WORST __LDBL_MAX_EXP__ + __LDBL_DIG__

enum named { NAMED_SAME, NAMED_LOWEST = CHAR_MIN };
enum { LOOSE_SAME = 3, LOOSE_DIRECT = O_DIRECT };
