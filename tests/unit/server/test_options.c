/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: every form of a flag, and what is said about wrong ones.
 */
#include "base/assert.h"
#include "server/options.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ARGS_MAX 12

static bool parse(const char *const *args, struct server_options *out, char error[512])
{
    char *argv[ARGS_MAX + 1] = {(char *)"weir"};
    int argc = 1;
    while (args[argc - 1]) {
        argv[argc] = (char *)args[argc - 1];
        argc++;
        assert_true(argc <= ARGS_MAX);
    }
    error[0] = '\0';
    return server_options_parse(argc, argv, out, error);
}

static void all_flags(void **state)
{
    (void)state;
    static const char *const args[] = {"-c",
                                       "a.yaml",
                                       "--concurrency=3",
                                       "--log-level",
                                       "debug",
                                       "--component-log-level=wasm:trace,http:off,wasm:info",
                                       "--drain-time-s",
                                       "7",
                                       "--mode=validate",
                                       NULL};
    struct server_options o;
    char error[512];
    assert_true(parse(args, &o, error));
    assert_string_equal(o.config_path, "a.yaml");
    assert_int_equal(o.concurrency, 3);
    assert_int_equal(o.log_level, LOG_DEBUG);
    assert_int_equal(o.drain_time_s, 7);
    assert_int_equal(o.mode, SERVER_VALIDATE);
    assert_int_equal(o.component_levels_count, 2);
    assert_int_equal(o.component_levels[0].component, LOG_C_WASM);
    assert_int_equal(o.component_levels[0].level, LOG_INFO);
    assert_int_equal(o.component_levels[1].level, LOG_OFF);
    server_options_fini(&o);
}

static void short_forms_and_defaults(void **state)
{
    (void)state;
    static const char *const args[] = {"-ca.json",      "-lwarn", "--disable-hot-restart",
                                       "--socket-mode", "600",    NULL};
    struct server_options o;
    char error[512];
    assert_true(parse(args, &o, error));
    assert_string_equal(o.config_path, "a.json");
    assert_int_equal(o.log_level, LOG_WARN);
    assert_int_equal(o.drain_time_s, 600);
    assert_int_equal(o.parent_shutdown_time_s, 900);
    assert_true(o.hot_restart_disabled && !o.drain_immediate && !o.base_id_given);
    assert_int_equal(o.concurrency, 0);
    assert_int_equal(o.mode, SERVER_SERVE);
    assert_string_equal(strbuf_cstr(&o.ignored), "--socket-mode");
    server_options_fini(&o);
}

static void help_and_version_need_no_configuration(void **state)
{
    (void)state;
    static const char *const version[] = {"--version", NULL};
    static const char *const help[] = {"-h", NULL};
    struct server_options o;
    char error[512];
    assert_true(parse(version, &o, error));
    assert_int_equal(o.mode, SERVER_PRINT);
    assert_memory_equal(strbuf_cstr(&o.print), "weir ", 5);
    server_options_fini(&o);
    assert_true(parse(help, &o, error));
    assert_non_null(strstr(strbuf_cstr(&o.print), "-c, --config-path VALUE"));
    assert_null(strstr(strbuf_cstr(&o.print), "socket-mode"));
    server_options_fini(&o);
}

static void wrong_ones_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *args[4];
        const char *error;
    } cases[] = {
        {{NULL}, "no configuration: give -c FILE, or --config-yaml TEXT"},
        {{"-c", NULL}, "--config-path needs a value"},
        {{"-x", NULL}, "unknown argument \"-x\": --help lists the flags"},
        {{"a.yaml", NULL}, "unknown argument \"a.yaml\": --help lists the flags"},
        {{"--version=1", NULL}, "--version takes no value"},
        {{"--concurrency", "0", NULL}, "--concurrency: \"0\" is not valid: use a number from 1 to 1024"},
        {{"--concurrency", "-1", NULL}, "--concurrency: \"-1\" is not valid: use a number from 1 to 1024"},
        {{"--drain-time-s=99999999999", NULL},
         "--drain-time-s: \"99999999999\" is not valid: use a number of seconds"},
        {{"--drain-strategy", "slow", NULL},
         "--drain-strategy: \"slow\" is not valid: use gradual or immediate"},
        {{"--use-dynamic-base-id", "--base-id=1", NULL},
         "--use-dynamic-base-id is for a first process: it goes neither with --base-id nor with "
         "--restart-epoch"},
        {{"--disable-hot-restart", "--restart-epoch=1", NULL},
         "--restart-epoch replaces a process: it does not go with --disable-hot-restart"},
        {{"--mode", "init", NULL}, "--mode: \"init\" is not valid: use serve or validate"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cases); i++) {
        struct server_options o;
        char error[512];
        assert_false(parse(cases[i].args, &o, error));
        assert_string_equal(error, cases[i].error);
        server_options_fini(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_flags),
        cmocka_unit_test(short_forms_and_defaults),
        cmocka_unit_test(help_and_version_need_no_configuration),
        cmocka_unit_test(wrong_ones_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
