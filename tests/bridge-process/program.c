/* An ordinary program that uses the library: program WHAT. Prints what happens, whichever library it has. */
#define _GNU_SOURCE
#include "../scenarios.h"
#include "shared.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void handler(void)
{
    printf("the program's handler, ");
    s_print("with the library's help\n");
}

static void prints(void)
{
    /* The last one to ask is the first one to be told; and behind the bridge, the library comes last. */
    s_announce_end();
    atexit(handler);
    printf("one ");
    s_print("two ");
    printf("three ");
    s_print_on_thread("four ");
    printf("five\n");
    char *much = malloc(100001);
    memset(much, 'x', 100000);
    much[100000] = 0;
    s_print(much);
    printf("%d\n", s_number_of_stdout());
    fprintf(stderr, "a ");
    s_complain("b ");
    fprintf(stderr, "c\n");
    s_count();
}

/* What is not written out is lost, whoever printed it. */
static void leaves(void)
{
    printf("one ");
    s_print("two ");
    s_flush();
    printf("three ");
    s_print("four ");
    _exit(0);
}

static void exits(void) { exit(3); }
static void exits_within(void)
{
    s_announce_end();
    atexit(handler);
    s_call_back(exits);
}

static void finds(void)
{
    setenv("WHAT_IT_IS", "a variable", 1);
    if (chdir("/usr") || !setlocale(LC_ALL, "C.UTF-8"))
        exit(1);
    printf("%s in %s, %ld\n", s_environment("WHAT_IT_IS"), s_directory(), s_letters("\303\244\303\266"));
    setlocale(LC_ALL, "C");
    printf("as before\n");
}

/* Behind the bridge, they are those of the first call. */
static void finds_later(void)
{
    setlocale(LC_ALL, "C");
    setenv("WHAT_IT_IS", "first", 1);
    printf("%s, %ld\n", s_environment("WHAT_IT_IS"), s_letters("\303\244\303\266"));
    setenv("WHAT_IT_IS", "second", 1);
    setlocale(LC_ALL, "C.UTF-8");
    printf("%s, %ld\n", s_environment("WHAT_IT_IS"), s_letters("\303\244\303\266"));
}

static pthread_key_t key;
static void at_thread_end(void *unused)
{
    (void)unused;
    s_count();
}
static void *one_thread(void *how)
{
    if (how)
        s_count();
    return pthread_setspecific(key, ""), NULL;
}
/* More, one after the other, than can call at the same time. */
static void threads(void)
{
    pthread_key_create(&key, at_thread_end);
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, one_thread, i % 2 ? "" : NULL);
        pthread_join(thread, NULL);
    }
    printf("%d\n", s_count());
}

static volatile int is_done;
static void *calls(void *wrong)
{
    int former = 0;
    while (!is_done) {
        int now = s_count();
        if (now <= former)
            *(int *)wrong = 1;
        former = now;
    }
    return NULL;
}

static void says(const char *what, int status)
{
    printf("%s: %d\n", what, status);
    fflush(stdout);
}

static int run(const char *what)
{
    char *words[] = {"sh", "-c", (char *)what, NULL};
    pid_t child;
    int status = -1;
    if (posix_spawn(&child, "/bin/sh", NULL, NULL, words, environ) == 0)
        waitpid(child, &status, 0);
    return status;
}

/* Other programs are started while calls run. */
static void children(void)
{
    int wrong = 0, status;
    pthread_t threads[2];
    s_count();
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, calls, &wrong);
    for (int i = 0; i < 5; i++) {
        says("system", system("exit 3"));
        says("posix_spawn", run("exit 4"));
        FILE *pipe = popen("echo hello; exit 5", "r");
        char line[64] = "";
        fgets(line, sizeof line, pipe);
        printf("%s", line);
        says("popen", pclose(pipe));
        pid_t child = fork();
        if (child == 0) {
            execlp("sh", "sh", "-c", "exit 6", NULL);
            _exit(1);
        }
        waitpid(child, &status, 0);
        says("fork and exec", status);
        child = fork();
        if (child == 0)
            exit(7);
        waitpid(child, &status, 0);
        says("fork and exit", status);
    }
    is_done = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%s\n", wrong ? "calls went wrong" : "calls went on");
}

static void *gives_files(void *wrong)
{
    int ends[2];
    for (int i = 0; i < 25; i++) {
        char text[16], read_text[16] = "";
        if (pipe(ends))
            break;
        int size = snprintf(text, sizeof text, "%d %d", i, (int)(size_t)wrong & 0xff);
        if (write(ends[1], text, size) != size || s_read(ends[0], read_text, sizeof read_text) != size
            || memcmp(text, read_text, size))
            *(int *)wrong = 1;
        close(ends[0]);
        close(ends[1]);
    }
    return NULL;
}

static void files(void)
{
    char text[8] = "";
    int ends[2];
    if (pipe(ends) || write(ends[1], "abcdef", 6) != 6)
        exit(1);
    /* The same file: who reads, reads on. */
    printf("%ld ", s_read(ends[0], text, 3));
    printf("%s ", text);
    printf("%zd %s\n", read(ends[0], text, 3), text);
    close(ends[0]);
    errno = 0;
    printf("%ld ", s_read(ends[0], text, 3));
    printf("%d %d %d\n", errno == EBADF, s_is_open(-1), s_is_open(1000));
    int wrong[2] = {0, 0};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, gives_files, &wrong[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%d %d\n", wrong[0], wrong[1]);
    /* Nothing is left open in the library, and nothing was closed here. */
    int before = s_open_files(), file = open("/dev/null", O_RDONLY);
    for (int i = 0; i < 20; i++)
        if (!s_is_open(file))
            exit(1);
    printf("%d %d ", s_close(file), fcntl(file, F_GETFD) >= 0);
    close(file);
    printf("%d\n", s_open_files() - before);
}

int main(int argc, char **argv)
{
    static const struct scenario all[] = {
        {"prints", prints}, {"leaves", leaves}, {"exits", exits_within}, {"finds", finds}, {"later", finds_later},
        {"threads", threads}, {"children", children}, {"files", files}, {NULL, NULL},
    };
    return run_scenario(all, argc, argv);
}
