/* What goes wrong with files from the library: wrong WHAT. Ends with 0 if all is as it should be. */
#define _GNU_SOURCE
#include "../open-files.h"
#include "../scenarios.h"
#include "gives.h"
#include "iotdec.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHECK(is)                                                                                                      \
    do {                                                                                                               \
        if (!(is)) {                                                                                                   \
            struct iotdec_error found;                                                                                 \
            iotdec_last_error(&found);                                                                                 \
            fprintf(stderr, "line %d: %s; last error %d, %s\n", __LINE__, #is, found.kind, found.text);                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The last call failed with this kind of error, and said so. */
static int failed(int kind, const char *says)
{
    struct iotdec_error error;
    int is_so = iotdec_last_error(&error) == kind && strstr(error.text, says);
    if (is_so)
        iotdec_clear_error();
    return is_so;
}

static int works(void)
{
    int ends[2] = {-1, -1};
    char byte = 0;
    int is_so = g_pipe(ends) == 0 && write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && byte == 'x';
    return close(ends[0]) == 0 && close(ends[1]) == 0 && is_so;
}

static void numbers(void)
{
    int ends[2], also, file = g_open("/dev/null");
    CHECK(fcntl(file, F_GETFD) == FD_CLOEXEC);
    CHECK(g_pipe(ends) == 0 && fcntl(ends[0], F_GETFD) == FD_CLOEXEC && fcntl(ends[1], F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(g_event(), F_GETFD) == FD_CLOEXEC && fcntl(g_event(), F_GETFD) == FD_CLOEXEC);
    int here = open_files(), there = g_open_files();
    for (int i = 0; i < 20; i++) {
        also = 5;
        CHECK(g_wrong(&also) == -1 && also == -1);
        CHECK(failed(IOTDEC_BAD_DESCRIPTOR, "returned 1000 as a file descriptor, and has none of that number open"));
        char *name = NULL;
        CHECK(g_open_and_name("/dev/null", &name) == -1);
        CHECK(failed(IOTDEC_BAD_POINTER, ""));
        int files[17];
        files[0] = files[16] = 5;
        CHECK(g_some(files, 17) == 0 && files[0] == -1 && files[16] == -1);
        CHECK(failed(IOTDEC_BAD_POINTER, "more than 16 file descriptors"));
    }
    CHECK(open_files() == here && g_open_files() == there);
    CHECK(works());
}

/* As many as the program may have. */
static void full(void)
{
    CHECK(works());
    int event = g_event(), here = open_files(), there = g_open_files(), all[256], ends[2], count = 0;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 256;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while ((all[count] = open("/dev/null", O_RDONLY)) >= 0)
        count++;
    for (int room = 0; room < 2; room++) {
        ends[0] = ends[1] = 5;
        CHECK(g_pipe(ends) == 0 && ends[0] == -1 && ends[1] == -1);
        CHECK(failed(IOTDEC_BAD_DESCRIPTOR, "ulimit -n"));
        close(all[--count]);
    }
    CHECK(works() && g_event() == event);
    while (count > 0)
        close(all[--count]);
    CHECK(open_files() == here && g_open_files() == there);
}

/* What is lent has a number each that stays. */
static void lent(void)
{
    int first = g_lend_another(), last = first, count = 1, number;
    while ((number = g_lend_another()) >= 0) {
        CHECK(number != last && write(number, "x", 1) == 1);
        last = number;
        CHECK(++count <= 64);
    }
    CHECK(count == 64 && failed(IOTDEC_BAD_DESCRIPTOR, "lent more than 64"));
    int here = open_files();
    for (int i = 0; i < 10; i++)
        CHECK(g_lend_another() == -1);
    CHECK(open_files() == here && write(first, "x", 1) == 1);
    CHECK(works());
}

/* The library's end takes what was under way with it. */
static void ends(void)
{
    int ends[2], event = -1, here = 0;
    for (int i = 0; i < 6; i++) {
        CHECK(works());
        /* Its number is the same, and so is ours, whose worker is another. */
        CHECK(event == -1 || g_event() == event);
        event = g_event();
        uint64_t value = 0;
        CHECK(g_add_to_event(7) && read(event, &value, sizeof value) == sizeof value && value == 7);
        ends[0] = ends[1] = 5;
        iotdec_set_call_timeout(i % 2 ? 500 : 0);
        CHECK(g_pipe_and_end(ends, i % 2 ? G_HANG : G_CRASH) == -7);
        iotdec_set_call_timeout(0);
        CHECK(failed(i % 2 ? IOTDEC_TIMED_OUT : IOTDEC_CRASHED, "") && ends[0] == -1 && ends[1] == -1);
        CHECK(read(event, &value, sizeof value) == -1);
        CHECK(works());
        CHECK(here == 0 || open_files() == here);
        here = open_files();
    }
}

/* What the socket brings that was not asked for. */
static void abused(void)
{
    static const struct {
        enum g_abuse how;
        int kind;
        const char *says;
    } all[] = {
        {G_SEND_UNASKED, IOTDEC_MISBEHAVED, "nobody asked for"},
        {G_FLOOD, IOTDEC_MISBEHAVED, "nobody asked for"},
        {G_REPLACE, IOTDEC_MISBEHAVED, "sent nothing instead of 2"},
        {G_FORWARD_MORE, IOTDEC_MISBEHAVED, "it sent "},
        {G_CLOSE, IOTDEC_BAD_DESCRIPTOR, "cannot be sent"},
    };
    int here = 0, ends[2];
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
            CHECK(works());
            CHECK(here == 0 || open_files() == here);
            here = open_files();
            CHECK(g_abuse(all[i].how) > 0);
            ends[0] = ends[1] = 5;
            CHECK(g_pipe(ends) == 0 && ends[0] == -1 && ends[1] == -1);
            CHECK(failed(all[i].kind, all[i].says));
        }
        /* Without a socket, all else goes on, until it is this one's turn again. */
        int there = g_open_files();
        CHECK(g_pipe(ends) == 0 && failed(IOTDEC_BAD_DESCRIPTOR, "") && g_open_files() == there);
        g_pipe_and_end(ends, G_CRASH);
        CHECK(failed(IOTDEC_CRASHED, ""));
    }
}

int main(int argc, char **argv)
{
    static const struct scenario all[] = {{"numbers", numbers}, {"full", full}, {"lent", lent}, {"ends", ends}, {"abused", abused}, {NULL, NULL}};
    return run_scenario(all, argc, argv);
}
