/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library itself costs, without a proxy: guest calls, host calls, whole streams, instances, loading,
 * stopping a loop. One line a figure, the best of several rounds, as these machines are noisy. With a file as
 * argument it times loading that module instead. It must measure through the public interface only.
 */
#include <proxywasm/proxywasm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 7

#define HEAD                                                                                                 \
    "(module (import \"env\" \"proxy_get_header_map_value\" (func $get (param i32 i32 i32 i32 i32) (result " \
    "i32))) (import \"env\" \"proxy_add_header_map_value\" (func $add (param i32 i32 i32 i32 i32) (result "  \
    "i32))) (import \"env\" \"proxy_get_property\" (func $property (param i32 i32 i32 i32) (result i32))) "  \
    "(memory (export \"memory\") 2) (data (i32.const 64) \"plugin_name\") (data (i32.const 96) "             \
    "\"user-agent\") (data (i32.const 128) \"x-seen\") (func (export \"proxy_abi_version_0_2_1\")) "         \
    "(func (export \"malloc\") (param i32) (result i32) (i32.const 4096)) "

static const char plugin_text[] =
    HEAD "(func (export \"proxy_on_tick\") (param i32)) "
         "(func (export \"proxy_on_queue_ready\") (param i32 i32)) "
         "(func (export \"proxy_on_context_create\") (param i32 i32)) "
         "(func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) "
         " (drop (call $get (i32.const 0) (i32.const 96) (i32.const 10) (i32.const 16) (i32.const 20))) "
         " (i32.const 0)) "
         "(func (export \"proxy_on_response_headers\") (param i32 i32 i32) (result i32) "
         " (drop (call $add (i32.const 2) (i32.const 128) (i32.const 6) (i32.const 64) (i32.const 6))) "
         " (i32.const 0)) "
         "(func (export \"proxy_on_done\") (param i32) (result i32) (i32.const 1)) "
         "(func (export \"proxy_on_log\") (param i32)) (func (export \"proxy_on_delete\") (param i32)))";
static const char property_text[] =
    HEAD "(func (export \"proxy_on_tick\") (param i32) "
         " (drop (call $property (i32.const 64) (i32.const 11) (i32.const 16) (i32.const 20)))))";
static const char loop_text[] = HEAD "(func (export \"proxy_on_tick\") (param i32) (loop $l (br $l))))";

static struct pw_message why;

static void must(int error, const char *what)
{
    if (error == PW_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, pw_error_str(error), why.text);
    exit(1);
}

static uint64_t now_ns(void)
{
    return pw_posix_monotonic_ns(NULL);
}

/* The library's counter. */
static uint64_t cycles(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return now_ns();
#endif
}

static long resident_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size = 0, pages = 0;

    if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void on_log(void *ctx, const struct pw_log_record *record)
{
    (void)ctx;
    (void)record;
}

static uint32_t log_level(void *ctx)
{
    (void)ctx;
    return PW_LOG_WARN;
}

/* A message of one header. */
static bool map_exists(void *ctx, enum pw_map map)
{
    (void)ctx;
    return map == PW_MAP_REQUEST_HEADERS || map == PW_MAP_RESPONSE_HEADERS;
}

static size_t map_count(void *ctx, enum pw_map map)
{
    (void)ctx;
    (void)map;
    return 1;
}

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    (void)ctx;
    (void)map;
    *out = (struct pw_pair){{"user-agent", 10}, {"curl/8.0.1-test0", 16}};
    return (*cursor)++ == 0;
}

static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    (void)ctx;
    (void)map;
    (void)name;
    *value = (struct pw_slice){"curl/8.0.1-test0", 16};
    return true;
}

static enum pw_status map_add(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    (void)ctx;
    (void)map;
    (void)name;
    (void)value;
    return PW_STATUS_OK;
}

static void nothing(void *ctx)
{
    (void)ctx;
}

/* What this message does not have. */
static enum pw_status no_remove(void *ctx, enum pw_map map, struct pw_slice name)
{
    (void)ctx, (void)map, (void)name;
    return PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status no_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    (void)ctx, (void)map, (void)pairs, (void)count;
    return PW_STATUS_BAD_ARGUMENT;
}

static size_t no_buffer(void *ctx, enum pw_buffer buffer)
{
    (void)ctx, (void)buffer;
    return 0;
}

static size_t no_copy(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
{
    (void)ctx, (void)buffer, (void)offset, (void)dst, (void)len;
    return 0;
}

static enum pw_status no_splice(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                struct pw_slice bytes)
{
    (void)ctx, (void)buffer, (void)offset, (void)remove, (void)bytes;
    return PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status no_property(void *ctx, struct pw_slice path, struct pw_value *out)
{
    (void)ctx, (void)path, (void)out;
    return PW_STATUS_NOT_FOUND;
}

static enum pw_status no_property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    (void)ctx, (void)path, (void)value;
    return PW_STATUS_BAD_ARGUMENT;
}

static void no_event(void *ctx, enum pw_stream_type type)
{
    (void)ctx, (void)type;
}

static void no_reply(void *ctx, const struct pw_local_reply *reply)
{
    (void)ctx, (void)reply;
}

static const struct pw_stream_ops stream_ops = {
    .size = sizeof(stream_ops),
    .map_exists = map_exists,
    .map_count = map_count,
    .map_bytes = map_count,
    .map_next = map_next,
    .map_get = map_get,
    .map_add = map_add,
    .map_replace = map_add,
    .map_remove = no_remove,
    .map_set = no_set,
    .buffer_size = no_buffer,
    .buffer_copy = no_copy,
    .buffer_splice = no_splice,
    .property_get = no_property,
    .property_set = no_property_set,
    .clear_route_cache = nothing,
    .continue_stream = no_event,
    .close_stream = no_event,
    .local_reply = no_reply,
    .vm_failed = nothing,
};

static const struct pw_vm_ops vm_ops = {.size = sizeof(vm_ops)};

struct bench {
    struct pw_posix *posix;
    struct pw_host *host;
    struct pw_engine *engine;
    struct pw_watchdog *watchdog;
    struct pw_module *module;
    struct pw_vm *vm;
    struct pw_plugin *plugin;
    struct pw_root *root;
    struct pw_engine *pool;
    struct pw_snapshot *snapshot;
    struct pw_fresh *fresh;
};

static void open_engine(struct bench *b, uint32_t pool_slots, bool interruptible, const char *cache_dir)
{
    struct pw_engine_config config = {.size = sizeof(config),
                                      .interruptible = interruptible,
                                      .pool_slots = pool_slots,
                                      .pool_memory_bytes = pool_slots ? UINT64_C(64) << 20 : 0};
    struct pw_posix_config posix = {.size = sizeof(posix), .cache_dir = cache_dir};
    struct pw_host_ops ops = {.size = sizeof(ops), .log = on_log, .log_level = log_level};

    memset(b, 0, sizeof(*b));
    must(pw_posix_create(&posix, &b->posix, &why), "posix");
    pw_posix_fill(b->posix, &ops);
    b->host = pw_host_create(&ops, b->posix);
    must(b->host ? PW_OK : PW_ERR_NOMEM, "host");
    must(pw_engine_create(b->host, "wasmtime", &config, &b->engine, &why), "engine");
    must(pw_watchdog_start(b->engine, &b->watchdog), "watchdog");
}

static void close_engine(struct bench *b)
{
    pw_watchdog_stop(&b->watchdog);
    pw_engine_destroy(&b->engine);
    pw_host_destroy(&b->host);
    pw_posix_destroy(&b->posix);
}

static void load(struct bench *b, const char *text)
{
    must(pw_module_load(b->engine, (struct pw_slice){"bench", 5}, (struct pw_slice){text, strlen(text)},
                        &b->module, &why),
         "module");
}

static void open_vm(struct bench *b)
{
    struct pw_vm_config config = {.size = sizeof(config)};
    struct pw_plugin_config plugin = {.size = sizeof(plugin), .name = {"sixteen letters.", 16}};

    must(pw_vm_create(b->module, &config, &b->vm, &why), "VM");
    must(pw_plugin_create(&plugin, &b->plugin), "plugin");
    must(pw_root_create(b->vm, b->plugin, &b->root, &why), "root");
    pw_vm_attach(b->vm, &vm_ops, NULL);
}

static void close_vm(struct bench *b)
{
    pw_vm_destroy(&b->vm);
    pw_plugin_unref(&b->plugin);
}

/* Of this thread: others may use the machine too. */
static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

typedef void (*step_fn)(struct bench *b);

/* Nanoseconds of one step, the best of the rounds. */
static double best_ns(struct bench *b, step_fn step, unsigned steps)
{
    double best = 1e18;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = cpu_ns();
        for (unsigned i = 0; i < steps; i++)
            step(b);
        double took = (double)(cpu_ns() - start) / steps;
        best = took < best ? took : best;
    }
    return best;
}

static void step_tick(struct bench *b)
{
    pw_root_tick(b->root);
}

static void step_stream(struct bench *b)
{
    struct pw_stream *stream;

    must(pw_stream_create(b->root, &stream_ops, b, &stream), "stream");
    pw_stream_request_headers(stream, 1, true);
    pw_stream_response_headers(stream, 1, true);
    pw_stream_log(stream);
    pw_stream_destroy(&stream);
}

/* What vm_call does around a callback for pw_costs, alone: there is no switch to compare with. */
static void step_accounting(struct bench *b)
{
    static struct pw_costs costs;
    struct pw_cost *cost = &costs.callback[10];
    static volatile uint64_t host_calls, bytes;
    uint64_t calls_before = host_calls;
    uint64_t bytes_before = bytes;
    uint64_t began = cycles();
    (void)b;
    __asm__ volatile("" ::: "memory");
    uint64_t spent = cycles() - began;
    costs.cycles += spent;
    cost->cycles += spent;
    cost->calls++;
    cost->host_calls += host_calls - calls_before;
    cost->bytes += bytes - bytes_before;
    __asm__ volatile("" : : "r"(&costs) : "memory");
}

static void step_vm(struct bench *b)
{
    struct pw_vm_config config = {.size = sizeof(config)};

    must(pw_vm_create(b->module, &config, &b->vm, &why), "VM");
    pw_vm_destroy(&b->vm);
}

static void bench_accounting(void)
{
    struct bench b = {0};
    printf("accounting of one callback (two readings of the counter, additions): %.1f ns\n",
           best_ns(&b, step_accounting, 1000000));
}

static void step_fresh(struct bench *b)
{
    struct pw_stream *stream;

    must(pw_fresh_stream_create(b->fresh, 0, &stream_ops, b, &stream, &why), "stream");
    pw_stream_request_headers(stream, 1, true);
    pw_stream_response_headers(stream, 1, true);
    pw_stream_log(stream);
    pw_stream_destroy(&stream);
}

static void step_fresh_empty(struct bench *b)
{
    struct pw_stream *stream;

    must(pw_fresh_stream_create(b->fresh, 0, &stream_ops, b, &stream, &why), "stream");
    pw_stream_destroy(&stream);
}

/* A plugin with a VM per stream, from a snapshot of it after configure. */
static void bench_fresh(const char *name, struct pw_slice code, const char *configuration)
{
    struct pw_engine_config pool = {.size = sizeof(pool),
                                    .interruptible = true,
                                    .pool_slots = 1000,
                                    .pool_memory_bytes = UINT64_C(4) << 30};
    struct pw_vm_config config = {.size = sizeof(config)};
    struct pw_plugin_config plugin = {.size = sizeof(plugin),
                                      .name = {"sixteen letters.", 16},
                                      .configuration = {configuration, strlen(configuration)}};
    struct bench b;

    open_engine(&b, 0, true, NULL);
    must(pw_engine_create(b.host, "wasmtime", &pool, &b.pool, &why), "pool");
    must(pw_module_load_instrumented(b.engine, (struct pw_slice){"bench", 5}, code, &b.module, &why),
         "module");
    must(pw_vm_create(b.module, &config, &b.vm, &why), "VM");
    must(pw_plugin_create(&plugin, &b.plugin), "plugin");
    must(pw_root_create(b.vm, b.plugin, &b.root, &why), "root");
    must(pw_snapshot_create(b.vm, b.pool, &b.snapshot, &why), "snapshot");
    must(pw_fresh_create(b.snapshot, &config, &vm_ops, NULL, &b.fresh, &why), "fresh");
    printf("%s: fresh VM, created and deleted: %.2f us; a stream in it: %.2f us\n", name,
           best_ns(&b, step_fresh_empty, 3000) / 1e3, best_ns(&b, step_fresh, 3000) / 1e3);
    pw_fresh_destroy(&b.fresh);
    pw_snapshot_unref(&b.snapshot);
    pw_engine_destroy(&b.pool);
    close_vm(&b);
    pw_module_unref(&b.module);
    close_engine(&b);
}

static void bench_calls(bool interruptible)
{
    const char *how = interruptible ? "time limit on" : "time limit off";
    struct bench b;

    open_engine(&b, 0, interruptible, NULL);
    load(&b, plugin_text);
    open_vm(&b);
    printf("guest call, %s: %.1f ns\n", how, best_ns(&b, step_tick, 1000000));
    printf("trivial stream (6 callbacks, 2 host calls, 1 allocation), %s: %.0f ns\n", how,
           best_ns(&b, step_stream, 200000));
    close_vm(&b);
    pw_module_unref(&b.module);
    load(&b, property_text);
    open_vm(&b);
    printf("guest call, host call, allocation, copy, %s: %.1f ns\n", how, best_ns(&b, step_tick, 1000000));
    close_vm(&b);
    pw_module_unref(&b.module);
    close_engine(&b);
}

static void bench_instances(uint32_t pool_slots)
{
    const char *how = pool_slots ? "pooled" : "on demand";
    enum { MANY = 100 };
    struct pw_vm *vms[MANY];
    struct pw_vm_config config = {.size = sizeof(config)};
    struct bench b;
    long before;

    open_engine(&b, pool_slots, true, NULL);
    load(&b, plugin_text);
    printf("VM made and dropped, %s: %.2f us\n", how, best_ns(&b, step_vm, 5000) / 1e3);
    before = resident_kb();
    for (int i = 0; i < MANY; i++)
        must(pw_vm_create(b.module, &config, &vms[i], &why), "VM");
    printf("resident per idle VM, %s: %.1f KiB\n", how, (double)(resident_kb() - before) / MANY);
    for (int i = 0; i < MANY; i++)
        pw_vm_destroy(&vms[i]);
    pw_module_unref(&b.module);
    close_engine(&b);
}

static void bench_stop(void)
{
    double worst = 0, sum = 0;
    struct bench b;

    open_engine(&b, 0, true, NULL);
    load(&b, loop_text);
    for (int i = 0; i < 20; i++) {
        open_vm(&b);
        uint64_t start = now_ns();
        pw_root_tick(b.root);
        double took = (double)(now_ns() - start) / 1e6;
        sum += took;
        worst = took > worst ? took : worst;
        close_vm(&b);
    }
    printf("a loop under a limit of 20 ms stopped after: mean %.2f ms, worst of 20 %.2f ms\n", sum / 20,
           worst);
    pw_module_unref(&b.module);
    close_engine(&b);
}

static void bench_file(const char *path, const char *cache_dir, const char *configuration)
{
    FILE *f = fopen(path, "rb");
    struct pw_slice code = {NULL, 0};
    char *bytes;
    struct bench b;

    must(f ? PW_OK : PW_ERR_IO, path);
    fseek(f, 0, SEEK_END);
    bytes = malloc((size_t)ftell(f));
    code = (struct pw_slice){bytes, (size_t)ftell(f)};
    rewind(f);
    must(bytes && fread(bytes, 1, code.len, f) == code.len ? PW_OK : PW_ERR_IO, path);
    fclose(f);
    for (int i = 0; i < 3; i++) {
        open_engine(&b, 0, true, cache_dir);
        long before = resident_kb();
        must(pw_module_load(b.engine, (struct pw_slice){path, strlen(path)}, code, &b.module, &why), path);
        const struct pw_module_info *info = pw_module_info(b.module);
        printf("%s: %.1f MB wasm, %.1f MB native, %s: %.2f ms, resident +%ld KiB\n", path,
               (double)info->code_bytes / 1e6, (double)info->compiled_bytes / 1e6,
               info->from_cache ? "from the cache" : "compiled", (double)info->load_ns / 1e6,
               resident_kb() - before);
        pw_module_unref(&b.module);
        close_engine(&b);
    }
    if (configuration)
        bench_fresh(path, code, configuration);
    free(bytes);
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        bench_file(argv[1], argv[2], argv[3]);
        return 0;
    }
    if (argc > 1) {
        fprintf(stderr, "usage: %s [MODULE CACHE_DIRECTORY [CONFIGURATION]]\n", argv[0]);
        return 2;
    }
    printf("resident at start: %ld KiB\n", resident_kb());
    bench_accounting();
    bench_calls(true);
    bench_calls(false);
    bench_instances(0);
    bench_instances(1000);
    bench_fresh("trivial", (struct pw_slice){plugin_text, strlen(plugin_text)}, "");
    bench_stop();
    return 0;
}
