/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root contexts: start and configure, refusals that leave the VM usable, several roots, shutdown.
 */
#include "guest.h"

TEST_ON_BOTH(start_order)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_stream = true});
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_context_create), 1);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_context_create, 0), 1);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_context_create, 1), 0);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_vm_start, 0), 1);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_configure, 0), 1);
    assert_ptr_equal(pw_root_plugin(g.root), g.plugin);
    assert_ptr_equal(pw_root_vm(g.root), g.vm);
    pw_root_set_data(g.root, &g, NULL);
    assert_ptr_equal(pw_root_data(g.root), &g);
    pw_root_destroy(&g.root);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_delete), 1);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_done), 0);
    guest_close(&g);
}

TEST_ON_BOTH(refusals)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true});
    guest_returns(&g, GUEST_proxy_on_vm_start, 0);
    assert_int_equal(guest_root(&g), PW_ERR_START_FAILED);
    assert_null(g.root);
    assert_string_equal(g.why.text, "plugin \"steps\": proxy_on_vm_start returned false");
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_configure), 0);
    guest_returns(&g, GUEST_proxy_on_vm_start, 1);
    guest_returns(&g, GUEST_proxy_on_configure, 0);
    assert_int_equal(guest_root(&g), PW_ERR_CONFIGURE_FAILED);
    assert_string_equal(g.why.text, "plugin \"steps\": proxy_on_configure returned false");
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_delete), 2);
    assert_false(pw_vm_failed(g.vm));
    assert_int_equal(g.failures, 0);
    guest_returns(&g, GUEST_proxy_on_configure, 1);
    assert_int_equal(guest_root(&g), PW_OK);
    struct pw_vm_stats stats;
    pw_vm_stats(g.vm, &stats);
    assert_int_equal(stats.roots, 1);
    guest_close(&g);
}

TEST_ON_BOTH(traps)
{
    static const enum guest_function where[] = {GUEST_proxy_on_context_create, GUEST_proxy_on_vm_start,
                                                GUEST_proxy_on_configure};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(where); i++) {
        struct guest g;
        guest_open(&g, &(struct guest_options){.engine = engine, .no_root = true, .no_attach = i == 1});
        guest_plan(&g, where[i], NULL, NULL, 0);
        assert_int_equal(guest_root(&g), PW_ERR_TRAP);
        assert_null(g.root);
        assert_true(pw_vm_failed(g.vm));
        assert_int_equal(g.failures, i == 1 ? 0 : 1);
        assert_non_null(strstr(g.why.text, "plugin \"steps\": proxy_on_"));
        guest_close(&g);
    }
}

TEST_ON_BOTH(two_roots)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    struct pw_root *second;
    struct pw_plugin *plugin;
    const struct pw_plugin_config config = {
        .size = sizeof(config), .name = {"two", 3}, .root_id = {"id2", 3}, .configuration = {"c", 1}};
    assert_int_equal(pw_plugin_create(&config, &plugin), PW_OK);
    assert_int_equal(pw_root_create(g.vm, plugin, &second, &g.why), PW_OK);
    pw_plugin_unref(&plugin);
    assert_int_equal(guest_arg(&g, GUEST_proxy_on_vm_start, 0), 3);
    uint64_t text = guest_text(&g, "x");
    guest_plan(&g, IN_TICK, "proxy_log", ARGS(2, text, 1));
    pw_root_tick(second);
    assert_string_equal(guest_log_back(0)->root_id, "id2");
    pw_root_tick(g.root);
    assert_string_equal(guest_log_back(0)->root_id, "the_root");
    pw_root_destroy(&second);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_set_effective_context", ARGS(3)), PW_STATUS_BAD_ARGUMENT);
    guest_close(&g);
}

static enum pw_status root_property(void *ctx, struct pw_slice path, struct pw_value *out)
{
    assert_ptr_equal(ctx, root_property);
    if (path.len != 4)
        return PW_STATUS_NOT_FOUND;
    pw_value_copy(out, path);
    return PW_STATUS_OK;
}

TEST_ON_BOTH(properties)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine});
    enum pw_status (*fn)(void *, struct pw_slice, struct pw_value *) = root_property;
    void *ctx;
    memcpy(&ctx, &fn, sizeof(ctx));
    pw_root_set_properties(g.root, root_property, ctx);
    uint64_t path = guest_text(&g, "node"), p = guest_slot(&g), n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_property", ARGS(path, 4, p, n)), PW_STATUS_OK);
    guest_assert_given(&g, p, n, "node");
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_get_property", ARGS(path, 3, p, n)), PW_STATUS_NOT_FOUND);
    guest_close(&g);
}

TEST_ON_BOTH(queue_of_a_dead_root)
{
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = engine, .no_stream = true});
    uint64_t name = guest_text(&g, "q"), id = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_register_shared_queue", ARGS(name, 1, id)), PW_STATUS_OK);
    uint64_t queue = guest_out(&g, id);
    assert_int_equal(guest_do(&g, IN_TICK, "proxy_enqueue_shared_queue", ARGS(queue, name, 1)), PW_STATUS_OK);
    assert_int_equal(g.wakes, 1);
    pw_root_destroy(&g.root);
    pw_vm_run(g.vm);
    assert_int_equal(guest_calls(&g, GUEST_proxy_on_queue_ready), 0);
    guest_close(&g);
}

/* Ticks, queue registrations and failures of a VM that is never handed over reach nobody. */
TEST_ON_BOTH(trial)
{
    struct guest live, trial;
    guest_open(&live, &(struct guest_options){.vm_id = "v"});
    uint64_t name = guest_text(&live, "q"), id = guest_slot(&live);
    assert_int_equal(guest_do(&live, IN_TICK, "proxy_register_shared_queue", ARGS(name, 1, id)),
                     PW_STATUS_OK);
    uint64_t queue = guest_out(&live, id);

    guest_open(&trial,
               &(struct guest_options){.engine = engine, .vm_id = "v", .no_root = true, .no_attach = true});
    uint64_t trial_name = guest_text(&trial, "q"), trial_id = guest_slot(&trial);
    guest_plan(&trial, GUEST_proxy_on_configure, "proxy_register_shared_queue",
               ARGS(trial_name, 1, trial_id));
    guest_plan(&trial, GUEST_proxy_on_configure, "proxy_set_tick_period_milliseconds", ARGS(5));
    assert_int_equal(guest_root(&trial), PW_OK);
    assert_int_equal(guest_out(&trial, trial_id), queue);
    guest_close(&trial);
    assert_int_equal(trial.set_ticks, 0);

    assert_int_equal(guest_do(&live, IN_TICK, "proxy_enqueue_shared_queue", ARGS(queue, name, 1)),
                     PW_STATUS_OK);
    assert_int_equal(live.wakes, 1); /* still the listener */
    guest_close(&live);
}

TEST_ON_BOTH(plugin_limits)
{
    (void)engine;
    struct pw_plugin *plugin;
    static char big[IDENTITY_BYTES_MAX + 1];
    struct pw_plugin_config config = {.size = 8};
    assert_int_equal(pw_plugin_create(&config, &plugin), PW_ERR_INVALID_ARGUMENT);
    config.size = sizeof(config);
    config.name = (struct pw_slice){big, sizeof(big)};
    assert_int_equal(pw_plugin_create(&config, &plugin), PW_ERR_LIMIT);
    assert_null(plugin);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(start_order), ON_BOTH(refusals),      ON_BOTH(traps),
        ON_BOTH(two_roots),   ON_BOTH(properties),    ON_BOTH(queue_of_a_dead_root),
        ON_BOTH(trial),       ON_BOTH(plugin_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
