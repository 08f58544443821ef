/* The bare fetch of rows through libpq: one statement, prepared once, its binary answer received in full and every value
 * looked at. What a poller must pay at the least.
 *
 * usage: floor CONNINFO SQL TIMES SECONDS INTERVAL_MS
 * $1 in the SQL are the keys of the running rows, read once beforehand. It says `ready`, waits for a line, and prints one
 * JSON object after TIMES executions or SECONDS, whichever comes first. With an interval it pauses between them, as a
 * poller does: caches go cold and the processor slows down meanwhile. */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double clock_ms(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void fail(PGconn *connection, const char *what)
{
    fprintf(stderr, "floor: %s: %s", what, PQerrorMessage(connection));
    exit(1);
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The keys of the running rows as a binary int4[]: they lie above the history, and reading them by state would scan it. */
static char *running_keys(PGconn *connection, int *length)
{
    PGresult *rows = PQexecParams(connection, "SELECT id FROM runs WHERE id > (SELECT rows FROM made) ORDER BY id", 0,
                                  NULL, NULL, NULL, NULL, 1);
    if (PQresultStatus(rows) != PGRES_TUPLES_OK)
        fail(connection, "reading the keys");
    int count = PQntuples(rows);
    *length = 20 + 8 * count;
    char *keys = malloc(*length);
    int head[5] = {htonl(1), htonl(0), htonl(23), htonl(count), htonl(1)}, width = htonl(4);
    memcpy(keys, head, sizeof head);
    for (int row = 0; row < count; row++) {
        memcpy(keys + 20 + 8 * row, &width, 4);
        memcpy(keys + 24 + 8 * row, PQgetvalue(rows, row, 0), 4);
    }
    PQclear(rows);
    return keys;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return fprintf(stderr, "usage: floor CONNINFO SQL TIMES SECONDS INTERVAL_MS\n"), 2;
    const char *sql = argv[2];
    int times = atoi(argv[3]), interval = atoi(argv[5]);
    double most_ms = atof(argv[4]) * 1e3;
    PGconn *connection = PQconnectdb(argv[1]);
    if (PQstatus(connection) != CONNECTION_OK)
        fail(connection, "connecting");
    int with_keys = strstr(sql, "$1") != NULL, length = 0, binary = 1;
    const char *keys = with_keys ? running_keys(connection, &length) : NULL;
    Oid type = 1007; /* int4[] */
    PGresult *answer = PQprepare(connection, "bare", sql, with_keys, &type);
    if (PQresultStatus(answer) != PGRES_COMMAND_OK)
        fail(connection, "preparing");
    PQclear(answer);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF)
        return 1;

    double *took = malloc(sizeof(double) * times), start = clock_ms(CLOCK_MONOTONIC), sum = 0;
    double cpu = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    long rows = 0, bytes = 0;
    int done = 0;
    while (done < times && (done < 3 || clock_ms(CLOCK_MONOTONIC) - start < most_ms)) {
        struct timespec pause = {interval / 1000, interval % 1000 * 1000000L};
        if (interval)
            nanosleep(&pause, NULL);
        double began = clock_ms(CLOCK_MONOTONIC);
        answer = PQexecPrepared(connection, "bare", with_keys, &keys, &length, &binary, 1);
        if (PQresultStatus(answer) != PGRES_TUPLES_OK)
            fail(connection, "asking");
        rows = PQntuples(answer);
        bytes = 0;
        for (long row = 0; row < rows; row++)
            for (int column = 0; column < PQnfields(answer); column++)
                bytes += PQgetlength(answer, row, column);
        PQclear(answer);
        took[done] = clock_ms(CLOCK_MONOTONIC) - began;
        sum += took[done++];
    }
    cpu = clock_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    qsort(took, done, sizeof(double), ascending);
    printf("{\"times\": %d, \"wall_ms\": %.4f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"rows\": %ld, \"bytes\": %ld, "
           "\"cpu_ms\": %.4f}\n",
           done, sum / done, took[done / 2], took[(done * 99 + 99) / 100 - 1], rows, bytes, cpu / done);
    PQfinish(connection);
    return 0;
}
