/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fails the Nth allocation, for every N, of a plugin's whole life on the null engine: each step must end in
 * an error or an answer to the guest, nothing may leak (run under the address sanitizer) or abort.
 */
#include "guest.h"
#include "guest_native.h"

#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static bool armed;
static long left; /* allocations until the one that fails; below 0: it has */

static bool fails(void)
{
    return armed && left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

static const char pairs[] = "\1\0\0\0\1\0\0\0\1\0\0\0H\0v";

/* Statuses that a host call may answer when memory is out. */
static void expect_survived(struct guest *g, struct guest_step *steps, size_t count)
{
    for (size_t i = 0; i < count && !pw_vm_failed(g->vm); i++) {
        uint32_t status = guest_result(g, steps[i]);
        if (status != PW_STATUS_OK && status != PW_STATUS_INTERNAL_FAILURE && status != PW_STATUS_NOT_FOUND &&
            status != PW_STATUS_EMPTY)
            fail_msg("step %zu: status %u", i, status);
    }
}

static void plan_calls(struct guest *g, struct guest_step *s, size_t *count)
{
    char name[257];
    memset(name, 'N', sizeof(name));
    uint64_t k = guest_text(g, "Key"), p = guest_slot(g), n = guest_slot(g), c = guest_slot(g);
    uint64_t h = guest_bytes(g, pairs, sizeof(pairs)), l = guest_bytes(g, name, sizeof(name));
    uint64_t big = guest_text(g, "big"), map = guest_text(g, "map");
    size_t i = 0;
#define PLAN(...) s[i++] = guest_plan(g, IN_HEADERS, __VA_ARGS__)
    PLAN("proxy_log", ARGS(2, k, 3));
    PLAN("proxy_add_header_map_value", ARGS(0, k, 3, k, 3));
    PLAN("proxy_get_header_map_value", ARGS(0, k, 3, p, n));
    PLAN("proxy_get_header_map_value", ARGS(0, l, sizeof(name), p, n));
    PLAN("proxy_set_header_map_pairs", ARGS(0, h, sizeof(pairs)));
    PLAN("proxy_get_header_map_pairs", ARGS(0, p, n));
    PLAN("proxy_get_property", ARGS(big, 3, p, n));
    PLAN("proxy_get_property", ARGS(map, 3, p, n));
    PLAN("proxy_set_shared_data", ARGS(k, 3, k, 3, 0));
    PLAN("proxy_get_shared_data", ARGS(k, 3, p, n, c));
    PLAN("proxy_register_shared_queue", ARGS(k, 3, c));
    PLAN("proxy_enqueue_shared_queue", ARGS(1, k, 3));
    PLAN("proxy_dequeue_shared_queue", ARGS(1, p, n));
    PLAN("proxy_define_metric", ARGS(0, k, 3, c));
    PLAN("proxy_call_foreign_function", ARGS(k, 3, 0, 0, p, n));
    PLAN("proxy_send_local_response", ARGS(200, k, 3, k, 3, h, sizeof(pairs), 0));
    PLAN("proxy_continue_stream", ARGS(0));
#undef PLAN
    *count = i;
}

/* Callouts while the plugin is configured: copied until the VM is attached, where there is no client. */
static void plan_callouts(struct guest *g, struct guest_step *s, size_t *count)
{
    static const char three[] = "\3\0\0\0\7\0\0\0\3\0\0\0\5\0\0\0\1\0\0\0\12\0\0\0\1\0\0\0"
                                ":method\0GET\0:path\0/\0:authority\0a";
    uint64_t h = guest_bytes(g, three, sizeof(three)), k = guest_text(g, "Key"), id = guest_slot(g);
    size_t i = *count;
#define PLAN(...) s[i++] = guest_plan(g, GUEST_proxy_on_configure, __VA_ARGS__)
    PLAN("proxy_http_call", ARGS(k, 3, h, sizeof(three), k, 3, h, sizeof(three), 0, id));
    PLAN("proxy_grpc_call", ARGS(k, 3, k, 3, k, 3, h, sizeof(three), k, 3, 0, id));
    PLAN("proxy_grpc_stream", ARGS(k, 3, k, 3, k, 3, h, sizeof(three), id));
    PLAN("proxy_grpc_send", ARGS(6, k, 3, 1));
#undef PLAN
    *count = i;
}

static const struct pw_vm_ops vm_ops = {.size = sizeof(vm_ops)};

/* True when it went through without the failing allocation. */
static bool life(struct pw_module *module, long nth)
{
    static const struct pw_pair environment[] = {{{"A", 1}, {"1", 1}}};
    struct guest g;
    memset(&g, 0, sizeof(g));
    g.options.engine = ON_NULL;
    g.next_step = AT_STEPS;
    g.next_data = AT_DATA;
    fake_stream_init(&g.fake);
    const struct pw_vm_config config = {
        .size = sizeof(config), .vm_id = {"v", 1}, .environment = environment, .environment_count = 1};
    const struct pw_plugin_config plugin = {.size = sizeof(plugin), .name = {"p", 1}};
    left = nth;
    armed = true;
    int error = pw_plugin_create(&plugin, &g.plugin);
    if (!error)
        error = pw_vm_create(module, &config, &g.vm, &g.why);
    if (!error) {
        armed = false;
        g.base = (uint64_t)(uintptr_t)guest_native_memory();
        guest_returns(&g, GUEST_proxy_on_vm_start, 1);
        guest_returns(&g, GUEST_proxy_on_configure, 1);
        struct guest_step steps[32];
        size_t count;
        plan_calls(&g, steps, &count);
        plan_callouts(&g, steps, &count);
        armed = true;
        error = guest_root(&g);
        pw_vm_attach(g.vm, &vm_ops, &g);
        if (!error)
            error = guest_stream(&g);
        if (!error) {
            pw_stream_request_headers(g.stream, 0, true);
            armed = false;
            expect_survived(&g, steps, count);
            armed = true;
            pw_vm_run(g.vm);
            pw_stream_destroy(&g.stream);
        }
    }
    armed = false;
    if (error && error != PW_ERR_NOMEM && error != PW_ERR_TRAP && error != PW_ERR_LIMIT)
        fail_msg("allocation %ld: %s", nth, pw_error_str(error));
    assert_true(error == PW_OK || left < 0);
    bool through = left >= 0;
    pw_vm_destroy(&g.vm);
    pw_plugin_unref(&g.plugin);
    fake_stream_fini(&g.fake);
    return through;
}

static void every_allocation(void **state)
{
    (void)state;
    const struct guest_options options = {.engine = ON_NULL};
    struct pw_module *module = guest_module(&options);
    long nth = 0;
    while (!life(module, nth)) {
        nth++;
        assert_true(nth < 1000);
    }
    assert_in_range(nth, 20, 999); /* it did fail that many */
    pw_module_unref(&module);
}

static enum pw_status never_called(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    (void)ctx;
    (void)call;
    (void)arguments;
    return PW_STATUS_UNIMPLEMENTED;
}

static void foreign_functions(void **state)
{
    (void)state;
    struct pw_host *host = guest_host();
    char name[32];
    memset(name, 'f', sizeof(name));
    name[31] = '\0';
    for (long nth = 0, done = 0; !done && nth < 10; nth++) {
        name[0] = (char)('a' + nth);
        left = nth;
        armed = true;
        int error = pw_host_add_foreign(host, name, never_called, NULL);
        armed = false;
        done = left >= 0;
        assert_int_equal(error, done ? PW_OK : PW_ERR_NOMEM);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation),
        cmocka_unit_test(foreign_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
