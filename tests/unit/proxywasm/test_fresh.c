/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fresh VM per stream: each begins as the model was after configure whatever others did, failures stay
 * where they happen, a full pool is an error, and nothing grows.
 */
#include "engine_fixture.h"
#include "support/fake_stream.h"

#include "base/assert.h"

#include <unistd.h>

#define IMPORTS                                                                                              \
    "(import \"env\" \"proxy_define_metric\" (func $define (param i32 i32 i32 i32) (result i32))) "          \
    "(import \"env\" \"proxy_increment_metric\" (func $increment (param i32 i64) (result i32))) "            \
    "(import \"env\" \"proxy_get_metric\" (func $get (param i32 i32) (result i32))) "                        \
    "(import \"env\" \"proxy_set_tick_period_milliseconds\" (func $tick (param i32) (result i32))) "         \
    "(import \"env\" \"proxy_register_shared_queue\" (func $queue (param i32 i32 i32) (result i32))) "

/* 64: a marker; 128: the model's metric; 132: a stream's own. */
static const char model_text[] = WAT_HEAD IMPORTS WAT_BODY
    "(global $n (mut i32) (i32.const 0)) (data (i32.const 256) \"cd\") "
    "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) "
    " (i32.store (i32.const 64) (i32.const 77)) (global.set $n (i32.const 5)) "
    " (drop (call $define (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 128))) "
    " (drop (call $tick (i32.const 100))) "
    " (drop (call $queue (i32.const 256) (i32.const 1) (i32.const 160))) (i32.const 1)) "
    /* Traps unless it is the first to be here. */
    "(func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) "
    " (if (i32.or (i32.ne (i32.load (i32.const 64)) (i32.const 77)) (i32.ne (global.get $n) (i32.const 5))) "
    "  (then unreachable)) "
    " (if (i32.ne (memory.size) (i32.const 2)) (then unreachable)) "
    " (i32.store (i32.const 64) (i32.const 1)) (global.set $n (i32.const 6)) "
    " (drop (memory.grow (i32.const 3))) (i32.store (i32.const 300000) (i32.const 1)) "
    " (drop (call $increment (i32.load (i32.const 128)) (i64.const 1))) "
    " (drop (call $define (i32.const 0) (i32.const 257) (i32.const 1) (i32.const 132))) "
    " (if (i32.ne (i32.load (i32.const 132)) (i32.const 8)) (then unreachable)) "
    " (drop (call $tick (i32.const 7))) "
    " (drop (call $queue (i32.const 257) (i32.const 1) (i32.const 160))) (i32.const 0)) "
    /* Goes on when the model's metric stands at 3. */
    "(func (export \"proxy_on_request_trailers\") (param i32 i32) (result i32) "
    " (drop (call $get (i32.load (i32.const 128)) (i32.const 136))) "
    " (i64.ne (i64.load (i32.const 136)) (i64.const 3))) "
    "(func (export \"proxy_on_response_headers\") (param i32 i32 i32) (result i32) unreachable) "
    "(func (export \"proxy_on_response_trailers\") (param i32 i32) (result i32) (loop $l (br $l)) "
    " (i32.const 0))" WAT_TAIL;

struct fresh_fixture {
    struct pw_engine *pool;
    struct pw_watchdog *watchdog;
    struct pw_module *module;
    struct vm_fixture model;
    struct pw_snapshot *snapshot;
    struct pw_fresh *fresh;
    unsigned failures;
    struct fake_stream fake;
};

static struct fresh_fixture f;

static void on_failed(void *ctx, const struct pw_failure *failure)
{
    (void)ctx;
    print_message("failed in %s: %.*s\n", failure->function, (int)failure->message.len, failure->message.ptr);
    f.failures++;
}

static const struct pw_vm_ops vm_ops = {.size = sizeof(vm_ops), .failed = on_failed};
static const struct pw_vm_config vm_config = {.size = sizeof(vm_config)};

static int open_model(const char *text)
{
    struct pw_module *module = NULL;

    memset(&fixture.why, 0, sizeof(fixture.why));
    fixture_restore_signals();
    int error = pw_module_load_instrumented(fixture.engine, (struct pw_slice){"test", 4},
                                            (struct pw_slice){text, strlen(text)}, &module, &fixture.why);
    f.module = module;
    return error;
}

static void open_pool(uint32_t slots)
{
    struct pw_engine_config pool = {
        .size = sizeof(pool), .interruptible = true, .pool_slots = slots, .pool_memory_bytes = 64 << 20};

    memset(&f, 0, sizeof(f));
    fake_stream_init(&f.fake);
    assert_int_equal(pw_engine_create(fixture.host, "wasmtime", &pool, &f.pool, &fixture.why), PW_OK);
    assert_int_equal(pw_watchdog_start(f.pool, &f.watchdog), PW_OK);
}

static void must_open_model(const char *text)
{
    if (open_model(text) != PW_OK || vm_open(&f.model, f.module, NULL) != PW_OK)
        fail_msg("%s", fixture.why.text);
}

static void open_fresh(const struct pw_limits *limits)
{
    struct pw_vm_config config = vm_config;

    if (limits)
        config.limits = *limits;
    if (pw_snapshot_create(f.model.vm, f.pool, &f.snapshot, &fixture.why) != PW_OK ||
        pw_fresh_create(f.snapshot, &config, &vm_ops, NULL, &f.fresh, &fixture.why) != PW_OK)
        fail_msg("%s", fixture.why.text);
    pw_vm_attach(f.model.vm, &vm_ops, NULL);
}

static void open_all(const char *text, uint32_t slots, const struct pw_limits *limits)
{
    open_pool(slots);
    must_open_model(text);
    open_fresh(limits);
}

static void close_all(void)
{
    pw_fresh_destroy(&f.fresh);
    pw_snapshot_unref(&f.snapshot);
    vm_close(&f.model);
    pw_module_unref(&f.module);
    pw_watchdog_stop(&f.watchdog);
    pw_engine_destroy(&f.pool);
    fake_stream_fini(&f.fake);
}

static struct pw_stream *begin_on(uint32_t root)
{
    struct pw_stream *stream;

    if (pw_fresh_stream_create(f.fresh, root, &fake_stream_ops, &f.fake, &stream, &fixture.why) != PW_OK)
        fail_msg("%s", fixture.why.text);
    return stream;
}

static struct pw_stream *begin(void)
{
    return begin_on(0);
}

static void each_stream_begins_as_the_model_was(void **state)
{
    struct pw_stream *a, *b, *c;
    struct pw_host_stats stats;
    struct pw_vm_stats sums;

    (void)state;
    open_all(model_text, 16, NULL);
    a = begin();
    b = begin();
    assert_int_equal(pw_stream_request_headers(a, 0, false), PW_ACTION_CONTINUE);
    assert_int_equal(pw_stream_request_headers(b, 0, false), PW_ACTION_CONTINUE);
    /* Numbers are the model's, and the same in all. */
    assert_int_equal(pw_stream_id(a), pw_stream_id(b));
    pw_stream_destroy(&a);
    c = begin(); /* where a was */
    assert_int_equal(pw_stream_request_headers(c, 0, false), PW_ACTION_CONTINUE);
    /* What they count is one thing: 3 by now. */
    assert_int_equal(pw_stream_request_trailers(c, 0), PW_ACTION_CONTINUE);
    pw_host_stats(fixture.host, &stats);
    assert_int_equal(stats.metrics, 2);
    pw_fresh_stats(f.fresh, &sums);
    assert_int_equal(sums.streams, 2);
    assert_int_equal(sums.memory_bytes, 2 * 5 * 65536);
    pw_stream_destroy(&b);
    pw_stream_destroy(&c);
    pw_fresh_stats(f.fresh, &sums);
    assert_int_equal(sums.streams, 0);
    assert_int_equal(sums.memory_bytes, 0);
    assert_true(sums.calls >= 4 && sums.host_calls >= 12);
    assert_int_equal(f.failures, 0);
    close_all();
}

/* Spare VMs of one thread and slots that all threads share: the host writes where the guest is now. */
static void a_spare_vm_forgets_where_its_last_memory_was(void **state)
{
    struct pw_stream *a, *b, *c;
    struct pw_fresh *first, *other;

    (void)state;
    open_all(model_text, 16, NULL);
    first = f.fresh;
    assert_int_equal(pw_fresh_create(f.snapshot, &vm_config, &vm_ops, NULL, &other, &fixture.why), PW_OK);
    for (int i = 0; i < 3; i++) {
        f.fresh = first;
        a = begin();
        assert_int_equal(pw_stream_request_headers(a, 0, false), PW_ACTION_CONTINUE);
        pw_stream_destroy(&a);
        f.fresh = other;
        b = begin();
        f.fresh = first;
        c = begin();
        assert_int_equal(pw_stream_request_headers(c, 0, false), PW_ACTION_CONTINUE);
        assert_int_equal(pw_stream_request_headers(b, 0, false), PW_ACTION_CONTINUE);
        pw_stream_destroy(&b);
        pw_stream_destroy(&c);
    }
    pw_fresh_destroy(&other);
    close_all();
}

/* A plugin may export what we would add; its streams begin as the model was all the same. */
static const char namesake_text[] = WAT_HEAD
    "(memory (export \"memory\") 1) (func (export \"proxy_abi_version_0_2_1\")) "
    "(func (export \"malloc\") (param i32) (result i32) (i32.const 0)) "
    "(global $a (export \"__weir_global_0\") (mut i32) (i32.const 1)) "
    "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) (global.set $a (i32.const 5)) "
    " (i32.const 1)) "
    "(func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) "
    " (if (i32.ne (global.get $a) (i32.const 5)) (then unreachable)) (global.set $a (i32.const 6)) "
    " (i32.const 0))" WAT_TAIL;

static void an_export_of_our_name_hurts_nobody(void **state)
{
    (void)state;
    open_all(namesake_text, 16, NULL);
    for (int i = 0; i < 3; i++) {
        struct pw_stream *a = begin();
        assert_int_equal(pw_stream_request_headers(a, 0, false), PW_ACTION_CONTINUE);
        pw_stream_destroy(&a);
    }
    assert_int_equal(f.failures, 0);
    close_all();
}

/* Three MiB and a global of each type. Request headers trap when a global is not what configure left, and
 * then write a byte to as many places as there are headers; request trailers tell whether the memory has a
 * sum. */
static const char walker_text[] = WAT_HEAD
    "(memory (export \"memory\") 48) (func (export \"proxy_abi_version_0_2_1\")) "
    "(func (export \"malloc\") (param i32) (result i32) (i32.const 0)) "
    "(global $a (mut i32) (i32.const 1)) (global $b (mut i64) (i64.const 2)) (global $c (mut f32) (f32.const "
    "3)) "
    "(global $d (mut f64) (f64.const 4)) (global $e (mut v128) (v128.const i64x2 5 6)) "
    "(global $walk (mut i32) (i32.const 0)) (data (i32.const 1000000) \"some data in between\") "
    "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) "
    " (i32.store (i32.const 64) (i32.const 12345)) (i32.store (i32.const 2000000) (i32.const 7)) "
    " (global.set $a (i32.const -7)) (global.set $b (i64.const -8)) (global.set $c (f32.const 9.5)) "
    " (global.set $d (f64.const -1.25)) (global.set $e (v128.const i64x2 77 78)) (i32.const 1)) "
    "(func $sum (result i64) (local $at i32) (local $sum i64) "
    " (loop $l (local.set $sum (i64.add (i64.rotl (local.get $sum) (i64.const 1)) "
    "                                   (i64.load (local.get $at)))) "
    "  (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 3145728)))) "
    " (local.get $sum)) "
    "(func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) (local $i i32) "
    " (if (i32.or (i32.ne (global.get $a) (i32.const -7)) (i64.ne (global.get $b) (i64.const -8))) "
    "  (then unreachable)) "
    " (if (i32.or (f32.ne (global.get $c) (f32.const 9.5)) (f64.ne (global.get $d) (f64.const -1.25))) "
    "  (then unreachable)) "
    " (if (i64.ne (i64x2.extract_lane 0 (global.get $e)) (i64.const 77)) (then unreachable)) "
    " (if (i64.ne (i64x2.extract_lane 1 (global.get $e)) (i64.const 78)) (then unreachable)) "
    " (global.set $walk (i32.add (local.get 1) (i32.load (i32.const 64)))) "
    " (local.set $i (local.get 1)) "
    " (block $done (loop $l (br_if $done (i32.eqz (local.get $i))) "
    "  (global.set $walk (i32.add (i32.mul (global.get $walk) (i32.const 1664525)) (i32.const 1013904223))) "
    "  (i32.store8 (i32.rem_u (i32.shr_u (global.get $walk) (i32.const 3)) (i32.const 3145728)) "
    "              (local.get $i)) "
    "  (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br $l))) "
    " (global.set $a (local.get 1)) (global.set $b (i64.const 1)) (global.set $c (f32.const 1)) "
    " (global.set $d (f64.const 1)) (global.set $e (v128.const i64x2 1 1)) (i32.const 0)) "
    /* Continues when the sum of the memory is what the host was told. */
    "(func (export \"proxy_on_request_trailers\") (param i32 i32) (result i32) "
    " (i32.ne (i32.wrap_i64 (call $sum)) (local.get 1)))" WAT_TAIL;

enum { WALKER_BYTES = 3 << 20 };

static uint32_t walker_sum(void)
{
    uint64_t *words = calloc(1, WALKER_BYTES);
    uint64_t sum = 0;

    assert_non_null(words);
    words[64 / 8] = 12345;
    words[2000000 / 8] = 7;
    memcpy(&words[1000000 / 8], "some data in between", 20);
    for (size_t i = 0; i < WALKER_BYTES / 8; i++)
        sum = (sum << 1 | sum >> 63) + words[i];
    free(words);
    return (uint32_t)sum;
}

/* Few pages are written again and again, then many, then more than are worth keeping. */
static void nothing_that_a_stream_wrote_is_left(void **state)
{
    static const size_t writes[] = {1, 3, 3, 1, 40, 3, 300, 5, 5000, 2, 1};
    const uint32_t sum = walker_sum();
    /* Thousands of page faults on a busy machine take longer than a callback may by default. */
    const struct pw_limits limits = {.callback_time_max_ns = UINT64_C(60000000000)};

    (void)state;
    open_all(walker_text, 16, &limits);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < WEIR_ARRAY_LEN(writes); i++) {
            struct pw_stream *a = begin();
            struct pw_stream *b = begin();
            assert_int_equal(pw_stream_request_trailers(a, sum), PW_ACTION_CONTINUE);
            assert_int_equal(pw_stream_request_headers(a, writes[i], false), PW_ACTION_CONTINUE);
            assert_int_equal(pw_stream_request_headers(b, writes[i] * 2, false), PW_ACTION_CONTINUE);
            pw_stream_destroy(&a);
            pw_stream_destroy(&b);
            f.fake.order[0] = '\0';
        }
    }
    assert_int_equal(f.failures, 0);
    close_all();
}

/* Where the pool is full, a stream gets the instance that waits for one, whichever VM was the last to go. */
static void an_idle_instance_is_found(void **state)
{
    struct pw_stream *mine[2], *others[3];
    struct pw_fresh *first, *other;

    (void)state;
    open_all(model_text, 4, NULL);
    first = f.fresh;
    assert_int_equal(pw_fresh_create(f.snapshot, &vm_config, &vm_ops, NULL, &other, &fixture.why), PW_OK);
    mine[0] = begin();
    mine[1] = begin();
    pw_stream_destroy(&mine[0]);
    pw_stream_destroy(&mine[1]);
    f.fresh = other;
    others[0] = begin();
    others[1] = begin();
    f.fresh = first;
    mine[0] = begin();
    pw_stream_destroy(&mine[0]); /* more than half of the pool is taken: its instance goes */
    f.fresh = other;
    others[2] = begin();
    f.fresh = first;
    mine[0] = begin();
    assert_int_equal(pw_stream_request_headers(mine[0], 0, false), PW_ACTION_CONTINUE);
    pw_stream_destroy(&mine[0]);
    for (int i = 0; i < 3; i++)
        pw_stream_destroy(&others[i]);
    pw_fresh_destroy(&other);
    close_all();
}

static void end_stream(struct fake_stream *fake, char what)
{
    if (what == 'f')
        pw_stream_destroy(fake->after_ctx);
}

/* 1024 + 4 * ID: the size of a root's configuration. A stream goes on when its root has none. */
static const char two_roots_text[] = WAT_HEAD
    "(import \"env\" \"proxy_set_effective_context\" (func $as (param i32) (result i32))) " WAT_BODY
    "(global $parent (mut i32) (i32.const 0)) "
    "(func (export \"proxy_on_context_create\") (param i32 i32) (global.set $parent (local.get 1))) "
    "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) "
    " (i32.store (i32.add (i32.const 1024) (i32.shl (local.get 0) (i32.const 2))) (local.get 1)) (i32.const "
    "1)) "
    "(func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) "
    " (i32.load (i32.add (i32.const 1024) (i32.shl (global.get $parent) (i32.const 2))))) "
    /* The other root is there, and no more than the two. */
    "(func (export \"proxy_on_response_headers\") (param i32 i32 i32) (result i32) "
    " (if (call $as (i32.const 1)) (then unreachable)) (if (call $as (i32.const 2)) (then unreachable)) "
    " (i32.eqz (call $as (i32.const 4))))" WAT_TAIL;

static void each_root_of_the_model_has_streams(void **state)
{
    struct pw_plugin_config config = {
        .size = sizeof(config), .name = {"second", 6}, .configuration = {"x", 1}};
    struct pw_plugin *second;
    struct pw_root *root;
    struct pw_costs costs[2] = {0};

    (void)state;
    open_pool(4);
    must_open_model(two_roots_text);
    assert_int_equal(pw_plugin_create(&config, &second), PW_OK);
    assert_int_equal(pw_root_create(f.model.vm, second, &root, &fixture.why), PW_OK);
    open_fresh(NULL);
    for (uint32_t i = 0; i < 2; i++)
        pw_fresh_set_costs(f.fresh, i, &costs[i]);
    for (uint32_t n = 0; n < 6; n++) { /* in new VMs and in those used again, in turn */
        struct pw_stream *first = begin_on(n % 2), *other = begin_on((n + 1) % 2);
        assert_int_equal(pw_stream_request_headers(first, 0, false),
                         n % 2 ? PW_ACTION_STOP_ALL_WATERMARK : PW_ACTION_CONTINUE);
        assert_int_equal(pw_stream_request_headers(other, 0, false),
                         n % 2 ? PW_ACTION_CONTINUE : PW_ACTION_STOP_ALL_WATERMARK);
        assert_int_equal(pw_stream_response_headers(first, 0, false), PW_ACTION_CONTINUE);
        pw_stream_destroy(&first);
        pw_stream_destroy(&other);
    }
    assert_int_equal(f.failures, 0);
    assert_true(costs[0].cycles > 0 && costs[1].cycles > 0);
    pw_plugin_unref(&second); /* the snapshot has its own reference */
    close_all();
}

static void a_trap_hurts_one_stream(void **state)
{
    struct pw_stream *healthy, *hurt;

    (void)state;
    open_all(model_text, 4, NULL);
    healthy = begin();
    hurt = begin();
    f.fake.after = end_stream; /* in the callback, as the proxy does */
    f.fake.after_ctx = &hurt;
    assert_int_equal(pw_stream_response_headers(hurt, 0, false), PW_ACTION_VM_FAILED);
    assert_null(hurt);
    assert_int_equal(f.failures, 1);
    assert_int_equal(f.fake.vm_failures, 1);
    assert_int_equal(pw_stream_request_headers(healthy, 0, false), PW_ACTION_CONTINUE);
    pw_stream_destroy(&healthy);
    assert_false(pw_vm_failed(f.model.vm));
    close_all();
}

static void a_loop_ends_at_its_limit(void **state)
{
    struct pw_limits limits = {.callback_time_max_ns = 5 * MS};
    struct pw_stream *stream;

    (void)state;
    open_all(model_text, 4, &limits);
    for (int i = 0; i < 5; i++) {
        stream = begin();
        assert_int_equal(pw_stream_response_trailers(stream, 0), PW_ACTION_VM_FAILED);
        pw_stream_destroy(&stream);
        stream = begin();
        assert_int_equal(pw_stream_request_headers(stream, 0, false), PW_ACTION_CONTINUE);
        pw_stream_destroy(&stream);
    }
    assert_int_equal(f.failures, 5);
    close_all();
}

static void a_full_pool_is_an_error(void **state)
{
    enum { SLOTS = 4 };
    struct pw_stream *streams[SLOTS];
    struct pw_stream *extra;

    (void)state;
    open_all(model_text, SLOTS, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < SLOTS; i++)
            streams[i] = begin();
        for (int i = 0; i < 3; i++) {
            assert_int_equal(
                pw_fresh_stream_create(f.fresh, 0, &fake_stream_ops, &f.fake, &extra, &fixture.why),
                PW_ERR_LIMIT);
            assert_null(extra);
            assert_true(fixture.why.text[0]);
        }
        for (int i = 0; i < SLOTS; i++) {
            assert_int_equal(pw_stream_request_headers(streams[i], 0, false), PW_ACTION_CONTINUE);
            pw_stream_destroy(&streams[i]);
        }
    }
    close_all();
}

static uint64_t all_memory(void)
{
    struct pw_host_stats stats;

    pw_host_stats(fixture.host, &stats);
    return stats.memory_bytes;
}

/* The model's memory is two pages; request headers let it grow by three, and trap when it did not. */
static void memory_counts_in_the_cap_of_all(void **state)
{
    enum { PAGE = 65536 };
    struct pw_stream *a, *b, *c, *extra;
    uint64_t before;

    (void)state;
    open_all(model_text, 16, NULL);
    before = all_memory();
    a = begin();
    assert_int_equal(all_memory() - before, 2 * PAGE);
    assert_int_equal(pw_stream_request_headers(a, 0, false), PW_ACTION_CONTINUE);
    assert_int_equal(all_memory() - before, 5 * PAGE);
    pw_stream_destroy(&a);
    assert_int_equal(all_memory(), before);

    pw_host_set_memory_max(fixture.host, before + 8 * PAGE);
    a = begin();
    b = begin();
    assert_int_equal(pw_stream_request_headers(a, 0, false), PW_ACTION_CONTINUE);
    assert_int_equal(all_memory() - before, 7 * PAGE);
    assert_int_equal(pw_stream_request_headers(b, 0, false), PW_ACTION_VM_FAILED);
    pw_stream_destroy(&b);
    assert_int_equal(all_memory() - before, 5 * PAGE);
    c = begin();
    assert_int_equal(pw_fresh_stream_create(f.fresh, 0, &fake_stream_ops, &f.fake, &extra, &fixture.why),
                     PW_ERR_LIMIT);
    assert_non_null(strstr(fixture.why.text, "all plugins together"));
    pw_stream_destroy(&a);
    pw_host_set_memory_max(fixture.host, UINT64_MAX);
    assert_int_equal(pw_stream_request_headers(c, 0, false), PW_ACTION_CONTINUE);
    pw_stream_destroy(&c);
    assert_int_equal(all_memory(), before);
    close_all();
}

/* An instance that was set back waits for the next stream: it counts, and goes as soon as somebody needs the
 * room; the next stream finds all as it was. */
static void idle_memory_counts_and_goes_first(void **state)
{
    enum { BYTES = 48 * 65536 };
    struct pw_stream *mine[2], *others[2], *extra;
    struct pw_fresh *first, *other;
    uint64_t before;

    (void)state;
    open_all(walker_text, 16, NULL);
    first = f.fresh;
    assert_int_equal(pw_fresh_create(f.snapshot, &vm_config, &vm_ops, NULL, &other, &fixture.why), PW_OK);
    before = all_memory();
    pw_host_set_memory_max(fixture.host, before + 3 * BYTES);
    mine[0] = begin();
    mine[1] = begin();
    assert_int_equal(pw_stream_request_headers(mine[0], 9, false), PW_ACTION_CONTINUE);
    pw_stream_destroy(&mine[0]);
    pw_stream_destroy(&mine[1]);
    uint64_t idle = all_memory() - before;
    assert_true(idle == 2 * BYTES || idle == 0); /* 0: this machine does not tell which pages were written */
    mine[0] = begin();
    assert_int_equal(all_memory() - before, idle ? 2 * BYTES : BYTES);
    f.fresh = other;
    others[0] = begin();
    others[1] = begin();
    assert_int_equal(all_memory() - before, 3 * BYTES);
    assert_int_equal(pw_fresh_stream_create(other, 0, &fake_stream_ops, &f.fake, &extra, &fixture.why),
                     PW_ERR_LIMIT);
    pw_stream_destroy(&others[0]);
    f.fresh = first;
    mine[1] = begin(); /* what was its instance had to go; it takes the room of the other's idle one */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pw_stream_request_headers(mine[i], 3, false), PW_ACTION_CONTINUE);
        pw_stream_destroy(&mine[i]);
    }
    assert_int_equal(f.failures, 0);
    pw_host_set_memory_max(fixture.host, before + BYTES);
    pw_stream_destroy(&others[1]); /* more is used than there may be: nothing stays */
    assert_true(all_memory() - before <= 2 * BYTES);
    pw_host_set_memory_max(fixture.host, UINT64_MAX);
    pw_fresh_destroy(&other);
    close_all();
}

static long resident_kib(void)
{
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &pages), 2);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void many(int count)
{
    for (int i = 0; i < count; i++) {
        struct pw_stream *stream = begin();

        assert_int_equal(pw_stream_request_headers(stream, 0, false), PW_ACTION_CONTINUE);
        if (i % 2)
            assert_int_equal(pw_stream_response_headers(stream, 0, false), PW_ACTION_VM_FAILED);
        pw_stream_destroy(&stream);
        f.fake.order[0] = '\0';
    }
}

static void nothing_grows(void **state)
{
    long before;

    (void)state;
    open_all(model_text, 16, NULL);
    many(1000);
    before = resident_kib();
    many(10000);
    if (!UNDER_SANITIZER) /* which keeps what was freed for a while */
        assert_true(resident_kib() - before < 512);
    close_all();
}

static void other_limits_hold_from_the_next_stream_on(void **state)
{
    struct pw_limits small = {.memory_max_bytes = 65536};
    struct pw_stream *old;
    struct pw_stream *stream;

    (void)state;
    open_all(model_text, 4, NULL);
    old = begin();
    pw_fresh_set_limits(f.fresh, &small);
    assert_int_equal(pw_fresh_stream_create(f.fresh, 0, &fake_stream_ops, &f.fake, &stream, &fixture.why),
                     PW_ERR_LIMIT);
    assert_non_null(strstr(fixture.why.text, "131072 bytes"));
    assert_int_equal(pw_stream_request_headers(old, 0, false), PW_ACTION_CONTINUE);
    pw_stream_destroy(&old);
    close_all();
}

static void must_refuse_model(const char *text, const char *message)
{
    memset(&f, 0, sizeof(f));
    assert_int_equal(open_model(text), PW_ERR_BAD_MODULE);
    if (!strstr(fixture.why.text, message))
        fail_msg("\"%s\" is not in \"%s\"", message, fixture.why.text);
}

static void what_has_no_snapshot_is_refused(void **state)
{
    (void)state;
    must_refuse_model(WAT_HEAD WAT_BODY "(table 2 funcref) (func (export \"f\") "
                                        "(table.set (i32.const 0) (ref.null func)))" WAT_TAIL,
                      "no snapshot can be taken of this module: unsupported `table.set` instruction");
    must_refuse_model(
        "(module (import \"env\" \"memory\" (memory 1)) (func (export \"proxy_abi_version_0_2_1\")) "
        "(func (export \"malloc\") (param i32) (result i32) (i32.const 0)))",
        "no snapshot can be taken of this module");
}

static void a_snapshot_needs_a_fresh_model(void **state)
{
    struct pw_snapshot *second;
    struct pw_module *plain;
    struct vm_fixture v;

    (void)state;
    open_all(model_text, 4, NULL);
    assert_int_equal(pw_snapshot_create(f.model.vm, f.pool, &second, &fixture.why),
                     PW_ERR_INVALID_ARGUMENT); /* it serves, and its code is gone */
    close_all();
    plain = must_load(model_text);
    assert_int_equal(vm_open(&v, plain, NULL), PW_OK);
    assert_int_equal(pw_snapshot_create(v.vm, fixture.engine, &second, &fixture.why),
                     PW_ERR_INVALID_ARGUMENT);
    vm_close(&v);
    pw_module_unref(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stream_begins_as_the_model_was),
        cmocka_unit_test(a_spare_vm_forgets_where_its_last_memory_was),
        cmocka_unit_test(each_root_of_the_model_has_streams),
        cmocka_unit_test(nothing_that_a_stream_wrote_is_left),
        cmocka_unit_test(an_export_of_our_name_hurts_nobody),
        cmocka_unit_test(an_idle_instance_is_found),
        cmocka_unit_test(a_trap_hurts_one_stream),
        cmocka_unit_test(a_loop_ends_at_its_limit),
        cmocka_unit_test(a_full_pool_is_an_error),
        cmocka_unit_test(memory_counts_in_the_cap_of_all),
        cmocka_unit_test(idle_memory_counts_and_goes_first),
        cmocka_unit_test(nothing_grows),
        cmocka_unit_test(other_limits_hold_from_the_next_stream_on),
        cmocka_unit_test(what_has_no_snapshot_is_refused),
        cmocka_unit_test(a_snapshot_needs_a_fresh_model),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
