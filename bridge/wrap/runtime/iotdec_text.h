/*
 * iotdec_text.h: what a function like printf is told, as text. Part of both parts of all generated wrapper libraries.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* (A struct around the list, since a va_list that is a parameter is another type.) */
struct iotdec_list {
    va_list list;
};

/* The text, to be freed. NULL if it cannot be made. */
static __attribute__((unused)) char *iotdec_told(const char *format, struct iotdec_list *from)
{
    char *text = NULL;
    va_list list;
    int length;

    if (!format)
        return NULL;
    va_copy(list, from->list);
    length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (length >= 0 && (text = malloc((size_t)length + 1)))
        vsnprintf(text, (size_t)length + 1, format, from->list);
    return text;
}
