/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plugin cannot do: run for ever, in whatever place; eat memory; be missed by an interrupt from
 * another thread or from a signal handler.
 */
#include "engine_fixture.h"

#include <signal.h>
#include <stdatomic.h>

/* The limit and what the watchdog may add: a few milliseconds, but on a busy machine it waits for its turn.
 */
#define LIMIT_NS (20 * MS)
#define LATE_NS  (30 * 1000 * MS)

static const char tick_loops[] = WAT_HEAD WAT_BODY
    "(func $spin (loop $l br $l)) (func (export \"proxy_on_tick\") (param i32) call $spin)" WAT_TAIL;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

struct stopwatch {
    uint64_t began_ns;
    uint64_t began_cpu_ns;
};

static struct stopwatch stopwatch_start(void)
{
    return (struct stopwatch){now_ns(), clock_ns(CLOCK_THREAD_CPUTIME_ID)};
}

/* A guest that loops was stopped: not before its limit, and soon after, not counting time in which others
 * ran. */
static void assert_stopped_in_time(const struct stopwatch *s)
{
    assert_true(now_ns() - s->began_ns >= LIMIT_NS);
    assert_in_range(clock_ns(CLOCK_THREAD_CPUTIME_ID) - s->began_cpu_ns, 0, LIMIT_NS + LATE_NS);
}

static struct pw_failure last_failure;
static char last_message[512];
static char last_backtrace[2048];

static void take_slice(char *dst, size_t room, struct pw_slice s)
{
    size_t n = s.len < room - 1 ? s.len : room - 1;

    memcpy(dst, s.ptr, n);
    dst[n] = '\0';
}

static void on_failed(void *ctx, const struct pw_failure *failure)
{
    (void)ctx;
    last_failure = *failure;
    take_slice(last_message, sizeof(last_message), failure->message);
    take_slice(last_backtrace, sizeof(last_backtrace), failure->backtrace);
}

static const struct pw_vm_ops vm_ops = {.size = sizeof(vm_ops), .failed = on_failed};

static void attach(struct vm_fixture *v)
{
    memset(&last_failure, 0, sizeof(last_failure));
    pw_vm_attach(v->vm, &vm_ops, NULL);
}

static void a_looping_callback_is_stopped(void **state)
{
    const struct pw_limits limits = {.callback_time_max_ns = LIMIT_NS};
    struct pw_module *module = must_load(tick_loops);
    struct vm_fixture v;
    struct stopwatch watch;

    (void)state;
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    watch = stopwatch_start();
    pw_root_tick(v.root);
    assert_true(pw_vm_failed(v.vm));
    assert_int_equal(last_failure.error, PW_ERR_TIMEOUT);
    assert_string_equal(last_failure.function, "proxy_on_tick");
    assert_string_equal(last_message, "time limit of 20 ms passed");
    assert_non_null(strstr(last_backtrace, " - spin\n"));
    assert_non_null(strstr(last_backtrace, " - proxy_on_tick\n"));
    assert_stopped_in_time(&watch);
    vm_close(&v);
    pw_module_unref(&module);
}

/* One that only just keeps its limit is never stopped early: the watcher counts from when it saw the call. */
static void short_calls_are_not_stopped(void **state)
{
    const struct pw_limits limits = {.callback_time_max_ns = LIMIT_NS};
    struct pw_module *module = must_load(
        WAT_HEAD WAT_BODY
        "(func (export \"proxy_on_tick\") (param i32) (local $i i32) (loop $l (local.set $i (i32.add "
        "(local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 100000)))))" WAT_TAIL);
    struct vm_fixture v;
    uint64_t until;

    (void)state;
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    for (until = now_ns() + 5 * LIMIT_NS; now_ns() < until;)
        pw_root_tick(v.root);
    assert_false(pw_vm_failed(v.vm));
    vm_close(&v);
    pw_module_unref(&module);
}

static void open_times_out(const char *text, const char *place)
{
    const struct pw_limits limits = {.start_time_max_ns = LIMIT_NS};
    struct pw_module *module = must_load(text);
    struct vm_fixture v;
    struct stopwatch watch = stopwatch_start();

    assert_int_equal(vm_open(&v, module, &limits), PW_ERR_TIMEOUT);
    if (!strstr(fixture.why.text, "time limit of 20 ms passed"))
        fail_msg("%s: %s", place, fixture.why.text);
    assert_stopped_in_time(&watch);
    vm_close(&v);
    pw_module_unref(&module);
}

static void a_looping_start_is_stopped(void **state)
{
    (void)state;
    open_times_out(WAT_HEAD WAT_BODY "(func $spin (loop $l br $l)) (start $spin)" WAT_TAIL, "start section");
    open_times_out(WAT_HEAD WAT_BODY "(func (export \"_initialize\") (loop $l br $l))" WAT_TAIL,
                   "_initialize");
    open_times_out(WAT_HEAD WAT_BODY "(func (export \"_start\") (loop $l br $l))" WAT_TAIL, "_start");
    open_times_out(WAT_HEAD WAT_BODY
                   "(func (export \"_initialize\")) (func (export \"main\") (param i32 i32) (result "
                   "i32) (loop $l br $l) unreachable)" WAT_TAIL,
                   "main");
    open_times_out(WAT_HEAD WAT_BODY
                   "(func (export \"proxy_on_vm_start\") (param i32 i32) (result i32) (loop $l br $l) "
                   "unreachable)" WAT_TAIL,
                   "proxy_on_vm_start");
}

/* The limit of the callback holds for an allocation inside a host call inside it. */
static void a_looping_malloc_is_stopped(void **state)
{
    const struct pw_limits limits = {.callback_time_max_ns = LIMIT_NS};
    struct pw_module *module = must_load(
        WAT_HEAD "(import \"env\" \"proxy_get_property\" (func $get (param i32 i32 i32 i32) (result i32))) "
                 "(memory (export \"memory\") 2) (data (i32.const 64) \"plugin_name\") "
                 "(func (export \"proxy_abi_version_0_2_1\")) "
                 "(func $slow (export \"malloc\") (param i32) (result i32) (loop $l br $l) unreachable) "
                 "(func (export \"proxy_on_tick\") (param i32) (drop (call $get (i32.const 64) (i32.const "
                 "11) (i32.const "
                 "0) (i32.const 4))) (loop $l br $l))" WAT_TAIL);
    struct vm_fixture v;
    struct stopwatch watch;

    (void)state;
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    watch = stopwatch_start();
    pw_root_tick(v.root);
    assert_int_equal(last_failure.error, PW_ERR_TIMEOUT);
    assert_non_null(strstr(last_backtrace, " - slow\n"));
    assert_stopped_in_time(&watch);
    vm_close(&v);
    pw_module_unref(&module);
}

static void no_limit_is_no_limit(void **state)
{
    const struct pw_limits limits = {.callback_time_max_ns = UINT64_MAX};
    /* 50 million rounds: longer than the default limit of 20 ms. */
    struct pw_module *module = must_load(
        WAT_HEAD WAT_BODY
        "(func (export \"proxy_on_tick\") (param i32) (local $i i32) (loop $l (local.set $i (i32.add "
        "(local.get $i) (i32.const 1))) (i32.store (i32.const 0) (local.get $i)) (br_if $l (i32.lt_u "
        "(local.get $i) (i32.const 50000000)))))" WAT_TAIL);
    struct vm_fixture v;

    (void)state;
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    pw_root_tick(v.root);
    assert_false(pw_vm_failed(v.vm));
    vm_close(&v);
    pw_module_unref(&module);
}

static atomic_bool interrupted;

/* Again and again: the guest may have begun after the first time. */
static void *interrupt_later(void *arg)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

    while (!atomic_load(&interrupted)) {
        nanosleep(&pause, NULL);
        pw_engine_interrupt(arg);
    }
    return NULL;
}

static void another_thread_interrupts(void **state)
{
    const struct pw_limits limits = {.callback_time_max_ns = UINT64_MAX};
    struct pw_module *module = must_load(tick_loops);
    struct vm_fixture v, next;
    pthread_t thread;

    (void)state;
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    assert_int_equal(pthread_create(&thread, NULL, interrupt_later, fixture.engine), 0);
    pw_root_tick(v.root);
    atomic_store(&interrupted, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(last_failure.error, PW_ERR_TIMEOUT);
    assert_string_equal(last_message, "interrupted by the host");
    /* What begins afterwards runs. */
    assert_int_equal(vm_open(&next, module, &limits), PW_OK);
    vm_close(&next);
    vm_close(&v);
    pw_module_unref(&module);
}

static void interrupt_handler(int signal)
{
    (void)signal;
    pw_engine_interrupt(fixture.engine);
}

static void a_signal_handler_interrupts(void **state)
{
    const struct pw_limits limits = {.callback_time_max_ns = UINT64_MAX};
    const struct sigaction action = {.sa_handler = interrupt_handler};
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    const struct itimerspec again = {.it_value = pause, .it_interval = pause};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct pw_module *module = must_load(tick_loops);
    struct vm_fixture v;
    timer_t timer;

    (void)state;
    if (UNDER_TSAN) {
        pw_module_unref(&module);
        skip(); /* it keeps signals back until the program calls it, which guest code does not */
    }
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    assert_int_equal(timer_settime(timer, 0, &again, NULL), 0);
    pw_root_tick(v.root);
    assert_string_equal(last_message, "interrupted by the host");
    assert_int_equal(timer_delete(timer), 0);
    vm_close(&v);
    pw_module_unref(&module);
}

struct looper {
    struct pw_module *module;
    int error;
    atomic_bool *done;
};

static void looper_failed(void *ctx, const struct pw_failure *failure)
{
    struct looper *looper = ctx;

    looper->error = failure->error;
}

static void *loop_until_stopped(void *arg)
{
    static const struct pw_vm_ops ops = {.size = sizeof(ops), .failed = looper_failed};
    const struct pw_limits limits = {.callback_time_max_ns = LIMIT_NS};
    struct looper *looper = arg;
    struct vm_fixture v = {0};
    struct pw_vm_config config = {.size = sizeof(config), .limits = limits};
    struct pw_plugin_config plugin = {.size = sizeof(plugin)};
    struct pw_message why;

    if (pw_vm_create(looper->module, &config, &v.vm, &why) == PW_OK &&
        pw_plugin_create(&plugin, &v.plugin) == PW_OK &&
        pw_root_create(v.vm, v.plugin, &v.root, &why) == PW_OK) {
        pw_vm_attach(v.vm, &ops, looper);
        pw_root_tick(v.root);
    }
    vm_close(&v);
    atomic_store(looper->done, true);
    return NULL;
}

/* One looping plugin does not end the calls of others, whose stores see the same epoch. */
static void others_go_on(void **state)
{
    const struct pw_limits limits = {.callback_time_max_ns = 60 * 1000 * MS};
    struct pw_module *loops = must_load(tick_loops);
    struct pw_module *module = must_load(
        WAT_HEAD WAT_BODY
        "(func (export \"proxy_on_tick\") (param i32) (local $i i32) (loop $l (local.set $i (i32.add "
        "(local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000)))))" WAT_TAIL);
    atomic_bool done = false;
    struct looper looper = {.module = loops, .done = &done};
    struct vm_fixture v;
    pthread_t thread;

    (void)state;
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    assert_int_equal(pthread_create(&thread, NULL, loop_until_stopped, &looper), 0);
    while (!atomic_load(&done))
        pw_root_tick(v.root);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(looper.error, PW_ERR_TIMEOUT);
    assert_false(pw_vm_failed(v.vm));
    vm_close(&v);
    pw_module_unref(&module);
    pw_module_unref(&loops);
}

/* Memory. */

static void too_much_memory_from_the_start_is_refused(void **state)
{
    const struct pw_limits limits = {.memory_max_bytes = 65536};
    struct pw_module *module = must_load(WAT_HEAD WAT_BODY WAT_TAIL);
    struct vm_fixture v;

    (void)state;
    assert_int_equal(vm_open(&v, module, &limits), PW_ERR_LIMIT);
    assert_non_null(strstr(fixture.why.text, "begins with 131072 bytes, the limit is 65536 bytes"));
    vm_close(&v);
    pw_module_unref(&module);
}

static void growth_beyond_the_cap_fails_in_the_guest(void **state)
{
    const struct pw_limits limits = {.memory_max_bytes = 4 * 65536};
    /* Grows until it cannot; a wrong answer is a trap. */
    struct pw_module *module = must_load(
        WAT_HEAD WAT_BODY "(func (export \"proxy_on_tick\") (param i32) "
                          "(if (i32.ne (memory.grow (i32.const 2)) (i32.const 2)) (then unreachable)) "
                          "(if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) "
                          "(if (i32.ne (memory.size) (i32.const 4)) (then unreachable)) "
                          "(i32.store (i32.const 262140) (i32.const 7)))" WAT_TAIL);
    struct pw_vm_stats stats;
    struct vm_fixture v;

    (void)state;
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    pw_root_tick(v.root);
    assert_false(pw_vm_failed(v.vm));
    pw_vm_stats(v.vm, &stats);
    assert_int_equal(stats.memory_bytes, 4 * 65536);
    vm_close(&v);
    pw_module_unref(&module);
}

static void a_huge_table_is_refused(void **state)
{
    struct pw_module *module = must_load(WAT_HEAD WAT_BODY "(table 200000 funcref)" WAT_TAIL);
    struct vm_fixture v;

    (void)state;
    assert_int_equal(vm_open(&v, module, NULL), PW_ERR_LIMIT);
    assert_true(strlen(fixture.why.text) > 20);
    vm_close(&v);
    pw_module_unref(&module);
}

/* Other configurations of the engine. */

static void loop_and_trap_with(const struct pw_engine_config *config)
{
    const struct pw_limits limits = {.callback_time_max_ns = LIMIT_NS};
    struct pw_module *module;
    struct vm_fixture v;

    fixture_stop(NULL);
    fixture_start_with("wasmtime", config, NULL);
    module = must_load(tick_loops);
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    pw_root_tick(v.root);
    assert_int_equal(last_failure.error, PW_ERR_TIMEOUT);
    vm_close(&v);
    pw_module_unref(&module);
    module =
        must_load(WAT_HEAD WAT_BODY "(func (export \"proxy_on_tick\") (param i32) (drop (i32.load (i32.const "
                                    "-4))))" WAT_TAIL);
    assert_int_equal(vm_open(&v, module, &limits), PW_OK);
    attach(&v);
    pw_root_tick(v.root);
    assert_int_equal(last_failure.error, PW_ERR_TRAP);
    assert_string_equal(last_message, "out of bounds memory access");
    vm_close(&v);
    pw_module_unref(&module);
}

static void without_signal_handlers(void **state)
{
    const struct pw_engine_config config = {
        .size = sizeof(config), .interruptible = true, .no_signal_handlers = true};

    (void)state;
    loop_and_trap_with(&config);
}

static void pooled(void **state)
{
    const struct pw_engine_config config = {
        .size = sizeof(config), .interruptible = true, .pool_slots = 4, .pool_memory_bytes = 1 << 20};
    struct vm_fixture v[5];
    struct pw_module *module;

    (void)state;
    loop_and_trap_with(&config);
    module = must_load(WAT_HEAD WAT_BODY WAT_TAIL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(vm_open(&v[i], module, NULL), PW_OK);
    /* The pool is used up: an error, not a crash, and only until a slot is free. */
    assert_int_equal(vm_open(&v[4], module, NULL), PW_ERR_LIMIT);
    vm_close(&v[4]);
    vm_close(&v[0]);
    assert_int_equal(vm_open(&v[4], module, NULL), PW_OK);
    for (int i = 1; i < 5; i++)
        vm_close(&v[i]);
    pw_module_unref(&module);
    must_not_load(
        "(module (memory (export \"memory\") 17) (func (export \"proxy_abi_version_0_2_1\")) (func (export "
        "\"malloc\") (param i32) (result i32) (i32.const 8)))",
        PW_ERR_LIMIT, "begins with 1114112 bytes, a pooled instance has 1048576");
}

static void impossible_pools_are_refused(void **state)
{
    struct pw_engine_config config = {
        .size = sizeof(config), .pool_slots = 60000, .pool_memory_bytes = 1 << 20};
    struct pw_engine *engine = NULL;

    (void)state;
    /* 60,000 times 4 GiB is more than a process can address. */
    assert_int_equal(pw_engine_create(fixture.host, "wasmtime", &config, &engine, &fixture.why),
                     PW_ERR_LIMIT);
    assert_non_null(strstr(fixture.why.text, "60000"));
    config.pool_slots = 8;
    config.pool_memory_bytes = 0;
    assert_int_equal(pw_engine_create(fixture.host, "wasmtime", &config, &engine, &fixture.why),
                     PW_ERR_INVALID_ARGUMENT);
    assert_int_equal(pw_engine_create(fixture.host, "v8", &config, &engine, &fixture.why),
                     PW_ERR_INVALID_ARGUMENT);
    assert_string_equal(fixture.why.text, "no engine \"v8\"");
    assert_null(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_looping_callback_is_stopped),
        cmocka_unit_test(short_calls_are_not_stopped),
        cmocka_unit_test(a_looping_start_is_stopped),
        cmocka_unit_test(a_looping_malloc_is_stopped),
        cmocka_unit_test(no_limit_is_no_limit),
        cmocka_unit_test(another_thread_interrupts),
        cmocka_unit_test(a_signal_handler_interrupts),
        cmocka_unit_test(others_go_on),
        cmocka_unit_test(too_much_memory_from_the_start_is_refused),
        cmocka_unit_test(growth_beyond_the_cap_fails_in_the_guest),
        cmocka_unit_test(a_huge_table_is_refused),
        cmocka_unit_test(without_signal_handlers),
        cmocka_unit_test(pooled),
        cmocka_unit_test(impossible_pools_are_refused),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
