/* Has expat parse a document of so many elements, three callbacks each, and says what it was told. */
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
    XML_Parser parser;
    unsigned long starts, ends, texts, depth, deepest;
    unsigned long long sum;
};

static void add(struct told *told, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        told->sum = (told->sum ^ (unsigned char) text[i]) * 0x100000001b3ULL;
}

static void start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct told *told = user;
    told->starts++;
    if (++told->depth > told->deepest)
        told->deepest = told->depth;
    add(told, name, strlen(name));
    for (; *attributes; attributes++)
        add(told, *attributes, strlen(*attributes));
    /* A call of the library within its callback, now and then. */
    if (told->starts % 1000 == 0)
        told->sum += XML_GetCurrentLineNumber(told->parser);
}

static void end(void *user, const XML_Char *name)
{
    struct told *told = user;
    told->ends++;
    told->depth--;
    add(told, name, strlen(name));
}

static void text(void *user, const XML_Char *letters, int length)
{
    struct told *told = user;
    told->texts++;
    add(told, letters, (size_t) length);
}

int main(int argc, char **argv)
{
    unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 0) : 0;
    struct told told = {0};
    XML_Parser parser = told.parser = XML_ParserCreate("UTF-8");
    if (!parser || !count)
        return 2;
    XML_SetUserData(parser, &told);
    XML_SetElementHandler(parser, start, end);
    XML_SetCharacterDataHandler(parser, text);
    char block[16384];
    size_t used = (size_t) sprintf(block, "<all>");
    for (unsigned long i = 0; i <= count; i++) {
        used += i < count
            ? (size_t) sprintf(block + used, "<item number='%lu' odd='%s'>text %lx</item>", i, i % 2 ? "yes" : "no", i * 7)
            : (size_t) sprintf(block + used, "</all>");
        if (used > sizeof block - 200 || i == count) {
            if (XML_Parse(parser, block, (int) used, i == count) != XML_STATUS_OK) {
                printf("%s\n", XML_ErrorString(XML_GetErrorCode(parser)));
                return 1;
            }
            used = 0;
        }
    }
    printf("%lu %lu %lu %lu %llx\n", told.starts, told.ends, told.texts, told.deepest, told.sum);
    XML_ParserFree(parser);
    return 0;
}
