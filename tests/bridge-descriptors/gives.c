#define _GNU_SOURCE
#include "../open-files.h"
#include "gives.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int g_open(const char *path) { return open(path, O_RDWR); }

static int event = -1, asked;
int g_event(void)
{
    asked++;
    if (event < 0)
        event = eventfd(0, EFD_NONBLOCK);
    return event;
}
int g_add_to_event(int number)
{
    uint64_t added = (uint64_t)number;
    return write(g_event(), &added, sizeof added) == sizeof added;
}
int g_replace_event(void)
{
    int another = eventfd(1000, EFD_NONBLOCK);
    int is_replaced = dup2(another, event) == event;
    close(another);
    return is_replaced;
}
int g_pipe(int pair[2]) { return pipe(pair); }

int g_text(const char *text, int *file)
{
    *file = memfd_create("text", 0);
    size_t length = strlen(text);
    if (length > 0 && write(*file, text, length) == (ssize_t)length && lseek(*file, 0, SEEK_SET) == 0)
        return 0;
    close(*file);
    errno = ENODATA;
    return -1;
}
size_t g_some(int *files, size_t count)
{
    size_t index = 0;
    for (; index < count && index < 4; index++)
        if (index % 2 == 0)
            files[index] = open("/dev/null", O_WRONLY);
    return index;
}
int g_event_and_count(int *event)
{
    int file = -1;
    char text[16];
    *event = g_event();
    text[0] = (char)('0' + asked % 10);
    text[1] = 0;
    return g_text(text, &file) ? -1 : file;
}
int g_open_files(void) { return open_files(); }

int g_wrong(int *also)
{
    *also = open("/dev/null", O_WRONLY);
    return 1000;
}
int g_open_and_name(const char *path, char **name)
{
    *name = (char *)16;
    return g_open(path);
}
int g_lend_another(void) { return open("/dev/null", O_WRONLY); }
int g_pipe_and_end(int pair[2], enum g_end how)
{
    if (pipe(pair))
        return -1;
    if (how == G_HANG)
        for (;;)
            pause();
    abort();
}

static int socket_to_program(void)
{
    for (int fd = 3; fd < 256; fd++) {
        int type = 0;
        socklen_t size = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
            return fd;
    }
    return -1;
}
/* So many duplicates of a descriptor. */
static ssize_t send_files(int socket, int file, size_t count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(200 * sizeof(int))];
    } control;
    char byte = 0;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
    message.msg_controllen = CMSG_SPACE(count * sizeof file);
    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(count * sizeof file);
    for (size_t index = 0; index < count; index++)
        memcpy(CMSG_DATA(&control.header) + index * sizeof file, &file, sizeof file);
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
static int forwards_from, forwards_to;
static void *forward(void *unused)
{
    char byte;
    while (recv(forwards_from, &byte, 1, 0) > 0)
        send_files(forwards_to, g_event(), 3);
    return unused;
}
int g_abuse(enum g_abuse how)
{
    int socket = socket_to_program(), pair[2];
    pthread_t thread;
    switch (how) {
    case G_SEND_UNASKED:
        return send_files(socket, g_event(), 1) == 1;
    case G_FLOOD:
        for (int sent = 0;; sent++)
            if (send_files(socket, g_event(), 200) != 1)
                return sent;
    case G_REPLACE:
        return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0 && dup2(pair[0], socket) == socket;
    case G_CLOSE:
        return close(socket) == 0;
    case G_FORWARD_MORE:
        forwards_to = dup(socket);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) || dup2(pair[0], socket) != socket)
            return 0;
        forwards_from = pair[1];
        return pthread_create(&thread, NULL, forward, NULL) == 0;
    }
    return 0;
}
