// A test is a function without arguments. It returns 0, or the line that failed.
#pragma once

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                                                              \
    do {                                                                                              \
        if (!(condition)) {                                                                           \
            dprintf(2, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno));          \
            return __LINE__;                                                                          \
        }                                                                                             \
    } while (0)
