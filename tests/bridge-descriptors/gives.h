/* A library that hands out file descriptors, in all the ways that wrap.toml has words for; and in some that are wrong. */
#include <stddef.h>

/* For the caller to close. -1, with errno, if there is no such file. */
int g_open(const char *path);
/* The library's own: the same each time, until it is replaced by another file of the same number. */
int g_event(void);
int g_add_to_event(int number);
int g_replace_event(void);
/* Both, or one of them, for the caller to close. */
int g_pipe(int pair[2]);
/* A file with this text in *file; without one, the number there is of no meaning. 0 or -1. */
int g_text(const char *text, int *file);
/* As many as there is room for, but sets every other one. How many it went through. */
size_t g_some(int *files, size_t count);
/* The event, and a file that says how often that was asked for. */
int g_event_and_count(int *event);
/* How many files it has open. */
int g_open_files(void);

/* A number under which nothing is open. */
int g_wrong(int *also);
/* A file, and a pointer to nowhere. */
int g_open_and_name(const char *path, char **name);
/* Another of its own each time. */
int g_lend_another(void);
/* What is in pair is open when it crashes, or does not come back. */
enum g_end { G_CRASH, G_HANG };
int g_pipe_and_end(int pair[2], enum g_end how);
/* Abuses the socket over which files go to the program. */
enum g_abuse { G_SEND_UNASKED, G_FLOOD, G_REPLACE, G_CLOSE, G_FORWARD_MORE };
int g_abuse(enum g_abuse how);
