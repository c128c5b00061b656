/* The native part, as the generator would write it. */
#include "iotdec_wrapper.h"
#include "memory.h"

static struct iotdec_wrapper wrapper = {
    .version = IOTDEC_WRAPPER_VERSION,
    .functions = FUNCTION_COUNT,
    .fingerprint = 1,
    .name = "libmemory.so",
    .library = LIBRARY,
    .guest_part = "libmemory-guest.so",
};

uint64_t library(enum what what, uint64_t a, uint64_t b)
{
    struct iotdec_call c;
    struct message *m = iotdec_call_begin(&c, &wrapper, sizeof *m);
    if (!m)
        return -1;
    m->a = a;
    m->b = b;
    uint64_t result = iotdec_call_run(&c, what) ? m->result : (uint64_t) -1;
    iotdec_call_end(&c);
    return result;
}
