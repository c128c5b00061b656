/* A program that looks at how the library failed. */
#include "iotdec.h"
#include "shared.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs when the library may be gone. */
static void handler(void)
{
    struct iotdec_error error;
    printf("%d ", s_count());
    printf("%d\n", iotdec_last_error(&error));
}

int main(void)
{
    struct iotdec_error error;
    atexit(handler);
    printf("%d ", s_count());
    printf("%d ", s_count());
    printf("%d ", s_fail(SIGABRT));
    printf("%d ", iotdec_last_error(&error));
    printf("%d %d\n", error.signal == SIGABRT, strstr(error.text, "something is wrong") != NULL);
    iotdec_clear_error();
    printf("%d\n", s_count());
    return 0;
}
