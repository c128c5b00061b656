/* Gives SQLite functions of its own, and says what came of them. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int calls, destroyed, rows, updates, steps;

#define CHECK(call) \
    do { \
        int code = (call); \
        if (code != SQLITE_OK) { \
            printf("line %d: %d %s\n", __LINE__, code, sqlite3_errmsg(db)); \
            exit(1); \
        } \
    } while (0)

/* A function of two values that makes text or a number. */
static void mixed(sqlite3_context *context, int count, sqlite3_value **values)
{
    calls++;
    const char *prefix = sqlite3_user_data(context);
    if (count != 2 || sqlite3_value_type(values[0]) != SQLITE_INTEGER) {
        sqlite3_result_error(context, "mixed() takes a number first", -1);
        return;
    }
    long long number = sqlite3_value_int64(values[0]);
    if (sqlite3_value_type(values[1]) == SQLITE_TEXT) {
        char text[200];
        snprintf(text, sizeof text, "%s%lld:%s", prefix, number, (const char *) sqlite3_value_text(values[1]));
        sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
    } else {
        sqlite3_result_double(context, (double) number * sqlite3_value_double(values[1]));
    }
}

struct mean {
    long count;
    double sum;
};

/* The memory is the library's. */
static void mean_step(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct mean *mean = sqlite3_aggregate_context(context, sizeof *mean);
    for (int i = 0; mean && i < count; i++) {
        mean->count++;
        mean->sum += sqlite3_value_double(values[i]);
    }
}

static void mean_final(sqlite3_context *context)
{
    struct mean *mean = sqlite3_aggregate_context(context, 0);
    if (mean && mean->count)
        sqlite3_result_double(context, mean->sum / (double) mean->count);
    else
        sqlite3_result_null(context);
}

static void destroy(void *user) { destroyed += user != NULL; }

/* Backwards. */
static int compare(void *user, int left_size, const void *left, int right_size, const void *right)
{
    (void) user;
    int least = left_size < right_size ? left_size : right_size;
    int order = memcmp(right, left, (size_t) least);
    return order ? order : right_size - left_size;
}

static int row(void *user, int count, char **values, char **names)
{
    printf("%s", (const char *) user);
    for (int i = 0; i < count; i++)
        printf(" %s=%s", names[i], values[i] ? values[i] : "null");
    puts("");
    return ++rows == 100;
}

static void updated(void *user, int what, const char *database, const char *table, sqlite3_int64 id)
{
    (void) user, (void) what, (void) database, (void) table;
    updates += id > 0;
}

static int progress(void *user)
{
    ++*(int *) user;
    return 0;
}

int main(int argc, char **argv)
{
    int count = argc == 2 ? atoi(argv[1]) : 0;
    static char prefix[] = "no ", mark[] = "row";
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    char *error = NULL;
    CHECK(sqlite3_open(":memory:", &db));
    CHECK(sqlite3_create_function_v2(db, "mixed", 2, SQLITE_UTF8, prefix, mixed, NULL, NULL, destroy));
    CHECK(sqlite3_create_function(db, "mean", -1, SQLITE_UTF8, NULL, NULL, mean_step, mean_final));
    CHECK(sqlite3_create_collation(db, "backwards", SQLITE_UTF8, NULL, compare));
    sqlite3_update_hook(db, updated, NULL);
    sqlite3_progress_handler(db, 1000, progress, &steps);
    CHECK(sqlite3_exec(db, "create table t (id integer primary key, name text, x real)", NULL, NULL, NULL));
    CHECK(sqlite3_exec(db, "begin", NULL, NULL, NULL));
    CHECK(sqlite3_prepare_v2(db, "insert into t (name, x) values (?, ?)", -1, &statement, NULL));
    for (int i = 0; i < count; i++) {
        char name[40];
        snprintf(name, sizeof name, "name %d", i * 7919 % 1000);
        CHECK(sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT));
        CHECK(sqlite3_bind_double(statement, 2, i / 8.0));
        if (sqlite3_step(statement) != SQLITE_DONE)
            printf("%s\n", sqlite3_errmsg(db));
        CHECK(sqlite3_reset(statement));
    }
    CHECK(sqlite3_finalize(statement));
    CHECK(sqlite3_exec(db, "commit", NULL, NULL, NULL));
    CHECK(sqlite3_exec(db, "select count(*) n, sum(mixed(id, x)) s, mean(x, id) m, max(length(mixed(id, name))) l from t",
        row, mark, &error));
    CHECK(sqlite3_exec(db, "select mixed(id, name) named, mixed(2, 0.25) half from t order by name collate backwards limit 5",
        row, mark, &error));
    int code = sqlite3_exec(db, "select mixed('x', 1)", row, mark, &error);
    printf("%d %s\n", code, error ? error : "no text");
    sqlite3_free(error);
    CHECK(sqlite3_close(db));
    printf("%d %d %d %d\n", calls, destroyed, updates, steps > 0);
    return 0;
}
