/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics that the embedder keeps itself: the library passes them through and keeps none of its own.
 */
#include "guest.h"

#include "guest_native.h"

struct counted {
    enum pw_metric_type type;
    int64_t added;
    uint64_t recorded;
    unsigned calls;
};

static struct counted metrics[3];
static bool full;

static void on_log(void *ctx, const struct pw_log_record *record)
{
    (void)ctx;
    (void)record;
}

static uint32_t on_log_level(void *ctx)
{
    (void)ctx;
    return 0;
}

static uint64_t on_time(void *ctx)
{
    (void)ctx;
    return 1;
}

static bool on_random(void *ctx, void *dst, size_t len)
{
    (void)ctx;
    memset(dst, 0, len);
    return true;
}

static void *on_native_load(void *ctx, struct pw_slice name, struct pw_message *why)
{
    (void)ctx;
    (void)name;
    (void)why;
    return guest_native_entry();
}

static void *on_define(void *ctx, enum pw_metric_type type, struct pw_slice name)
{
    assert_ptr_equal(ctx, metrics);
    assert_int_equal(name.len, 1);
    metrics[type].type = type;
    return full ? NULL : &metrics[type];
}

static void on_add(void *ctx, void *metric, int64_t delta)
{
    struct counted *m = metric;
    (void)ctx;
    m->added = (int64_t)((uint64_t)m->added + (uint64_t)delta); /* counters wrap */
    m->calls++;
}

static void on_record(void *ctx, void *metric, uint64_t value)
{
    struct counted *m = metric;
    (void)ctx;
    m->recorded = value;
    m->calls++;
}

static uint64_t on_get(void *ctx, void *metric)
{
    struct counted *m = metric;
    (void)ctx;
    return m->type == PW_METRIC_GAUGE ? m->recorded : (uint64_t)m->added;
}

static const struct pw_host_ops ops = {
    .size = sizeof(ops),
    .log = on_log,
    .log_level = on_log_level,
    .realtime_ns = on_time,
    .monotonic_ns = on_time,
    .random = on_random,
    .native_load = on_native_load,
    .metric_define = on_define,
    .metric_add = on_add,
    .metric_record = on_record,
    .metric_get = on_get,
};

static void all_or_none(void **state)
{
    (void)state;
    struct pw_host_ops some = ops;
    some.metric_get = NULL;
    assert_null(pw_host_create(&some, NULL));
}

static void passed_through(void **state)
{
    (void)state;
    struct pw_host *host = pw_host_create(&ops, metrics);
    const struct pw_engine_config config = {.size = sizeof(config)};
    struct pw_engine *engine;
    struct pw_module *module;
    struct guest g;
    memset(&g, 0, sizeof(g));
    assert_int_equal(pw_engine_create(host, "null", &config, &engine, &g.why), PW_OK);
    const struct pw_slice name = {"steps", 5};
    assert_int_equal(pw_module_load(engine, name, name, &module, &g.why), PW_OK);
    const struct pw_vm_config vm_config = {.size = sizeof(vm_config)};
    const struct pw_plugin_config plugin_config = {.size = sizeof(plugin_config)};
    assert_int_equal(pw_vm_create(module, &vm_config, &g.vm, &g.why), PW_OK);
    assert_int_equal(pw_plugin_create(&plugin_config, &g.plugin), PW_OK);
    g.options.engine = ON_NULL;
    g.base = (uint64_t)(uintptr_t)guest_native_memory();
    g.next_step = AT_STEPS;
    g.next_data = AT_DATA;
    guest_returns(&g, GUEST_proxy_on_vm_start, 1);
    guest_returns(&g, GUEST_proxy_on_configure, 1);
    assert_int_equal(guest_root(&g), PW_OK);

    uint64_t n = guest_text(&g, "n"), id = guest_slot(&g), v = guest_slot(&g);
    for (uint32_t type = 0; type < 3; type++)
        assert_int_equal(guest_do(&g, IN_TICK, "proxy_define_metric", ARGS(type, n, 1, id)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_increment_metric", ARGS(4, 5)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_record_metric", ARGS(4, 2)), PW_STATUS_OK);
    assert_int_equal(metrics[0].added, 7);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_increment_metric", ARGS(5, (uint64_t)-5)), PW_STATUS_OK);
    assert_int_equal(metrics[1].added, -5);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_record_metric", ARGS(5, 9)), PW_STATUS_OK);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_metric", ARGS(5, v)), PW_STATUS_OK);
    assert_true(guest_out64(&g, v) == 9);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_record_metric", ARGS(6, 11)), PW_STATUS_OK);
    assert_int_equal(metrics[2].recorded, 11);
    /* steps that the embedder cannot take as they are */
    unsigned calls = metrics[0].calls;
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_record_metric", ARGS(4, 0)), PW_STATUS_OK);
    assert_int_equal(metrics[0].calls, calls);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_record_metric", ARGS(4, (uint64_t)1 << 63)), PW_STATUS_OK);
    assert_int_equal(metrics[0].calls, calls + 2);
    full = true;
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_define_metric", ARGS(0, n, 1, id)),
                     PW_STATUS_INTERNAL_FAILURE);
    struct pw_host_stats stats;
    pw_host_stats(host, &stats);
    assert_int_equal(stats.metrics, 0);
    pw_vm_destroy(&g.vm);
    pw_plugin_unref(&g.plugin);
    pw_module_unref(&module);
    pw_engine_destroy(&engine);
    pw_host_destroy(&host);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(all_or_none),
                                              cmocka_unit_test(passed_through)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
