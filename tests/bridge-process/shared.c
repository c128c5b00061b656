#include "../open-files.h"
#include "shared.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int constructed, count, announces;

__attribute__((constructor)) static void construct(void) { constructed++; }
__attribute__((destructor)) static void destroy(void)
{
    if (announces)
        printf("the library ends after %d\n", count);
}

void s_print(const char *text) { printf("%s", text); }
void s_complain(const char *text) { fputs(text, stderr); }
static void *prints(void *text) { return fputs(text, stdout), NULL; }
void s_print_on_thread(const char *text)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, prints, (void *)text) == 0)
        pthread_join(thread, NULL);
}
void s_flush(void) { fflush(stdout); }
int s_number_of_stdout(void) { return fileno(stdout); }

const char *s_environment(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "nothing";
}
const char *s_directory(void)
{
    static char path[PATH_MAX];
    return getcwd(path, sizeof path);
}
long s_letters(const char *text) { return (long)mbstowcs(NULL, text, 0); }

int s_constructed(void) { return constructed; }
int s_count(void) { return __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST); }
static void handler(void) { puts("the library's handler"); }
void s_announce_end(void)
{
    announces = 1;
    atexit(handler);
}
void s_call_back(s_call f) { f(); }
int s_fail(int how)
{
    if (how == SIGABRT) {
        fputs("something is wrong\n", stderr);
        abort();
    }
    return raise(how);
}

long s_read(int fd, char *to, size_t size) { return read(fd, to, size); }
int s_close(int fd) { return close(fd); }
int s_is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
int s_open_files(void) { return open_files(); }
