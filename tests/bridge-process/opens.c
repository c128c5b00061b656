/* A program that loads the library, forgets it, and loads it again: opens LIBRARY. */
#include <dlfcn.h>
#include <stdio.h>

static void *library;
static int ask(const char *function)
{
    int (*f)(void) = (int (*)(void))dlsym(library, function);
    return f ? f() : -1;
}

int main(int argc, char **argv)
{
    for (int i = 0; i < 2; i++) {
        library = dlopen(argv[argc - 1], RTLD_NOW);
        if (!library) {
            printf("%s\n", dlerror());
            return 1;
        }
        if (i == 0)
            ask("s_announce_end");
        printf("constructed %d, ", ask("s_constructed"));
        printf("called %d\n", ask("s_count"));
        printf("closed: %d\n", dlclose(library));
    }
    return 0;
}
