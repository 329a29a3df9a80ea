/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The harness: host callbacks, one engine of each kind per program, scripts.
 */
#include "guest.h"

#include "guest_native.h"
#include "guest_wat.h"
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/vm_call.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t guest_realtime_ns = UINT64_C(1700000000123456789);
uint64_t guest_monotonic_ns = UINT64_C(5000000000);
uint32_t guest_log_level = 2;
bool guest_random_fails;

static struct guest_log logs[GUEST_LOGS];
static unsigned logs_count;

static void keep(char *to, size_t cap, struct pw_slice s)
{
    size_t len = s.len < cap - 1 ? s.len : cap - 1;
    if (len)
        memcpy(to, s.ptr, len);
    to[len] = '\0';
}

static void on_log(void *ctx, const struct pw_log_record *r)
{
    (void)ctx;
    struct guest_log *log = &logs[logs_count++ % GUEST_LOGS];
    log->level = r->level;
    log->from_guest = r->from_guest;
    log->text_len = r->text.len;
    keep(log->plugin, sizeof(log->plugin), r->plugin);
    keep(log->root_id, sizeof(log->root_id), r->root_id);
    keep(log->vm_id, sizeof(log->vm_id), r->vm_id);
    keep(log->text, sizeof(log->text), r->text);
}

unsigned guest_logs_count(void)
{
    return logs_count;
}

const struct guest_log *guest_log_back(unsigned i)
{
    assert_true(i < logs_count && i < GUEST_LOGS);
    return &logs[(logs_count - 1 - i) % GUEST_LOGS];
}

void guest_logs_clear(void)
{
    logs_count = 0;
}

static uint32_t on_log_level(void *ctx)
{
    (void)ctx;
    return guest_log_level;
}

static uint64_t on_realtime(void *ctx)
{
    (void)ctx;
    return guest_realtime_ns;
}

static uint64_t on_monotonic(void *ctx)
{
    (void)ctx;
    return guest_monotonic_ns;
}

static bool on_random(void *ctx, void *dst, size_t len)
{
    (void)ctx;
    memset(dst, 0x5a, len);
    return !guest_random_fails;
}

static void *on_native_load(void *ctx, struct pw_slice name, struct pw_message *why)
{
    (void)ctx;
    (void)why;
    assert_true(slice_eq(slice_of(name.ptr, name.len), SLICE_LIT("steps")));
    return guest_native_entry();
}

static struct pw_host *host;
static struct pw_engine *engines[2];
static struct pw_module *modules[2][3];

static void at_end(void)
{
    for (int e = 0; e < 2; e++) {
        for (int a = 0; a < 3; a++) {
            if (modules[e][a])
                pw_module_unref(&modules[e][a]);
        }
        if (engines[e])
            pw_engine_destroy(&engines[e]);
    }
    pw_host_destroy(&host);
}

struct pw_host *guest_host(void)
{
    if (host)
        return host;
    static const struct pw_host_ops ops = {
        .size = sizeof(ops),
        .log = on_log,
        .log_level = on_log_level,
        .realtime_ns = on_realtime,
        .monotonic_ns = on_monotonic,
        .random = on_random,
        .native_load = on_native_load,
    };
    host = pw_host_create(&ops, NULL);
    assert_non_null(host);
    atexit(at_end);
    return host;
}

/* cmocka takes the signals over before each test; the engine needs SIGILL and SIGSEGV for traps. */
static struct sigaction engine_actions[2];
static const int engine_signals[2] = {SIGILL, SIGSEGV};

static void signals_restore(void)
{
    if (!engines[ON_WASM])
        return;
    for (int i = 0; i < 2; i++)
        sigaction(engine_signals[i], &engine_actions[i], NULL);
}

static struct pw_engine *engine_of(enum guest_engine engine)
{
    struct pw_message why = {""};
    if (!engines[engine]) {
        const struct pw_engine_config config = {.size = sizeof(config), .interruptible = true};
        int error = pw_engine_create(guest_host(), engine == ON_WASM ? "wasmtime" : "null", &config,
                                     &engines[engine], &why);
        if (error)
            fail_msg("engine: %s", why.text);
        for (int i = 0; engine == ON_WASM && i < 2; i++)
            sigaction(engine_signals[i], NULL, &engine_actions[i]);
    }
    return engines[engine];
}

static struct pw_module *load_wat(const char *wat)
{
    struct pw_message why = {""};
    struct pw_module *module = NULL;
    size_t len;
    char *wasm = guest_wasm(wat, &len);
    int error = pw_module_load(engine_of(ON_WASM), (struct pw_slice){"steps", 5},
                               (struct pw_slice){wasm, len}, &module, &why);
    if (error)
        fail_msg("module: %s: %s", pw_error_str(error), why.text);
    free(wasm);
    return module;
}

struct pw_module *guest_module(const struct guest_options *o)
{
    if (o->wat)
        return load_wat(o->wat);
    enum pw_abi_version abi = o->v010 ? PW_ABI_0_1_0 : o->v020 ? PW_ABI_0_2_0 : PW_ABI_0_2_1;
    struct pw_module **module = &modules[o->engine][abi];
    if (*module)
        return pw_module_ref(*module);
    if (o->engine == ON_WASM) {
        struct strbuf wat;
        strbuf_init(&wat, 1 << 20);
        guest_wat(&wat, abi);
        assert_false(wat.failed);
        *module = load_wat(strbuf_cstr(&wat));
        strbuf_fini(&wat);
    } else {
        struct pw_message why = {""};
        int error = pw_module_load(engine_of(ON_NULL), (struct pw_slice){"steps", 5},
                                   (struct pw_slice){"steps", 5}, module, &why);
        if (error)
            fail_msg("native: %s", why.text);
    }
    return pw_module_ref(*module);
}

/* --- callbacks of the VM --- */

static void vm_wake(void *ctx)
{
    ((struct guest *)ctx)->wakes++;
}

static void vm_failed(void *ctx, const struct pw_failure *failure)
{
    struct guest *g = ctx;
    g->failures++;
    g->failure_error = failure->error;
    (void)snprintf(g->failure_function, sizeof(g->failure_function), "%s", failure->function);
    if (g->destroy_vm_when_failed) {
        g->stream = NULL;
        g->root = NULL;
        pw_vm_destroy(&g->vm);
    }
}

static void vm_set_tick(void *ctx, struct pw_root *root, uint32_t period_ms)
{
    struct guest *g = ctx;
    assert_true(!g->root || g->root == root);
    g->set_ticks++;
    g->tick_ms = period_ms;
}

static void vm_root_done(void *ctx, struct pw_root *root)
{
    struct guest *g = ctx;
    assert_ptr_equal(g->root, root);
    g->root_dones++;
}

static const struct pw_vm_ops vm_ops = {
    .size = sizeof(vm_ops),
    .wake = vm_wake,
    .failed = vm_failed,
    .set_tick = vm_set_tick,
    .root_done = vm_root_done,
    .callouts = &fake_callout_ops,
};

static const struct pw_vm_ops vm_ops_no_callouts = {
    .size = sizeof(vm_ops_no_callouts),
    .wake = vm_wake,
    .failed = vm_failed,
    .set_tick = vm_set_tick,
    .root_done = vm_root_done,
};

/* --- opening --- */

static struct pw_slice str(const char *s)
{
    return (struct pw_slice){s, s ? strlen(s) : 0};
}

int guest_root(struct guest *g)
{
    return pw_root_create(g->vm, g->plugin, &g->root, &g->why);
}

int guest_stream(struct guest *g)
{
    return pw_stream_create(g->root, &fake_stream_ops, &g->fake, &g->stream);
}

static void open_vm(struct guest *g)
{
    struct pw_slice capabilities[128];
    struct pw_vm_config config = {
        .size = sizeof(config),
        .vm_id = str(g->options.vm_id),
        .configuration = str(g->options.vm_configuration),
        .environment = g->options.environment,
        .environment_count = g->options.environment_count,
        .capabilities = capabilities,
        .limits = g->options.limits,
    };
    for (size_t i = 0; g->options.capabilities && g->options.capabilities[i]; i++)
        capabilities[config.capabilities_count++] = str(g->options.capabilities[i]);
    struct pw_module *module = guest_module(&g->options);
    int error = pw_vm_create(module, &config, &g->vm, &g->why);
    if (error)
        fail_msg("VM: %s: %s", pw_error_str(error), g->why.text);
    pw_module_unref(&module);
}

void guest_open(struct guest *g, const struct guest_options *options)
{
    memset(g, 0, sizeof(*g));
    g->options = *options;
    g->host = guest_host();
    g->next_step = AT_STEPS;
    g->next_data = AT_DATA;
    fake_stream_init(&g->fake);
    signals_restore();
    open_vm(g);
    if (options->engine == ON_NULL)
        g->base = (uint64_t)(uintptr_t)guest_native_memory();
    const struct pw_plugin_config plugin = {
        .size = sizeof(plugin),
        .name = str("steps"),
        .root_id = str("the_root"),
        .configuration = str(options->configuration),
        .allow_on_headers_stop_iteration = options->stop_iteration,
    };
    assert_int_equal(pw_plugin_create(&plugin, &g->plugin), PW_OK);
    if (!options->wat) {
        guest_returns(g, GUEST_proxy_on_vm_start, 1);
        guest_returns(g, GUEST_proxy_on_configure, 1);
        guest_returns(g, GUEST_proxy_on_done, 1);
    }
    if (!options->no_attach)
        guest_attach(g);
    if (options->no_root)
        return;
    assert_int_equal(guest_root(g), PW_OK);
    if (!options->no_stream)
        assert_int_equal(guest_stream(g), PW_OK);
}

void guest_attach(struct guest *g)
{
    pw_vm_attach(g->vm, g->options.no_callouts ? &vm_ops_no_callouts : &vm_ops, g);
}

void guest_close(struct guest *g)
{
    pw_vm_destroy(&g->vm);
    pw_plugin_unref(&g->plugin);
    fake_stream_fini(&g->fake);
}

/* --- memory --- */

static uint64_t base_of(struct guest *g)
{
    return g->base;
}

uint32_t *guest_word(struct guest *g, size_t at)
{
    return (uint32_t *)guest_ptr(g, base_of(g) + at);
}

char *guest_ptr(struct guest *g, uint64_t address)
{
    if (g->options.engine == ON_NULL)
        return (char *)(uintptr_t)address;
    struct guest_memory m = g->vm->ops->memory(g->vm->instance);
    assert_true(address < m.size);
    return m.base + address;
}

uint64_t guest_bytes(struct guest *g, const void *bytes, size_t len)
{
    uint64_t address = base_of(g) + g->next_data;
    if (len)
        memcpy(guest_ptr(g, address), bytes, len);
    g->next_data += (len + 15) & ~(size_t)7; /* with room for a wrong write to be seen */
    assert_true(g->next_data < AT_HEAP);
    return address;
}

uint64_t guest_text(struct guest *g, const char *text)
{
    return guest_bytes(g, text, strlen(text));
}

uint64_t guest_slot(struct guest *g)
{
    char fill[16];
    memset(fill, 0xee, sizeof(fill));
    return guest_bytes(g, fill, sizeof(fill));
}

bool guest_slot_untouched(struct guest *g, uint64_t slot)
{
    char fill[16];
    memset(fill, 0xee, sizeof(fill));
    return memcmp(guest_ptr(g, slot), fill, sizeof(fill)) == 0;
}

uint64_t guest_out(struct guest *g, uint64_t slot)
{
    uint64_t value = 0;
    size_t width = g->options.engine == ON_NULL ? 8 : 4;
    const unsigned char *p = (const unsigned char *)guest_ptr(g, slot);
    memcpy(&value, p, width);
    for (size_t i = width; i < 16; i++)
        assert_int_equal(p[i], 0xee); /* nothing beyond the slot */
    return value;
}

uint64_t guest_out64(struct guest *g, uint64_t slot)
{
    uint64_t value;
    memcpy(&value, guest_ptr(g, slot), sizeof(value));
    return value;
}

void guest_assert_given(struct guest *g, uint64_t address_slot, uint64_t size_slot, const char *text)
{
    uint64_t address = guest_out(g, address_slot);
    uint64_t size = guest_out(g, size_slot);
    assert_int_equal(size, strlen(text));
    assert_int_not_equal(address, 0);
    assert_memory_equal(guest_ptr(g, address), text, size);
    assert_int_equal(*guest_word(g, AT_MALLOC_SIZE), size); /* exactly what is reported */
}

void guest_assert_given_nothing(struct guest *g, uint64_t address_slot, uint64_t size_slot)
{
    assert_int_equal(guest_out(g, address_slot), 0);
    assert_int_equal(guest_out(g, size_slot), 0);
}

uint64_t guest_bad(struct guest *g)
{
    return g->options.engine == ON_NULL ? 8 : GUEST_BYTES_MAX - 1;
}

/* --- script --- */

static uint32_t function_index(const char *name)
{
    for (uint32_t i = 0; i < host_functions_count; i++) {
        if (!strcmp(host_functions[i].name, name))
            return i;
    }
    fail_msg("no host function %s", name);
    return 0;
}

struct guest_step guest_plan_raw(struct guest *g, enum guest_function callback, uint32_t function)
{
    assert_true(g->next_step + sizeof(struct step) < AT_DATA);
    size_t at = g->next_step;
    g->next_step += sizeof(struct step);
    struct step *s = (struct step *)guest_word(g, at);
    memset(s, 0, sizeof(*s));
    s->function = function;
    s->result = UINT32_MAX;
    uint32_t *link = guest_word(g, AT_HEADS + callback * 4);
    while (*link)
        link = &((struct step *)guest_word(g, *link))->next;
    *link = (uint32_t)at;
    return (struct guest_step){at};
}

struct guest_step guest_plan(struct guest *g, enum guest_function callback, const char *function,
                             const uint64_t *args, size_t nargs)
{
    if (!function)
        return guest_plan_raw(g, callback, STEP_TRAP);
    uint32_t index = function_index(function);
    assert_int_equal(nargs, strlen(host_functions[index].params));
    struct guest_step step = guest_plan_raw(g, callback, index);
    memcpy(((struct step *)guest_word(g, step.at))->args, args, nargs * sizeof(*args));
    return step;
}

uint32_t guest_result(struct guest *g, struct guest_step step)
{
    return ((struct step *)guest_word(g, step.at))->result;
}

bool guest_ran(struct guest *g, struct guest_step step)
{
    return ((struct step *)guest_word(g, step.at))->ran;
}

void guest_forget(struct guest *g, enum guest_function callback)
{
    *guest_word(g, AT_HEADS + callback * 4) = 0;
}

void guest_returns(struct guest *g, enum guest_function callback, uint32_t value)
{
    *guest_word(g, AT_RETURNS + callback * 4) = value;
}

unsigned guest_calls(struct guest *g, enum guest_function callback)
{
    return *guest_word(g, AT_CALLS + callback * 4);
}

uint32_t guest_arg(struct guest *g, enum guest_function callback, unsigned i)
{
    return *guest_word(g, AT_ARGS + callback * 12 + i * 4);
}

void guest_drive(struct guest *g, enum guest_function callback)
{
    guest_drive_eos(g, callback, false);
}

void guest_drive_eos(struct guest *g, enum guest_function callback, bool eos)
{
    switch (callback) {
    case GUEST_proxy_on_request_headers:
        g->action = pw_stream_request_headers(g->stream, g->fake.maps[0].count, eos);
        break;
    case GUEST_proxy_on_request_body:
        g->action = pw_stream_request_body(g->stream, g->fake.buffer_len[0], eos);
        break;
    case GUEST_proxy_on_request_trailers:
        g->action = pw_stream_request_trailers(g->stream, g->fake.maps[1].count);
        break;
    case GUEST_proxy_on_response_headers:
        g->action = pw_stream_response_headers(g->stream, g->fake.maps[2].count, eos);
        break;
    case GUEST_proxy_on_response_body:
        g->action = pw_stream_response_body(g->stream, g->fake.buffer_len[1], eos);
        break;
    case GUEST_proxy_on_response_trailers:
        g->action = pw_stream_response_trailers(g->stream, g->fake.maps[3].count);
        break;
    case GUEST_proxy_on_new_connection:
        g->action = pw_stream_new_connection(g->stream);
        break;
    case GUEST_proxy_on_downstream_data:
        g->action = pw_stream_downstream_data(g->stream, g->fake.buffer_len[2], eos);
        break;
    case GUEST_proxy_on_upstream_data:
        g->action = pw_stream_upstream_data(g->stream, g->fake.buffer_len[3], eos);
        break;
    case GUEST_proxy_on_log:
        pw_stream_log(g->stream);
        break;
    case GUEST_proxy_on_tick:
        pw_root_tick(g->root);
        break;
    case GUEST_proxy_on_queue_ready:
        pw_vm_run(g->vm);
        break;
    case GUEST_proxy_on_done:
        g->done = pw_root_shutdown(g->root);
        break;
    default:
        fail_msg("callback %d is not driven by the harness", (int)callback);
    }
}

uint32_t guest_do(struct guest *g, enum guest_function callback, const char *function, const uint64_t *args,
                  size_t nargs)
{
    guest_forget(g, callback);
    struct guest_step step = guest_plan(g, callback, function, args, nargs);
    guest_drive(g, callback);
    if (g->vm && !g->vm->failed)
        assert_true(guest_ran(g, step));
    return g->vm ? guest_result(g, step) : UINT32_MAX;
}
