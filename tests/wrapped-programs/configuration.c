/* Configures SQLite by its variadic functions, with functions and memory of its own, and says what came of it. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call) \
    do { \
        int code = (call); \
        if (code != SQLITE_OK) { \
            printf("line %d: %d\n", __LINE__, code); \
            exit(1); \
        } \
    } while (0)

static sqlite3_mem_methods plain;
static int taken, given, faults;

/* The library's own functions for memory, counted. */
static void *take(int size)
{
    taken++;
    return plain.xMalloc(size);
}

static void give(void *memory)
{
    given++;
    plain.xFree(memory);
}

static void *resize(void *memory, int size) { return plain.xRealloc(memory, size); }

static void log_it(void *user, int code, const char *message)
{
    printf("%s %d: %s\n", (const char *) user, code, message);
}

static int fault(int number)
{
    faults++;
    return number == 300 ? SQLITE_IOERR : SQLITE_OK;
}

static int row(void *user, int count, char **values, char **names)
{
    (void) user, (void) names;
    for (int i = 0; i < count; i++)
        printf("%s%s", values[i] ? values[i] : "null", i + 1 < count ? " " : "\n");
    return 0;
}

int main(void)
{
    static char mark[] = "log";
    sqlite3_mem_methods counting;
    sqlite3 *db = NULL;
    int size = -1, is_on = -1;

    CHECK(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain));
    counting = plain;
    counting.xMalloc = take;
    counting.xFree = give;
    counting.xRealloc = resize;
    CHECK(sqlite3_config(SQLITE_CONFIG_MALLOC, &counting));
    CHECK(sqlite3_config(SQLITE_CONFIG_LOG, log_it, mark));
    CHECK(sqlite3_config(SQLITE_CONFIG_MULTITHREAD));
    CHECK(sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 1));
    CHECK(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 64, 10));
    CHECK(sqlite3_config(SQLITE_CONFIG_MMAP_SIZE, (sqlite3_int64) 1 << 20, (sqlite3_int64) 1 << 33));
    CHECK(sqlite3_config(SQLITE_CONFIG_PCACHE_HDRSZ, &size));
    CHECK(sqlite3_config(SQLITE_CONFIG_URI, 1));
    printf("%d\n", size > 0);
    CHECK(sqlite3_initialize());
    printf("%d, as it runs\n", sqlite3_config(SQLITE_CONFIG_SERIALIZED));

    CHECK(sqlite3_open("file:here?mode=memory", &db));
    CHECK(sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, -1, &is_on));
    printf("keys %d", is_on);
    CHECK(sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, &is_on));
    printf(" %d", is_on);
    CHECK(sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL));
    CHECK(sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 128, 20));
    CHECK(sqlite3_db_config(db, SQLITE_DBCONFIG_MAINDBNAME, "first"));
    printf(" %s\n", sqlite3_db_name(db, 0));
    CHECK(sqlite3_exec(db, "create table a (i integer primary key); create table b (i references a)", NULL, NULL, NULL));
    printf("%d\n", sqlite3_exec(db, "insert into b values (7)", NULL, NULL, NULL));
    printf("%d\n", sqlite3_exec(db, "insert intp b", NULL, NULL, NULL));
    sqlite3_log(SQLITE_NOTICE, "%s has %d rows, or %.1f", "b", 0, 0.5);
    CHECK(sqlite3_exec(db, "select count(*), 'text' from first.b", row, NULL, NULL));

    int logarithm = 0, back = 0;
    sqlite3_uint64 number = 0;
    printf("%d", sqlite3_test_control(SQLITE_TESTCTRL_BYTEORDER));
    sqlite3_test_control(SQLITE_TESTCTRL_LOGEST, 1000.0, &logarithm, &number, &back);
    printf(" %d %llu %d\n", logarithm, (unsigned long long) number, back);
    CHECK(sqlite3_test_control(SQLITE_TESTCTRL_FAULT_INSTALL, fault));
    CHECK(sqlite3_close(db));
    CHECK(sqlite3_shutdown());
    printf("%d %d %d\n", taken > 10, taken == given, faults > 0);
    return 0;
}
