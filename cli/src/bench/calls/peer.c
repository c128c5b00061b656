/*
 * The library's side of the ways to call it that need nothing of iotdec: peer WAY IN OUT.
 *
 * pipe, socket   a message is read from descriptor IN, its answer written to OUT
 * eventfd        the message lies in shared memory (descriptor 0), IN and OUT are eventfds
 * turnflag       the message lies in shared memory, both sides look at its turn all the time
 *
 * A message is a call or the answer to a callback; what goes back is the answer or a callback.
 */
#include "calls.h"
#include "so_lib.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EMPTY, TWO, BLOCK, BYTES, BACK, QUESTION, ANSWER, CALLBACK };
enum { HOST, GUEST };

struct message {
    uint32_t what;
    uint32_t size; /* of what is used of data */
    unsigned char data[4096];
};

struct shared {
    uint32_t turn;
    uint32_t unused;
    struct message message;
};

static struct shared *shared;
static struct message *message;
static int in, out;

static void read_message(void)
{
    size_t have = 0;

    while (have < 8 || have < 8 + message->size) {
        ssize_t got = read(in, (char *)message + have, sizeof *message - have);
        if (got <= 0)
            exit(0);
        have += got;
    }
}

static void write_message(void)
{
    size_t size = 8 + message->size;

    for (size_t done = 0; done < size;) {
        ssize_t put = write(out, (char *)message + done, size - done);
        if (put <= 0)
            exit(0);
        done += put;
    }
}

static void read_event(void)
{
    uint64_t count;

    if (read(in, &count, sizeof count) != sizeof count)
        exit(0);
}

static void write_event(void)
{
    uint64_t one = 1;

    if (write(out, &one, sizeof one) != sizeof one)
        exit(0);
}

static void wait_for_turn(void)
{
    while (__atomic_load_n(&shared->turn, __ATOMIC_RELAXED) != GUEST)
        ;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

static void give_turn(void)
{
    __atomic_store_n(&shared->turn, HOST, __ATOMIC_RELEASE);
}

static void (*receive)(void);
static void (*send)(void);

static int call_back(int argument)
{
    message->what = CALLBACK;
    message->size = sizeof argument;
    memcpy(message->data, &argument, sizeof argument);
    send();
    receive();
    memcpy(&argument, message->data, sizeof argument);
    return argument;
}

static void serve(void)
{
    switch (message->what) {
    case EMPTY:
        calls_empty();
        break;
    case TWO: {
        int numbers[2];
        memcpy(numbers, message->data, sizeof numbers);
        numbers[0] = calls_two(numbers[0], numbers[1]);
        memcpy(message->data, numbers, sizeof numbers);
        break;
    }
    case BLOCK: {
        struct calls_block block;
        memcpy(&block, message->data, sizeof block);
        block = calls_block(block);
        memcpy(message->data, &block, sizeof block);
        break;
    }
    case BYTES:
        calls_bytes(message->data, message->size);
        break;
    case BACK: {
        int number;
        memcpy(&number, message->data, sizeof number);
        number = calls_back(call_back, number);
        message->size = sizeof number;
        memcpy(message->data, &number, sizeof number);
        break;
    }
    case QUESTION: {
        uint32_t numbers[3];
        memcpy(numbers, message->data, sizeof numbers);
        numbers[2] = so_lib_function_a(numbers);
        memcpy(message->data, numbers, sizeof numbers);
        break;
    }
    }
    message->what = ANSWER;
}

int main(int argc, char **argv)
{
    static struct message own;

    if (argc != 4)
        return 2;
    const char *way = argv[1];
    in = atoi(argv[2]);
    out = atoi(argv[3]);
    if (!strcmp(way, "pipe") || !strcmp(way, "socket")) {
        message = &own;
        receive = read_message;
        send = write_message;
    } else {
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 0);
        if (shared == MAP_FAILED)
            return 1;
        message = &shared->message;
        int has_events = !strcmp(way, "eventfd");
        receive = has_events ? read_event : wait_for_turn;
        send = has_events ? write_event : give_turn;
    }
    for (;;) {
        receive();
        serve();
        send();
    }
}
