/*
 * What is written by hand for one function, for comparison: a struct in shared memory with a flag
 * that says whose turn it is. Compiled for both machines: for aarch64 with the library, and for
 * amd64 with a program, to which it is the library.
 *
 * It takes two processors also while nobody calls, serves one thread, and waits for ever for a
 * side that has died. There are no callbacks, and every function is a struct of its own.
 */
#define _GNU_SOURCE
#include "so_lib.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PROGRAM, LIBRARY };

struct shared {
    _Atomic uint32_t turn;
    uint32_t c[2];
    uint32_t result;
};

static struct shared *map(int file)
{
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

    if (shared == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return shared;
}

#ifdef __aarch64__

int main(void)
{
    struct shared *shared = map(STDIN_FILENO);

    for (;;) {
        while (shared->turn != LIBRARY)
            ;
        shared->result = so_lib_function_a(shared->c);
        shared->turn = PROGRAM;
    }
}

#else

/* Starts the other side, the program that TURNFLAG names. */
static struct shared *start(void)
{
    int file = memfd_create("turnflag", 0);

    if (file < 0 || ftruncate(file, sizeof(struct shared))) {
        perror("memfd_create");
        exit(1);
    }
    pid_t parent = getpid();
    if (fork() == 0) {
        dup2(file, STDIN_FILENO);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            execlp("qemu-aarch64", "qemu-aarch64", "-L", getenv("IOTDEC_SYSROOT"), getenv("TURNFLAG"), NULL);
        _exit(1);
    }
    return map(file);
}

uint32_t so_lib_function_a(uint32_t c[2])
{
    static struct shared *shared;

    if (!shared)
        shared = start();
    memcpy(shared->c, c, sizeof shared->c);
    shared->turn = LIBRARY;
    while (shared->turn != PROGRAM)
        ;
    memcpy(c, shared->c, sizeof shared->c);
    return shared->result;
}

#endif
