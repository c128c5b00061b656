/* Reads documents that are not as they should be with libxml2, and says what handlers like printf are told. */
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <libxml/xmlschemas.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int told;

static void tell(void *user, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    printf("%s: ", (const char *) user);
    vprintf(format, list);
    va_end(list);
    told++;
}

static void warn(void *user, const char *format, ...)
{
    (void) user;
    printf("warning %s", format);
}

static void structured(void *user, xmlErrorPtr error)
{
    printf("%s: line %d: %s", (const char *) user, error->line, error->message);
    told++;
}

int main(void)
{
    static char all[] = "all", relaxed[] = "relaxed", schema[] = "schema", field[] = "field";
    static const char wrong[] = "<a>\n <b c='1' c='2'>\n</a>";
    xmlRelaxNGValidityErrorFunc error = NULL;
    xmlRelaxNGValidityWarningFunc warning = NULL;
    void *user = NULL;
    int pipes[2];

    xmlSetGenericErrorFunc(all, tell);
    xmlDocPtr document = xmlReadMemory(wrong, sizeof wrong - 1, "wrong.xml", NULL, 0);
    printf("%d\n", document != NULL);

    static const char grammar[] = "<element name='a' xmlns='http://relaxng.org/ns/structure/1.0'><nothing/></element>";
    xmlRelaxNGParserCtxtPtr relax = xmlRelaxNGNewMemParserCtxt(grammar, sizeof grammar - 1);
    xmlRelaxNGSetParserErrors(relax, tell, warn, relaxed);
    printf("%d\n", xmlRelaxNGParse(relax) != NULL);
    xmlRelaxNGGetParserErrors(relax, &error, &warning, &user);
    printf("%d %d %s\n", error == tell, warning == warn, user == relaxed ? relaxed : "another");
    xmlRelaxNGFreeParserCtxt(relax);

    static const char types[] = "<schema xmlns='http://www.w3.org/2001/XMLSchema'><element name='n' type='byte'/></schema>";
    xmlSchemaParserCtxtPtr parser = xmlSchemaNewMemParserCtxt(types, sizeof types - 1);
    xmlSchemaSetParserErrors(parser, tell, warn, schema);
    xmlSchemaPtr valid = xmlSchemaParse(parser);
    xmlSchemaValidCtxtPtr context = xmlSchemaNewValidCtxt(valid);
    xmlSchemaSetValidErrors(context, tell, warn, schema);
    if (pipe(pipes) || write(pipes[1], "<n>1000</n>", 11) != 11 || close(pipes[1]))
        return 1;
    document = xmlReadFd(pipes[0], "pipe.xml", NULL, 0);
    printf("%d %d\n", xmlSchemaValidateDoc(context, document) > 0, close(pipes[0]));
    xmlFreeDoc(document);
    xmlSchemaFreeValidCtxt(context);
    xmlSchemaFree(valid);
    xmlSchemaFreeParserCtxt(parser);

    xmlSetStructuredErrorFunc(field, structured);
    document = xmlReadMemory(wrong, sizeof wrong - 1, "wrong.xml", NULL, 0);
    printf("%d\n", told);
    return 0;
}
