/* As the generator would write it: -ffixed-r10 -DIOTDEC_ENTRIES, for amd64. */
#include "iotdec_wrapper.h"
#include "messages.h"
#include "sample.h"

static void serve_function(void *p, void *target)
{
    struct m_int3 *m = p;
    int result = ((function) target)(m->a);
    m->result = result;
}
static int entry_function(int);

static void (*const serve[])(void *, void *) = {serve_function};
static void *const entries[] = {(void *) entry_function};

static struct iotdec_wrapper wrapper = {
    .version = IOTDEC_WRAPPER_VERSION,
    .functions = FUNCTIONS,
    .signatures = SIGNATURES,
    .fingerprint = FINGERPRINT,
    .name = "libsample.so",
    .library = LIBRARY,
    .guest_part = "libsample-guest.so",
    .serve = serve,
    .entries = entries,
};

/* -2 is what every call returns that fails. */
#define CALL(type, field, on_crash, fill, after) \
    struct iotdec_call c; \
    struct type *m = iotdec_call_begin(&c, &wrapper, sizeof *m); \
    if (!m) \
        return on_crash; \
    fill; \
    __typeof__(m->field) result = iotdec_call_run(&c, number) ? m->field : (__typeof__(m->field)) on_crash; \
    after; \
    iotdec_call_end(&c)

static int entry_function(int a)
{
    void *target = iotdec_target;
    struct iotdec_call c;
    struct m_int3 *m = iotdec_call_begin(&c, &wrapper, sizeof *m);
    if (!m)
        return -2;
    m->a = a;
    int result = iotdec_call_pointer(&c, SIG_function, target) ? m->result : -2;
    iotdec_call_end(&c);
    return result;
}

static int call_int(uint32_t number, int a, int b)
{
    CALL(m_int3, result, -2, (m->a = a, m->b = b), );
    return result;
}

static int call_function(uint32_t number, function f, int a, int b)
{
    CALL(m_function, result, -2,
         (m->f = iotdec_give_function(&c, (void (*)(void)) f, SIG_function), m->a = a, m->b = b), );
    return result;
}

static function return_function(uint32_t number, function f)
{
    function function_ = 0;
    CALL(m_function, function, 0, (m->f = iotdec_give_function(&c, (void (*)(void)) f, SIG_function)),
         function_ = (function) iotdec_take_function(&c, result, SIG_function));
    return function_;
}

void empty(void)
{
    struct iotdec_call c;
    if (iotdec_call_begin(&c, &wrapper, 0)) {
        iotdec_call_run(&c, F_empty);
        iotdec_call_end(&c);
    }
}

const char *describe(int n)
{
    uint32_t number = F_describe;
    const char *text = 0;
    CALL(m_function, function, 0, m->a = n, text = iotdec_check_string(&c, result));
    return text;
}

int *shared_counter_address(void) { return iotdec_symbol(&wrapper, "shared_counter", sizeof(int)); }
int count_shared(void) { return call_int(F_count_shared, 0, 0); }
int add(int a, int b) { return call_int(F_add, a, b); }
int swap_errno(int value) { return call_int(F_swap_errno, value, 0); }
int count_calls(void) { return call_int(F_count_calls, 0, 0); }
int call_handler(int n) { return call_int(F_call_handler, n, 0); }
int jump_inside(int value) { return call_int(F_jump_inside, value, 0); }
int call_back(function f, int n, int times) { return call_function(F_call_back, f, n, times); }
int nest(function f, int depth) { return call_function(F_nest, f, depth, 0); }
int call_from_thread(function f, int n) { return call_function(F_call_from_thread, f, n, 0); }
function swap_handler(function handler) { return return_function(F_swap_handler, handler); }
function get_doubler(void) { return return_function(F_get_doubler, 0); }

uint32_t so_lib_function_a(uint32_t c_[2])
{
    uint32_t number = F_so_lib_function_a;
    void *copy = 0;
    CALL(m_array, result, 0, (copy = iotdec_in(&c, c_, 8), m->c = (uint64_t) copy),
         iotdec_back(&c, c_, copy, 8));
    return result;
}

int misbehave(enum misdeed what, uint64_t argument)
{
    uint32_t number = what == WILD_CALLBACK ? F_wild : F_misbehave;
    CALL(m_misbehave, result, -2, (m->what = what, m->argument = argument), );
    return result;
}
