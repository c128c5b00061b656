/* What generated code does for calls_empty() on this side, but for the way itself. */
#include "host.c"

void calls_pack(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct iotdec_call call;
        struct iotdec_m_calls_empty *message = iotdec_call_begin(&call, &iotdec_wrapper, sizeof *message);
        if (message)
            iotdec_call_end(&call);
    }
}

const unsigned calls_empty_number = IOTDEC_F_calls_empty;
