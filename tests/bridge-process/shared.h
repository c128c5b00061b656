/* A library that shows what it shares with its program beside memory: streams, environment, files, its end. */
#include <stddef.h>

typedef void (*s_call)(void);

/* What it prints, on this thread or on one of its own. */
void s_print(const char *text);
void s_complain(const char *text);
void s_print_on_thread(const char *text);
void s_flush(void);
int s_number_of_stdout(void);

/* What it finds. */
const char *s_environment(const char *name);
const char *s_directory(void);
/* -1 if it is no text in this locale. */
long s_letters(const char *text);

/* How often its constructor ran, and how often this was called since. */
int s_constructed(void);
int s_count(void);
/* Has it print at its end. */
void s_announce_end(void);
void s_call_back(s_call f);
int s_fail(int how);

/* Reads from a file, or closes it; how many files it has open. */
long s_read(int fd, char *to, size_t size);
int s_close(int fd);
int s_is_open(int fd);
int s_open_files(void);
