/* An ordinary program that gets files from the library: program WHAT. Prints what happens, whichever library it has. */
#include "../open-files.h"
#include "../scenarios.h"
#include "gives.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long long value(int event)
{
    uint64_t value;
    return read(event, &value, sizeof value) == sizeof value ? (long long)value : -1;
}

static const char *text(int file)
{
    static char text[32];
    ssize_t size = read(file, text, sizeof text - 1);
    text[size < 0 ? 0 : size] = 0;
    return text;
}

static void ways(void)
{
    char read_text[8] = "";
    int file = g_open("/dev/null");
    printf("%d ", file > 2);
    printf("%zd ", write(file, "abc", 3));
    printf("%d\n", close(file));
    errno = 0;
    file = g_open("/there/is/no/such/file");
    printf("%d %d\n", file, errno == ENOENT);

    /* That there is no more says that nobody else can write. */
    int ends[2] = {-5, -5};
    printf("%d ", g_pipe(ends));
    printf("%zd ", write(ends[1], "abc", 3));
    close(ends[1]);
    printf("%zd ", read(ends[0], read_text, 8));
    printf("%zd %s\n", read(ends[0], read_text + 4, 4), read_text);
    close(ends[0]);

    file = -5;
    printf("%d ", g_text("some text", &file));
    printf("%s\n", text(file));
    close(file);
    printf("%d ", g_text("", &file));
    printf("%d\n", errno == ENODATA);

    int event = g_event();
    printf("%lld ", value(event));
    g_add_to_event(3);
    g_add_to_event(4);
    printf("%d ", g_event() == event);
    printf("%lld ", value(event));
    uint64_t five = 5;
    printf("%d ", write(event, &five, sizeof five) == sizeof five);
    g_add_to_event(6);
    printf("%lld\n", value(event));
    printf("%d ", g_replace_event());
    printf("%d ", g_event() == event);
    printf("%lld\n", value(event));

    int files[6] = {-5, -5, -5, -5, -5, -5};
    printf("%zu", g_some(files, 6));
    for (int i = 0; i < 6; i++) {
        printf(" %d", files[i] < 0 ? files[i] : (int)write(files[i], "ab", 2));
        if (files[i] >= 0)
            close(files[i]);
    }
    int again = -5;
    file = g_event_and_count(&again);
    printf("\n%d %s\n", again == event, text(file));
    close(file);
}

static void many(void)
{
    int before = 0, there = 0;
    /* A mistake in one of 10,000 would be one too many. */
    for (int i = 0; i < 10001; i++) {
        int file = g_open("/dev/null"), ends[2], memory;
        if (file < 0 || write(file, "x", 1) != 1 || close(file))
            exit(1);
        if (g_pipe(ends) || write(ends[1], &i, sizeof i) != sizeof i || read(ends[0], &file, sizeof file) != sizeof i
            || file != i || close(ends[0]) || close(ends[1]))
            exit(2);
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        if (g_text(number, &memory) || strcmp(text(memory), number) || close(memory))
            exit(3);
        if (!g_add_to_event(1) || value(g_event()) != 1)
            exit(4);
        if (g_open("/there/is/no/such/file") != -1 || g_text("", &memory) != -1)
            exit(5);
        if (i == 0) {
            before = open_files();
            there = g_open_files();
        }
    }
    printf("%d %d\n", open_files() - before, g_open_files() - there);
}

static void *pipes(void *wrong)
{
    for (int i = 0; i < 500; i++) {
        void *read_back = NULL;
        int ends[2] = {-1, -1};
        if (g_pipe(ends) || write(ends[1], &wrong, sizeof wrong) != sizeof wrong || close(ends[1])
            || read(ends[0], &read_back, sizeof read_back) != sizeof wrong || read_back != wrong
            || read(ends[0], &read_back, 1) != 0 || close(ends[0]))
            *(int *)wrong = 1;
    }
    return NULL;
}
static void threads(void)
{
    pthread_t threads[4];
    int wrong[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, pipes, &wrong[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("%d %d %d %d\n", wrong[0], wrong[1], wrong[2], wrong[3]);
}

int main(int argc, char **argv)
{
    static const struct scenario all[] = {{"ways", ways}, {"many", many}, {"threads", threads}, {NULL, NULL}};
    return run_scenario(all, argc, argv);
}
