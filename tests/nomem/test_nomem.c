/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library when memory is out: the whole life of a plugin, with the first allocation failing, then the
 * second, and so on until none is left to fail. Each run must end in an error or in success, never in a
 * crash; the address sanitizer's build finds what is then lost. It must be linked with the library that
 * cmake/ShortOf.cmake makes. (test_vm_nomem does the same on the null engine.)
 */
#include <proxywasm/proxywasm.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Allocations until one fails; below 0: never. */
static atomic_long until_failure = -1;
static atomic_bool failed_one;

static bool fails_now(void)
{
    long left = atomic_load(&until_failure);

    if (left < 0)
        return false;
    if (atomic_fetch_sub(&until_failure, 1) != 0)
        return false;
    atomic_store(&failed_one, true);
    return true;
}

void *failing_malloc(size_t len);
void *failing_calloc(size_t count, size_t size);
void *failing_realloc(void *old, size_t len);
char *failing_strdup(const char *s);

void *failing_malloc(size_t len)
{
    return fails_now() ? NULL : malloc(len);
}

void *failing_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : calloc(count, size);
}

void *failing_realloc(void *old, size_t len)
{
    return fails_now() ? NULL : realloc(old, len);
}

char *failing_strdup(const char *s)
{
    return fails_now() ? NULL : strdup(s);
}

/* A plugin that makes the host keep things: headers, a local reply, shared data, a queue, a metric. */
static const char plugin_text[] =
    "(module "
    "(import \"env\" \"proxy_get_header_map_pairs\" (func $pairs (param i32 i32 i32) (result i32))) "
    "(import \"env\" \"proxy_get_property\" (func $property (param i32 i32 i32 i32) (result i32))) "
    "(import \"env\" \"proxy_set_shared_data\" (func $share (param i32 i32 i32 i32 i32) (result i32))) "
    "(import \"env\" \"proxy_register_shared_queue\" (func $queue (param i32 i32 i32) (result i32))) "
    "(import \"env\" \"proxy_enqueue_shared_queue\" (func $enqueue (param i32 i32 i32) (result i32))) "
    "(import \"env\" \"proxy_define_metric\" (func $metric (param i32 i32 i32 i32) (result i32))) "
    "(import \"env\" \"proxy_send_local_response\" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) "
    "(result "
    "i32))) "
    "(memory (export \"memory\") 2) (data (i32.const 64) \"plugin_name\") "
    "(func (export \"proxy_abi_version_0_2_1\")) "
    "(func (export \"malloc\") (param i32) (result i32) (i32.const 4096)) "
    "(func (export \"proxy_on_vm_start\") (param i32 i32) (result i32) "
    " (drop (call $share (i32.const 64) (i32.const 6) (i32.const 70) (i32.const 5) (i32.const 0))) "
    " (drop (call $queue (i32.const 64) (i32.const 11) (i32.const 16))) "
    " (drop (call $enqueue (i32.load (i32.const 16)) (i32.const 64) (i32.const 11))) "
    " (drop (call $metric (i32.const 0) (i32.const 64) (i32.const 11) (i32.const 20))) (i32.const 1)) "
    "(func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) "
    " (drop (call $pairs (i32.const 0) (i32.const 16) (i32.const 20))) "
    " (drop (call $property (i32.const 64) (i32.const 11) (i32.const 16) (i32.const 20))) "
    " (drop (call $reply (i32.const 403) (i32.const 64) (i32.const 6) (i32.const 64) (i32.const 11) "
    "(i32.const 0) "
    "(i32.const 0) (i32.const -1))) (i32.const 1)) "
    "(func (export \"proxy_on_log\") (param i32)))";

static void on_log(void *ctx, const struct pw_log_record *record)
{
    (void)ctx, (void)record;
}

static uint32_t log_level(void *ctx)
{
    (void)ctx;
    return PW_LOG_TRACE;
}

/* One header, nothing else. */
static bool map_exists(void *ctx, enum pw_map map)
{
    (void)ctx;
    return map == PW_MAP_REQUEST_HEADERS;
}

static size_t map_size(void *ctx, enum pw_map map)
{
    (void)ctx, (void)map;
    return 1;
}

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    (void)ctx, (void)map;
    *out = (struct pw_pair){{"a", 1}, {"b", 1}};
    return (*cursor)++ == 0;
}

static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    (void)ctx, (void)map, (void)name, (void)value;
    return false;
}

static enum pw_status map_write(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    (void)ctx, (void)map, (void)name, (void)value;
    return PW_STATUS_OK;
}

static enum pw_status map_remove(void *ctx, enum pw_map map, struct pw_slice name)
{
    (void)ctx, (void)map, (void)name;
    return PW_STATUS_OK;
}

static enum pw_status map_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    (void)ctx, (void)map, (void)pairs, (void)count;
    return PW_STATUS_OK;
}

static size_t buffer_size(void *ctx, enum pw_buffer buffer)
{
    (void)ctx, (void)buffer;
    return 0;
}

static size_t buffer_copy(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
{
    (void)ctx, (void)buffer, (void)offset, (void)dst, (void)len;
    return 0;
}

static enum pw_status buffer_splice(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                    struct pw_slice bytes)
{
    (void)ctx, (void)buffer, (void)offset, (void)remove, (void)bytes;
    return PW_STATUS_OK;
}

static enum pw_status property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    (void)ctx, (void)path, (void)out;
    return PW_STATUS_NOT_FOUND;
}

static enum pw_status property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    (void)ctx, (void)path, (void)value;
    return PW_STATUS_OK;
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void stream_event(void *ctx, enum pw_stream_type type)
{
    (void)ctx, (void)type;
}

static void local_reply(void *ctx, const struct pw_local_reply *reply)
{
    (void)ctx;
    assert_int_equal(reply->status_code, 403);
}

static const struct pw_stream_ops stream_ops = {
    sizeof(stream_ops), map_exists, map_size,     map_size,     map_next,    map_get,       map_write,
    map_write,          map_remove, map_set,      buffer_size,  buffer_copy, buffer_splice, property_get,
    property_set,       nothing,    stream_event, stream_event, local_reply, nothing,
};
static const struct pw_vm_ops vm_ops = {.size = sizeof(vm_ops)};

static void *cache_dir;

static int live_stream(struct pw_root *root)
{
    struct pw_stream *stream = NULL;
    int error = pw_stream_create(root, &stream_ops, NULL, &stream);

    if (error != PW_OK)
        return error;
    pw_stream_request_headers(stream, 1, true);
    pw_stream_log(stream);
    pw_stream_destroy(&stream);
    return PW_OK;
}

static int live_vm(struct pw_module *module)
{
    const struct pw_pair environment = {{"KEY", 3}, {"value", 5}};
    const struct pw_slice capability = {"proxy_on_log", 12};
    struct pw_vm_config config = {.size = sizeof(config),
                                  .vm_id = {"vm", 2},
                                  .configuration = {"vm config", 9},
                                  .environment = &environment,
                                  .environment_count = 1};
    struct pw_plugin_config plugin_config = {
        .size = sizeof(plugin_config), .name = {"name", 4}, .configuration = {"config", 6}};
    struct pw_plugin *plugin = NULL;
    struct pw_root *root = NULL;
    struct pw_message why;
    struct pw_vm *vm = NULL;
    int error = pw_vm_create(module, &config, &vm, &why);

    (void)capability;
    if (error == PW_OK)
        error = pw_plugin_create(&plugin_config, &plugin);
    if (error == PW_OK)
        error = pw_root_create(vm, plugin, &root, &why);
    if (error == PW_OK) {
        pw_vm_attach(vm, &vm_ops, NULL);
        pw_vm_run(vm);
        error = live_stream(root);
    }
    pw_vm_destroy(&vm);
    if (plugin)
        pw_plugin_unref(&plugin);
    return error;
}

static int live(const char *engine_name, struct pw_slice code)
{
    struct pw_engine_config engine_config = {.size = sizeof(engine_config), .interruptible = true};
    struct pw_posix_config files = {.size = sizeof(files), .cache_dir = cache_dir, .native_dir = "/"};
    struct pw_host_ops ops = {.size = sizeof(ops), .log = on_log, .log_level = log_level};
    struct pw_posix *posix = NULL;
    struct pw_host *host = NULL;
    struct pw_engine *engine = NULL;
    struct pw_watchdog *watchdog = NULL;
    struct pw_module *module = NULL;
    struct pw_message why = {{0}};
    int error = pw_posix_create(&files, &posix, &why);

    if (error == PW_OK) {
        pw_posix_fill(posix, &ops);
        host = pw_host_create(&ops, posix);
        error = host ? PW_OK : PW_ERR_NOMEM;
    }
    if (error == PW_OK)
        error = pw_engine_create(host, engine_name, &engine_config, &engine, &why);
    if (error == PW_OK)
        error = pw_watchdog_start(engine, &watchdog);
    if (error == PW_OK)
        error = pw_module_load(engine, (struct pw_slice){"test", 4}, code, &module, &why);
    if (error == PW_OK)
        error = live_vm(module);
    pw_module_unref(&module);
    pw_watchdog_stop(&watchdog);
    pw_engine_destroy(&engine);
    if (host)
        pw_host_destroy(&host);
    pw_posix_destroy(&posix);
    return error;
}

/* Returns how many allocations there were. */
static long fail_each(const char *engine_name, struct pw_slice code)
{
    for (long n = 0;; n++) {
        int error;

        atomic_store(&failed_one, false);
        atomic_store(&until_failure, n);
        error = live(engine_name, code);
        atomic_store(&until_failure, -1);
        if (!atomic_load(&failed_one)) {
            assert_int_equal(error, PW_OK);
            return n;
        }
        /* Some losses are not fatal: a cache entry, an answer to the guest. */
        if (error != PW_OK && error != PW_ERR_NOMEM && error != PW_ERR_START_FAILED)
            fail_msg("allocation %ld: %s", n, pw_error_str(error));
        assert_true(n < 10000);
    }
}

static void sandbox(void **state)
{
    char dir[] = "/tmp/weir-nomem-XXXXXX";
    const struct pw_slice code = {plugin_text, sizeof(plugin_text) - 1};
    char command[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    cache_dir = NULL;
    assert_true(fail_each("wasmtime", code) > 20);
    cache_dir = dir;
    assert_true(fail_each("wasmtime", code) > 20);
    cache_dir = NULL;
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sandbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
