/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The null engine against a plugin of the bare contract, without an SDK: numbers, 8-byte slots, phases, wrong
 * versions, giving up.
 */
#include "engine_fixture.h"

#include "../../../sdk/c/include/proxy_wasm_null.h"

#include <unistd.h>

struct native {
    const struct pw_null_host *host;
    void *ctx;
};

static int live;
static int32_t status_in_create;
static uint64_t slots[3];
static int32_t statuses[5];

static void *native_create(const struct pw_null_host *host, void *ctx)
{
    struct native *n = malloc(sizeof(*n));
    const uint64_t log_args[3] = {PW_LOG_INFO, (uint64_t)(uintptr_t) "made", 4};

    n->host = host;
    n->ctx = ctx;
    live++;
    assert_int_equal(host->version, PW_NULL_CONTRACT_VERSION);
    assert_int_equal(host->call(ctx, PW_NULL_HOST_proxy_log, log_args, 3), PW_STATUS_OK);
    /* Everything else is closed by now. */
    status_in_create = host->call(ctx, PW_NULL_HOST_proxy_done, NULL, 0);
    return n;
}

static void native_destroy(void *instance)
{
    live--;
    free(instance);
}

static void *native_allocate(void *instance, uint64_t bytes)
{
    static char room[64];

    (void)instance;
    return bytes <= sizeof(room) ? room : NULL;
}

static enum pw_null_outcome native_call(void *instance, uint32_t callback, const uint64_t *args, size_t nargs,
                                        uint64_t *result)
{
    struct native *n = instance;
    uint64_t a[4] = {(uint64_t)(uintptr_t) "plugin_name", 11, (uint64_t)(uintptr_t)&slots[0],
                     (uint64_t)(uintptr_t)&slots[1]};
    uint64_t level = (uint64_t)(uintptr_t)&slots[2];

    switch (callback) {
    case PW_NULL_CB_proxy_on_configure:
        assert_int_equal(nargs, 2);
        *result = 1;
        return PW_NULL_DONE;
    case PW_NULL_CB_proxy_on_tick:
        assert_int_equal(nargs, 1);
        assert_int_equal(args[0], 1);
        memset(slots, 0xee, sizeof(slots));
        statuses[0] = n->host->call(n->ctx, PW_NULL_HOST_proxy_get_property, a, 4);
        statuses[1] = n->host->call(n->ctx, PW_NULL_HOST_proxy_get_log_level, &level, 1);
        statuses[2] = n->host->call(n->ctx, PW_NULL_HOST_FUNCTION_COUNT, NULL, 0);
        statuses[3] = n->host->call(n->ctx, UINT32_MAX, NULL, 0);
        statuses[4] = n->host->call(n->ctx, PW_NULL_HOST_proxy_log, a, 2);
        return PW_NULL_DONE;
    case PW_NULL_CB_proxy_on_queue_ready:
        return PW_NULL_TRAPPED;
    default:
        return PW_NULL_MISSING;
    }
}

static struct pw_null_plugin plugin = {
    .size = sizeof(plugin),
    .version = PW_NULL_CONTRACT_VERSION,
    .abi = PW_NULL_ABI,
    .name = "native",
    .exports = PW_NULL_BIT(proxy_on_configure) | PW_NULL_BIT(proxy_on_tick),
    .instance_create = native_create,
    .instance_destroy = native_destroy,
    .allocate = native_allocate,
    .call = native_call,
};

static const struct pw_null_plugin *entry(void)
{
    return &plugin;
}

static const struct pw_null_plugin *no_entry(void)
{
    return NULL;
}

static int start(void **state)
{
    const struct pw_engine_config config = {.size = sizeof(config), .interruptible = true};

    (void)state;
    fixture_start_with("null", &config, NULL);
    return pw_engine_add_native(fixture.engine, "native", (const void *)(uintptr_t)entry);
}

static void a_builtin_plugin_runs(void **state)
{
    struct pw_module *module = must_load("native");
    struct pw_vm_stats stats;
    struct vm_fixture v;

    (void)state;
    assert_int_equal(pw_module_info(module)->abi, PW_ABI_0_2_1);
    assert_int_equal(vm_open(&v, module, NULL), PW_OK);
    assert_int_equal(live, 1);
    assert_non_null(strstr(fixture.log, "made\n"));
    assert_int_not_equal(status_in_create, PW_STATUS_OK);
    pw_root_tick(v.root);
    assert_false(pw_vm_failed(v.vm));
    assert_int_equal(statuses[0], PW_STATUS_OK);
    assert_int_equal(slots[1], 6); /* the whole slot */
    assert_memory_equal((const void *)(uintptr_t)slots[0], "a name", 6);
    assert_int_equal(statuses[1], PW_STATUS_OK);
    assert_int_equal(slots[2], PW_LOG_TRACE);
    assert_int_equal(statuses[2], PW_STATUS_UNIMPLEMENTED);
    assert_int_equal(statuses[3], PW_STATUS_UNIMPLEMENTED);
    assert_int_equal(statuses[4], PW_STATUS_BAD_ARGUMENT);
    pw_vm_stats(v.vm, &stats);
    assert_int_equal(stats.memory_bytes, 0);
    vm_close(&v);
    assert_int_equal(live, 0);
    pw_module_unref(&module);
}

static void a_missing_callback_is_no_error(void **state)
{
    const uint64_t exports = plugin.exports;
    struct pw_module *module;
    struct vm_fixture v;

    (void)state;
    plugin.call = native_call;
    plugin.exports = PW_NULL_BIT(proxy_on_configure) | PW_NULL_BIT(proxy_on_context_create);
    module = must_load("native");
    /* MISSING is as an export that is not there. */
    assert_int_equal(vm_open(&v, module, NULL), PW_OK);
    vm_close(&v);
    assert_int_equal(live, 0);
    pw_module_unref(&module);
    plugin.exports = exports;
}

static void wrong_plugins_are_refused(void **state)
{
    const struct pw_null_plugin whole = plugin;

    (void)state;
    must_not_load("nothing", PW_ERR_NOT_FOUND, "no native plugin \"nothing\"");
    must_not_load("../native", PW_ERR_INVALID_ARGUMENT, "plain name");
    must_not_load("/tmp/native", PW_ERR_INVALID_ARGUMENT, "plain name");
    must_not_load("", PW_ERR_INVALID_ARGUMENT, "plain name");
    plugin.version = 2;
    must_not_load("native", PW_ERR_BAD_MODULE, "contract version 2, this host has 1");
    plugin = whole;
    plugin.abi = "0.3.0";
    must_not_load("native", PW_ERR_BAD_MODULE, "ABI \"0.3.0\"");
    plugin = whole;
    plugin.size = 8;
    must_not_load("native", PW_ERR_BAD_MODULE, "not a native plugin");
    plugin = whole;
    plugin.allocate = NULL;
    must_not_load("native", PW_ERR_BAD_EXPORT, "no allocator");
    plugin = whole;
    assert_int_equal(pw_engine_add_native(fixture.engine, "empty", (const void *)(uintptr_t)no_entry), PW_OK);
    must_not_load("empty", PW_ERR_BAD_MODULE, "not a native plugin");
}

static void *no_instance(const struct pw_null_host *host, void *ctx)
{
    (void)host;
    (void)ctx;
    return NULL;
}

static void a_plugin_without_memory_is_an_error(void **state)
{
    const struct pw_null_plugin whole = plugin;
    struct pw_module *module;
    struct vm_fixture v;

    (void)state;
    plugin.instance_create = no_instance;
    module = must_load("native");
    assert_int_equal(vm_open(&v, module, NULL), PW_ERR_TRAP);
    assert_non_null(strstr(fixture.why.text, "could not make an instance"));
    vm_close(&v);
    pw_module_unref(&module);
    plugin = whole;
}

static enum pw_null_outcome gives_up(void *instance, uint32_t callback, const uint64_t *args, size_t nargs,
                                     uint64_t *result)
{
    (void)instance;
    (void)args;
    (void)nargs;
    *result = 1;
    return callback == PW_NULL_CB_proxy_on_tick ? PW_NULL_TRAPPED : PW_NULL_DONE;
}

static void a_plugin_that_gives_up_has_trapped(void **state)
{
    const struct pw_null_plugin whole = plugin;
    struct pw_module *module;
    struct vm_fixture v;

    (void)state;
    plugin.call = gives_up;
    module = must_load("native");
    assert_int_equal(vm_open(&v, module, NULL), PW_OK);
    pw_root_tick(v.root);
    assert_true(pw_vm_failed(v.vm));
    assert_non_null(strstr(fixture.log, "gave up"));
    vm_close(&v);
    pw_module_unref(&module);
    plugin = whole;
}

static void builtins_are_for_this_engine_only(void **state)
{
    const struct pw_engine_config config = {.size = sizeof(config)};
    struct pw_engine *engine;

    (void)state;
    assert_int_equal(pw_engine_create(fixture.host, "wasmtime", &config, &engine, &fixture.why), PW_OK);
    assert_int_equal(pw_engine_add_native(engine, "x", (const void *)(uintptr_t)entry),
                     PW_ERR_INVALID_ARGUMENT);
    pw_engine_destroy(&engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_builtin_plugin_runs),
        cmocka_unit_test(a_missing_callback_is_no_error),
        cmocka_unit_test(wrong_plugins_are_refused),
        cmocka_unit_test(a_plugin_without_memory_is_an_error),
        cmocka_unit_test(a_plugin_that_gives_up_has_trapped),
        cmocka_unit_test(builtins_are_for_this_engine_only),
    };
    return cmocka_run_group_tests(tests, start, fixture_stop);
}
