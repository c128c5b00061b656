/* Does what a program must not: invalid WHAT. */
#include <stdlib.h>
#include <string.h>
#include <stdint.h>

int main(int argc, char **argv) {
    (void) argc;
    char *volatile p = malloc(100), *volatile large = malloc(1000000);
    if (!strcmp(argv[1], "double"))
        free(p), free(p);
    if (!strcmp(argv[1], "double-large"))
        free(large), free(large);
    if (!strcmp(argv[1], "inside"))
        free(p + 16);
    if (!strcmp(argv[1], "inside-large"))
        free(large + 65536);
    if (!strcmp(argv[1], "stack"))
        free((char *) (uintptr_t) &argc);
    if (!strcmp(argv[1], "realloc"))
        free(p), realloc(p, 200);
    return 0;
}
