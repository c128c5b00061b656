/* The functions whose calls iotdec bench --calls measures, beside the question's (so_lib.h). */
#include <stddef.h>
#include <stdint.h>

struct calls_block {
    uint64_t words[8];
};

void calls_empty(void);
int calls_two(int a, int b);
struct calls_block calls_block(struct calls_block block);
void calls_bytes(unsigned char *data, size_t size);
int calls_back(int (*function)(int), int count);
