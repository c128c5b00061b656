// Libraries and threads that come and go a thousand times.
#define _GNU_SOURCE
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void* calls(void* which) { return (void*)(long)((int (*)(void))which)(); }

static long resident(void) {
    long pages = 0, total;
    FILE* file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &total, &pages) != 2)
        return -1;
    fclose(file);
    return pages * 4;
}

int cycles(void) {
    const char* paths = getenv("IOTDEC_TEST_LIBRARIES");
    char first[1000], second[1000];
    CHECK(paths && sscanf(paths, "%999[^:]:%999s", first, second) == 2);
    long before = 0;
    for (int i = 0; i < 1000; i++) {
        void* library = dlopen(i % 2 ? second : first, RTLD_NOW);
        CHECK(library);
        pthread_t thread;
        void* result;
        CHECK(pthread_create(&thread, NULL, calls, dlsym(library, "which")) == 0);
        CHECK(pthread_join(thread, &result) == 0 && (long)result == 1 + i % 2);
        CHECK(dlclose(library) == 0);
        if (i == 300)
            before = resident();
    }
    long grown = resident() - before;
    CHECK(before > 0);
    dprintf(2, "grown by %ld KiB\n", grown);
    return 0;
}
