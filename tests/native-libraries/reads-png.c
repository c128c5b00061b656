/* Decodes a PNG file so many times: prints a sum of its pixels, and milliseconds for each. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int main(int count, char **words)
{
    if (count != 3)
        return 2;
    FILE *file = fopen(words[1], "rb");
    size_t room = 64 << 20, size = 0;
    unsigned char *packed = malloc(room), *pixels = NULL;
    if (!file || !packed || (size = fread(packed, 1, room, file)) == 0)
        return 2;
    unsigned long long sum = 0;
    double start = 0;
    for (int round = 0; round <= atoi(words[2]); round++) {
        /* The first one starts the worker. */
        if (round == 1)
            start = milliseconds();
        png_image *image = calloc(1, sizeof *image);
        image->version = PNG_IMAGE_VERSION;
        if (!png_image_begin_read_from_memory(image, packed, size))
            return 3;
        image->format = PNG_FORMAT_RGBA;
        size_t bytes = PNG_IMAGE_SIZE(*image);
        pixels = realloc(pixels, bytes);
        memset(pixels, 0, bytes);
        if (!png_image_finish_read(image, NULL, pixels, 0, NULL)) {
            fprintf(stderr, "%s\n", image->message);
            return 4;
        }
        sum = 0;
        for (size_t i = 0; i < bytes; i++)
            sum = sum * 31 + pixels[i];
        png_image_free(image);
        free(image);
    }
    double took = (milliseconds() - start) / atoi(words[2]);
    printf("%llx %.1f\n", sum, took);
    return 0;
}
