/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of engines and modules share: a host whose log is kept, an engine with its watchdog, and
 * short ways to load a text module and run it in a VM.
 */
#ifndef TESTS_ENGINE_FIXTURE_H
#define TESTS_ENGINE_FIXTURE_H

#include <proxywasm/proxywasm.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__) || UNDER_TSAN
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

/* Traps of guest code are signals, in whose handler the engine allocates: safe, as guest code is not malloc.
 */
const char *__tsan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void)
{
    return "report_signal_unsafe=0";
}

struct engine_fixture {
    struct pw_posix *posix;
    struct pw_host_ops ops;
    struct pw_host *host;
    struct pw_engine *engine;
    struct pw_watchdog *watchdog;
    struct pw_message why;
    pthread_mutex_t lock;
    char log[16384]; /* lines, oldest first; what does not fit is dropped */
};

static struct engine_fixture fixture;

/* cmocka sets its own handlers before each test; the engine set its ones once and needs them. */
static const int trap_signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS};
static struct sigaction trap_actions[4];
static bool trap_actions_known;

static void fixture_keep_signals(void)
{
    for (int i = 0; i < 4 && !trap_actions_known; i++)
        sigaction(trap_signals[i], NULL, &trap_actions[i]);
    trap_actions_known = true;
}

static void fixture_restore_signals(void)
{
    for (int i = 0; i < 4 && trap_actions_known; i++)
        sigaction(trap_signals[i], &trap_actions[i], NULL);
}

static void fixture_log(void *ctx, const struct pw_log_record *record)
{
    size_t used;

    (void)ctx;
    pthread_mutex_lock(&fixture.lock);
    used = strlen(fixture.log);
    (void)snprintf(fixture.log + used, sizeof(fixture.log) - used, "%.*s\n", (int)record->text.len,
                   record->text.ptr);
    pthread_mutex_unlock(&fixture.lock);
}

static uint32_t fixture_log_level(void *ctx)
{
    (void)ctx;
    return PW_LOG_TRACE;
}

__attribute__((unused)) static void fixture_start_posix(const char *engine,
                                                        const struct pw_engine_config *config,
                                                        const struct pw_posix_config *posix)
{
    memset(&fixture, 0, sizeof(fixture));
    pthread_mutex_init(&fixture.lock, NULL);
    assert_int_equal(pw_posix_create(posix, &fixture.posix, &fixture.why), PW_OK);
    fixture.ops =
        (struct pw_host_ops){.size = sizeof(fixture.ops), .log = fixture_log, .log_level = fixture_log_level};
    pw_posix_fill(fixture.posix, &fixture.ops);
    fixture.host = pw_host_create(&fixture.ops, fixture.posix);
    assert_non_null(fixture.host);
    assert_int_equal(pw_engine_create(fixture.host, engine, config, &fixture.engine, &fixture.why), PW_OK);
    assert_int_equal(pw_watchdog_start(fixture.engine, &fixture.watchdog), PW_OK);
    if (!config->no_signal_handlers)
        fixture_keep_signals();
}

/* `cache_dir` may be NULL. */
__attribute__((unused)) static void
fixture_start_with(const char *engine, const struct pw_engine_config *config, const char *cache_dir)
{
    struct pw_posix_config posix = {.size = sizeof(posix), .cache_dir = cache_dir};

    fixture_start_posix(engine, config, &posix);
}

__attribute__((unused)) static int fixture_start(void **state)
{
    struct pw_engine_config config = {.size = sizeof(config), .interruptible = true};

    (void)state;
    fixture_start_with("wasmtime", &config, NULL);
    return 0;
}

__attribute__((unused)) static int fixture_stop(void **state)
{
    (void)state;
    pw_watchdog_stop(&fixture.watchdog);
    pw_engine_destroy(&fixture.engine);
    pw_host_destroy(&fixture.host);
    pw_posix_destroy(&fixture.posix);
    pthread_mutex_destroy(&fixture.lock);
    return 0;
}

__attribute__((unused)) static int load_bytes(const void *code, size_t len, struct pw_module **out)
{
    static const char name[] = "test";

    memset(&fixture.why, 0, sizeof(fixture.why));
    *out = NULL;
    fixture_restore_signals();
    return pw_module_load(fixture.engine, (struct pw_slice){name, sizeof(name) - 1},
                          (struct pw_slice){code, len}, out, &fixture.why);
}

__attribute__((unused)) static int load_text(const char *text, struct pw_module **out)
{
    return load_bytes(text, strlen(text), out);
}

/* A module that loads. */
__attribute__((unused)) static struct pw_module *must_load(const char *text)
{
    struct pw_module *module;

    if (load_text(text, &module) != PW_OK)
        fail_msg("load: %s", fixture.why.text);
    return module;
}

__attribute__((unused)) static void must_not_load(const char *text, int error, const char *message)
{
    struct pw_module *module;

    assert_int_equal(load_text(text, &module), error);
    assert_null(module);
    if (!strstr(fixture.why.text, message))
        fail_msg("\"%s\" is not in \"%s\"", message, fixture.why.text);
}

/* The parts every plugin has: one memory, a bump allocator, a marker. */
#define WAT_HEAD "(module "
#define WAT_BODY WAT_BODY_OF("0_2_1")
#define WAT_BODY_OF(abi)                                                                                     \
    "(memory (export \"memory\") 2) (global $top (mut i32) (i32.const 4096)) "                               \
    "(func (export \"proxy_abi_version_" abi "\")) "                                                         \
    "(func $malloc (export \"malloc\") (param i32) (result i32) (global.get $top) "                          \
    "(global.set $top (i32.add (global.get $top) (local.get 0)))) "
#define WAT_TAIL ")"

/* A VM of `module` and one root of it. */
struct vm_fixture {
    struct pw_vm *vm;
    struct pw_plugin *plugin;
    struct pw_root *root;
    int error; /* of the step that failed */
};

__attribute__((unused)) static int vm_open(struct vm_fixture *v, struct pw_module *module,
                                           const struct pw_limits *limits)
{
    struct pw_vm_config config = {.size = sizeof(config)};
    struct pw_plugin_config plugin = {.size = sizeof(plugin), .name = {"a name", 6}};

    memset(v, 0, sizeof(*v));
    memset(&fixture.why, 0, sizeof(fixture.why));
    if (limits)
        config.limits = *limits;
    v->error = pw_vm_create(module, &config, &v->vm, &fixture.why);
    if (v->error == PW_OK)
        v->error = pw_plugin_create(&plugin, &v->plugin);
    if (v->error == PW_OK)
        v->error = pw_root_create(v->vm, v->plugin, &v->root, &fixture.why);
    return v->error;
}

__attribute__((unused)) static void vm_close(struct vm_fixture *v)
{
    pw_vm_destroy(&v->vm); /* with its root */
    if (v->plugin)
        pw_plugin_unref(&v->plugin);
}

#endif
