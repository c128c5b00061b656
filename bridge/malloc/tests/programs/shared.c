/* Where variables and the stack are, and that a forked child has its own. With 1 they are in the exchange. */
#define _GNU_SOURCE
#include <assert.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct image {
    uint64_t address, size, offset, is_writable;
};

static int variable = 1;
static int zero[3000];
static const int constant[1000] = {1, 2, 3};
int *const relocated = &variable;
static int from_constructor;

__attribute__((constructor)) static void early(void) { from_constructor = 7; }

/* Whether it is one of the ranges, and writable as expected. */
static int is_listed(const void *at, int is_writable) {
    const struct image *(*get)(size_t *) = (const struct image *(*)(size_t *))dlsym(RTLD_DEFAULT, "iotdec_preloaded_program");
    size_t count = 0;
    const struct image *all = get ? get(&count) : NULL;
    for (size_t i = 0; i < count; i++)
        if ((uintptr_t)at - all[i].address < all[i].size)
            return (int)all[i].is_writable == is_writable;
    return 0;
}

int main(int argc, char **argv) {
    int local = 1, shared = argc > 1 && atoi(argv[1]);
    uintptr_t block = (uintptr_t)malloc(10);
    intptr_t distance = (intptr_t)((uintptr_t)&local - block);

    assert(getenv("PATH") && from_constructor == 7 && constant[2] == 3 && *relocated == 1 && zero[2999] == 0);
    assert(is_listed(&variable, 1) == shared && is_listed(zero, 1) == shared && is_listed(constant, 0) == shared);
    /* The heap is in the exchange, which has 2 GiB; nothing else is near. */
    assert((distance < (intptr_t)2 << 30 && distance > -((intptr_t)2 << 30)) == shared);

    for (int round = 0; round < 5; round++) {
        pid_t child = fork();
        if (!child) {
            local = variable = zero[2999] = 100;
            char text[200];
            snprintf(text, sizeof text, "%d %d", local, variable);
            usleep(20000);
            _exit(strcmp(text, "100 100") || local != 100 || variable != 100 || from_constructor != 7);
        }
        for (int i = 0; i < 100; i++) {
            local++, variable++, zero[2999]++;
            usleep(200);
        }
        int status;
        assert(waitpid(child, &status, 0) == child && status == 0);
    }
    assert(local == 501 && variable == 501 && zero[2999] == 500);
    puts("all well");
    return 0;
}
