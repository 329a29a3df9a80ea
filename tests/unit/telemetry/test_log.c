/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log and its thread: format, levels, cutting, reopening, and what happens when the disk is slower than
 * the writers.
 */
#include "base/strbuf.h"
#include "telemetry/log.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char dir[64];
    char path[128];
    char moved[128];
};

static int place_make(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    memcpy(p->dir, "/tmp/weir-log-XXXXXX", 21);
    if (!p || !mkdtemp(p->dir))
        return -1;
    snprintf(p->path, sizeof(p->path), "%s/log", p->dir);
    snprintf(p->moved, sizeof(p->moved), "%s/log.1", p->dir);
    *state = p;
    return 0;
}

static int place_remove(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    unlink(p->moved);
    rmdir(p->dir);
    free(p);
    return 0;
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 20);
    assert_non_null(f);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static void lines_have_envoys_shape(void **state)
{
    struct place *p = *state;
    assert_true(log_start(p->path));
    log_set_all(LOG_INFO);
    log_write(HTTP, INFO, "hello %d\nsecond", 42);
    log_write(HTTP, DEBUG, "not shown");
    log_set_level(LOG_C_HTTP, LOG_DEBUG);
    log_write(HTTP, DEBUG, "shown");
    log_write(MAIN, DEBUG, "not shown either");
    log_set_all(LOG_INFO);
    log_stop();
    char *text = read_file(p->path);
    assert_int_equal(text[0], '[');
    assert_non_null(strstr(text, "][info][http] [test_log.c:"));
    assert_non_null(strstr(text, "] hello 42\\nsecond\n"));
    assert_non_null(strstr(text, "][debug][http] "));
    assert_null(strstr(text, "not shown"));
    free(text);
}

static void long_lines_are_cut(void **state)
{
    struct place *p = *state;
    static char big[3 * LOG_LINE_MAX];
    memset(big, 'x', sizeof(big) - 1);
    assert_true(log_start(p->path));
    log_write(MAIN, ERROR, "%s", big);
    log_write(MAIN, ERROR, "after");
    log_stop();
    char *text = read_file(p->path);
    char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_memory_equal(end - 4, "x...", 4);
    assert_true((size_t)(end - text) < LOG_LINE_MAX + 512);
    assert_non_null(strstr(end, "] after\n"));
    free(text);
}

static void reopen_follows_rotation(void **state)
{
    struct place *p = *state;
    assert_true(log_start(NULL));
    struct log_file *file = log_file_open(p->path);
    assert_non_null(file);
    log_file_write(file, SLICE_LIT("one\n"));
    assert_int_equal(rename(p->path, p->moved), 0);
    log_reopen();
    /* The new file appears when the log thread has reopened. */
    for (int i = 0; i < 5000 && access(p->path, F_OK) != 0; i++)
        usleep(1000);
    log_file_write(file, SLICE_LIT("two\n"));
    log_file_unref(&file);
    log_stop();
    char *old = read_file(p->moved);
    char *new = read_file(p->path);
    assert_string_equal(old, "one\n");
    assert_string_equal(new, "two\n");
    free(old);
    free(new);
}

static void *drain_main(void *arg)
{
    static char sink[1 << 16];
    while (read(*(int *)arg, sink, sizeof(sink)) > 0) {
    }
    return NULL;
}

static void the_queue_has_a_cap(void **state)
{
    (void)state;
    int ends[2];
    char path[64];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
    assert_true(log_start(NULL));
    /* Nobody reads the pipe: the log thread blocks in write, writers must not. */
    struct log_file *file = log_file_open(path);
    assert_non_null(file);
    static char chunk[1 << 20];
    memset(chunk, 'y', sizeof(chunk));
    uint64_t before = log_dropped();
    for (int i = 0; i < 40; i++)
        log_file_write(file, slice_of(chunk, sizeof(chunk)));
    assert_true(log_dropped() > before);
    close(ends[1]);
    /* Un-block the thread: drain until it has closed its end. */
    pthread_t drain;
    assert_int_equal(pthread_create(&drain, NULL, drain_main, &ends[0]), 0);
    log_file_unref(&file);
    pthread_join(drain, NULL);
    log_stop();
    close(ends[0]);
}

static void files_are_shared_by_path(void **state)
{
    struct place *p = *state;
    struct log_file *a = log_file_open(p->path);
    struct log_file *b = log_file_open(p->path);
    assert_ptr_equal(a, b);
    log_file_write(a, SLICE_LIT("unstarted\n"));
    log_file_unref(&a);
    assert_null(a);
    log_file_unref(&b);
    assert_null(log_file_open("/nonexistent-dir/x"));
    char *text = read_file(p->path);
    assert_string_equal(text, "unstarted\n");
    free(text);
}

static void names_parse_back(void **state)
{
    (void)state;
    enum log_level level;
    enum log_component c;
    for (int i = LOG_TRACE; i <= LOG_OFF; i++) {
        assert_true(log_level_parse(slice_str(log_level_name((enum log_level)i)), &level));
        assert_int_equal(level, i);
    }
    assert_true(log_level_parse(SLICE_LIT("warn"), &level));
    assert_int_equal(level, LOG_WARN);
    assert_false(log_level_parse(SLICE_LIT("loud"), &level));
    assert_true(log_component_parse(SLICE_LIT("wasm"), &c));
    assert_int_equal(c, LOG_C_WASM);
    assert_false(log_component_parse(SLICE_LIT("Wasm"), &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_have_envoys_shape, place_make, place_remove),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, place_make, place_remove),
        cmocka_unit_test_setup_teardown(reopen_follows_rotation, place_make, place_remove),
        cmocka_unit_test(the_queue_has_a_cap),
        cmocka_unit_test_setup_teardown(files_are_shared_by_path, place_make, place_remove),
        cmocka_unit_test(names_parse_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
