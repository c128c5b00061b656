/* Every function of the family, called as early as a program can, and from libraries that come later. */
#define _GNU_SOURCE
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char *early;

__attribute__((constructor(101))) static void before_everything(void) {
    early = strdup("before main");
}

static int aligned(const void *p, size_t to) {
    return (uintptr_t) p % to == 0;
}

static void functions(void) {
    void *p = malloc(0);
    assert(p && malloc_usable_size(p) >= 1);
    free(p);
    free(NULL);
    assert(malloc_usable_size(NULL) == 0);

    for (size_t size = 1; size < 5000000; size = size * 3 / 2 + 1) {
        unsigned char *a = malloc(size), *b = calloc(1, size);
        assert(a && b && aligned(a, 16) && aligned(b, 16) && malloc_usable_size(a) >= size);
        for (size_t i = 0; i < size; i++)
            assert(b[i] == 0);
        memset(a, 1, malloc_usable_size(a));
        memset(b, 2, malloc_usable_size(b));
        a = realloc(a, 2 * size);
        for (size_t i = 0; i < size; i++)
            assert(a[i] == 1);
        a = reallocarray(a, 3, size);
        a = realloc(a, size / 2 + 1);
        assert(a[size / 2] == 1);
        free(a);
        free(b);
    }
    for (size_t align = 16; align <= 1 << 20; align *= 2) {
        void *q;
        assert(aligned(p = memalign(align, 100), align));
        assert(posix_memalign(&q, align, 100000) == 0 && aligned(q, align));
        free(p);
        assert(aligned(p = aligned_alloc(align, 2 * align), align));
        free(p);
        free(q);
    }
    long page = sysconf(_SC_PAGESIZE);
    assert(aligned(p = valloc(1), page));
    free(p);
    assert(aligned(p = pvalloc(1), page) && malloc_usable_size(p) >= (size_t) page);
    free(p);

    volatile size_t huge = PTRDIFF_MAX; /* the compiler knows better than to let such calls pass */
    errno = 0;
    assert(!malloc(huge) && errno == ENOMEM);
    errno = 0;
    assert(!calloc(huge, 3) && errno == ENOMEM);
    errno = 0;
    p = malloc(10);
    assert(!reallocarray(p, huge, 3) && errno == ENOMEM);
    assert(posix_memalign(&p, 3, 8) == EINVAL && posix_memalign(&p, 4, 8) == EINVAL);
    errno = 7;
    free(p);
    assert(errno == 7);
    assert(!realloc(malloc(5), 0));
}

/* A child has a heap of its own, with what was there. */
static void forks(void) {
    enum { COUNT = 1000 };
    char *small[COUNT], *large = malloc(10 << 20);
    for (int i = 0; i < COUNT; i++)
        sprintf(small[i] = malloc(20), "parent %d", i);
    strcpy(large + (9 << 20), "parent");
    int to_child[2], to_parent[2];
    assert(!pipe(to_child) && !pipe(to_parent));
    char byte = 0;
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < COUNT; i++) {
            char expected[20];
            sprintf(expected, "parent %d", i);
            if (strcmp(small[i], expected))
                _exit(1);
            strcpy(small[i], "child");
            if (i % 2)
                free(small[i]);
        }
        strcpy(large + (9 << 20), "child");
        write(to_parent[1], &byte, 1); /* the parent looks, and writes */
        read(to_child[0], &byte, 1);
        if (strcmp(small[0], "child") || strcmp(large + (9 << 20), "child"))
            _exit(2);
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(strcmp(small[2], "child") ? 3 : 0);
        int status;
        waitpid(grandchild, &status, 0);
        _exit(status ? 4 : 0);
    }
    read(to_parent[0], &byte, 1);
    for (int i = 0; i < COUNT; i++) {
        assert(!strncmp(small[i], "parent", 6));
        strcpy(small[i], "again");
    }
    assert(!strcmp(large + (9 << 20), "parent"));
    strcpy(large + (9 << 20), "again");
    write(to_child[1], &byte, 1);
    int status;
    waitpid(child, &status, 0);
    printf("child: %d\n", WEXITSTATUS(status));
    assert(status == 0);
    for (int i = 0; i < COUNT; i++)
        free(small[i]);
    free(large);
}

static void *thread(void *seed) {
    unsigned random = (uintptr_t) seed;
    char *kept[64] = {0};
    for (int i = 0; i < 50000; i++) {
        random = random * 1103515245 + 12345;
        int which = random >> 16 & 63;
        if (kept[which])
            assert(kept[which][0] == (char) (uintptr_t) seed);
        kept[which] = realloc(kept[which], random >> 28 ? random >> 8 & 1023 : random >> 8 & 0x3ffff);
        if (kept[which])
            kept[which][0] = (uintptr_t) seed;
        else
            kept[which] = memset(malloc(1), (int) (uintptr_t) seed, 1);
    }
    for (int i = 0; i < 64; i++)
        free(kept[i]);
    return strdup("done");
}

static void threads(void) {
    pthread_t all[8];
    for (uintptr_t i = 0; i < 8; i++)
        pthread_create(&all[i], NULL, thread, (void *) (i + 1));
    /* Children are forked while others hold what locks they may. */
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (int j = 0; j < 1000; j++)
                free(malloc(j * 50));
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        assert(status == 0);
    }
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(all[i], &result);
        free(result);
    }
}

int main(int argc, char **argv) {
    assert(!strcmp(early, "before main"));
    free(early);
    functions();
    forks();
    threads();
    if (argc > 1) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        assert(library);
        dlclose(library);
    }
    /* Somewhere else than malloc's own memory: what the test looks for. */
    int (*preloaded)(void) = (int (*)(void)) dlsym(RTLD_DEFAULT, "iotdec_preloaded_heap");
    if (preloaded) {
        char path[64], line[512], *p = malloc(1);
        unsigned long from, to;
        int shared = 0;
        sprintf(path, "/proc/self/maps");
        FILE *maps = fopen(path, "r");
        while (fgets(line, sizeof line, maps))
            if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from <= (uintptr_t) p && (uintptr_t) p < to)
                shared = strstr(line, "rw-s") && strstr(line, "iotdec-exchange");
        fclose(maps);
        free(p);
        assert(shared);
    }
    puts("all well");
    return 0;
}
