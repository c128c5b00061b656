/* As the generator would write it: -ffixed-x18 -DIOTDEC_ENTRIES, for aarch64. */
#include "iotdec_guest.h"
#include "messages.h"
#include "sample.h"

static void f_empty(void *p) { (void) p; empty(); }
static void f_add(void *p) { struct m_int3 *m = p; m->result = add(m->a, m->b); }
static void f_so_lib_function_a(void *p) { struct m_array *m = p; m->result = so_lib_function_a((uint32_t *) m->c); }
static void f_swap_errno(void *p) { struct m_int3 *m = p; m->result = swap_errno(m->a); }
static void f_count_calls(void *p) { struct m_int3 *m = p; m->result = count_calls(); }
static void f_call_back(void *p) { struct m_function *m = p; m->result = call_back((function) m->f, m->a, m->b); }
static void f_nest(void *p) { struct m_function *m = p; m->result = nest((function) m->f, m->a); }
static void f_call_from_thread(void *p) { struct m_function *m = p; m->result = call_from_thread((function) m->f, m->a); }
static void f_swap_handler(void *p) { struct m_function *m = p; m->function = (uint64_t) swap_handler((function) m->f); }
static void f_call_handler(void *p) { struct m_int3 *m = p; m->result = call_handler(m->a); }
static void f_get_doubler(void *p) { struct m_function *m = p; m->function = (uint64_t) get_doubler(); }
static void f_jump_inside(void *p) { struct m_int3 *m = p; m->result = jump_inside(m->a); }
static void f_misbehave(void *p) { struct m_misbehave *m = p; m->result = misbehave(m->what, m->argument); }
static void f_describe(void *p) { struct m_function *m = p; m->function = (uint64_t) describe(m->a); }
static void f_count_shared(void *p) { struct m_int3 *m = p; m->result = count_shared(); }
/* A guest part gone bad: calls back what it was not given. */
static void f_wild(void *p)
{
    struct m_misbehave *m = p;
    struct iotdec_callback c;
    iotdec_callback_begin(&c, sizeof(struct m_int3));
    iotdec_callback_run(&c, &iotdec_guest, 0, (void *) m->argument);
    iotdec_callback_end(&c);
}

static void (*const functions[])(void *) = {
    f_empty, f_add, f_so_lib_function_a, f_swap_errno, f_count_calls, f_call_back, f_nest, f_call_from_thread,
    f_swap_handler, f_call_handler, f_get_doubler, f_jump_inside, f_misbehave, f_wild, f_describe,
    f_count_shared,
};

static void serve_function(void *p, void *target)
{
    struct m_int3 *m = p;
    m->result = ((function) target)(m->a);
}

static int entry_function(int a)
{
    void *target = iotdec_target;
    struct iotdec_callback c;
    struct m_int3 *m = iotdec_callback_begin(&c, sizeof *m);
    m->a = a;
    iotdec_callback_run(&c, &iotdec_guest, SIG_function, target);
    int result = m->result;
    iotdec_callback_end(&c);
    return result;
}

static void (*const serve[])(void *, void *) = {serve_function};
static void *const entries[] = {(void *) entry_function};

const struct iotdec_guest iotdec_guest = {
    IOTDEC_GUEST_VERSION, FUNCTIONS, SIGNATURES, 0, FINGERPRINT, functions, serve, entries,
};
