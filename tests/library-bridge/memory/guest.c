/* The guest part, as the generator would write it. */
#include "iotdec_guest.h"
#include "memory.h"

void serve(enum what, struct message *);

#define FUNCTION(what) static void f_##what(void *m) { serve(what, m); }
FUNCTION(MAKE_TEXT)
FUNCTION(MAKE_LIST)
FUNCTION(SUM_LIST)
FUNCTION(FREE_LIST)
FUNCTION(FREE)
FUNCTION(RESIZE)
FUNCTION(USABLE_SIZE)
FUNCTION(WITH_CPLUSPLUS)
FUNCTION(WITH_ZLIB)
FUNCTION(SPAWN)
FUNCTION(LARGE)

static void (*const functions[])(void *) = {
    f_MAKE_TEXT, f_MAKE_LIST, f_SUM_LIST, f_FREE_LIST, f_FREE, f_RESIZE, f_USABLE_SIZE, f_WITH_CPLUSPLUS, f_WITH_ZLIB,
    f_SPAWN, f_LARGE,
};

const struct iotdec_guest iotdec_guest = {
    .version = IOTDEC_GUEST_VERSION,
    .functions = FUNCTION_COUNT,
    .fingerprint = 1,
    .function = functions,
};
