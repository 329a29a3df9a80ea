/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest embedder of libproxywasm: one made-up request through each plugin it is given, with no proxy
 * at all, surviving those that trap or loop. Uses public headers only; it must never need another part of
 * Weir.
 */
#include <proxywasm/proxywasm.h>

#include <err.h>
#include <stdio.h>
#include <string.h>

#define TEXT(s) ((struct pw_slice){s, sizeof(s) - 1})
#define ANSWER(type, name, answer, ...)                                                                      \
    static type name(void *ctx, ##__VA_ARGS__)                                                               \
    {                                                                                                        \
        return answer;                                                                                       \
    }

/* The message: request headers. What a plugin adds is copied and lives as long as this little program. */
struct request {
    struct pw_pair headers[16];
    size_t count;
};

ANSWER(bool, map_exists, map == PW_MAP_REQUEST_HEADERS, enum pw_map map)
ANSWER(size_t, map_count, ((struct request *)ctx)->count, enum pw_map map)
static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    struct request *request = ctx;
    if (*cursor < request->count)
        *out = request->headers[*cursor];
    return (*cursor)++ < request->count;
}
static size_t map_bytes(void *ctx, enum pw_map map)
{
    size_t bytes = 0, cursor = 0;
    for (struct pw_pair pair; map_next(ctx, map, &cursor, &pair);)
        bytes += pair.name.len + pair.value.len;
    return bytes;
}
static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    size_t cursor = 0;
    for (struct pw_pair pair; map_next(ctx, map, &cursor, &pair);) {
        *value = pair.value;
        if (pair.name.len == name.len && !memcmp(pair.name.ptr, name.ptr, name.len))
            return true;
    }
    return false;
}
static enum pw_status map_add(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    struct request *request = ctx;
    if (request->count == 16)
        return PW_STATUS_BAD_ARGUMENT;
    request->headers[request->count++] =
        (struct pw_pair){{strndup(name.ptr, name.len), name.len}, {strndup(value.ptr, value.len), value.len}};
    return PW_STATUS_OK;
}

/* What there is none of here: bodies, properties, timers; and headers are only ever added. */
ANSWER(enum pw_status, map_remove, PW_STATUS_BAD_ARGUMENT, enum pw_map map, struct pw_slice name)
ANSWER(enum pw_status, map_set, PW_STATUS_BAD_ARGUMENT, enum pw_map map, const struct pw_pair *p, size_t n)
ANSWER(size_t, buffer_size, 0, enum pw_buffer buffer)
ANSWER(size_t, buffer_copy, 0, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
ANSWER(enum pw_status, splice, PW_STATUS_BAD_ARGUMENT, enum pw_buffer b, size_t o, size_t n,
       struct pw_slice s)
ANSWER(enum pw_status, property_get, PW_STATUS_NOT_FOUND, struct pw_slice path, struct pw_value *out)
ANSWER(enum pw_status, property_set, PW_STATUS_BAD_ARGUMENT, struct pw_slice path, struct pw_slice value)
ANSWER(void, nothing, )
ANSWER(void, stream_event, , enum pw_stream_type type)
ANSWER(void, local_reply, , const struct pw_local_reply *reply)
static const struct pw_stream_ops stream_ops = {
    sizeof(stream_ops), map_exists,   map_count,   map_bytes,   map_next, map_get,      map_add,      map_add,
    map_remove,         map_set,      buffer_size, buffer_copy, splice,   property_get, property_set, nothing,
    stream_event,       stream_event, local_reply, nothing,
};

ANSWER(void, set_tick, , struct pw_root *root, uint32_t period_ms)
ANSWER(void, root_done, , struct pw_root *root)
static void failed(void *ctx, const struct pw_failure *failure)
{
    printf("failed in %s: %s\n", failure->function, pw_error_str(failure->error));
}
static const struct pw_vm_ops vm_ops = {sizeof(vm_ops), nothing, failed, set_tick, root_done, NULL};
ANSWER(uint32_t, log_level, PW_LOG_WARN)
static void log_line(void *ctx, const struct pw_log_record *record)
{
    fprintf(stderr, "log: %.*s\n", (int)record->text.len, record->text.ptr);
}

static struct pw_message why;
static void must(int error, const char *what)
{
    if (error)
        errx(1, "%s: %s: %s", what, pw_error_str(error), why.text);
}

static void run(struct pw_engine *engine, const char *path)
{
    static char code[1 << 20];
    FILE *file = fopen(path, "rb");
    struct pw_slice bytes = {code, file ? fread(code, 1, sizeof(code), file) : 0};
    struct pw_plugin_config config = {.size = sizeof(config), .name = TEXT("embedded")};
    config.configuration = TEXT("{\"request\": {\"x-embedded\": \"yes\"}}");
    struct pw_module *module;
    struct pw_vm *vm;
    struct pw_plugin *plugin;
    struct pw_root *root;
    struct pw_stream *stream;
    must(pw_module_load(engine, config.name, bytes, &module, &why), path);
    must(pw_vm_create(module, &(struct pw_vm_config){.size = sizeof(struct pw_vm_config)}, &vm, &why), "VM");
    must(pw_plugin_create(&config, &plugin), "plugin");
    must(pw_root_create(vm, plugin, &root, &why), "configuration");
    pw_vm_attach(vm, &vm_ops, NULL);
    struct request request = {{{TEXT(":method"), TEXT("GET")}, {TEXT(":path"), TEXT("/")}}, 2};
    must(pw_stream_create(root, &stream_ops, &request, &stream), "stream");
    printf("action %d\n", pw_stream_request_headers(stream, request.count, true));
    for (struct pw_pair *h = request.headers; h < request.headers + request.count; h++)
        printf("%.*s: %.*s\n", (int)h->name.len, h->name.ptr, (int)h->value.len, h->value.ptr);
    pw_stream_destroy(&stream);
    pw_vm_destroy(&vm);
    pw_plugin_unref(&plugin);
    pw_module_unref(&module);
    fclose(file);
}

int main(int argc, char **argv)
{
    struct pw_engine_config config = {.size = sizeof(config), .interruptible = true};
    struct pw_host_ops ops = {.size = sizeof(ops), .log = log_line, .log_level = log_level};
    struct pw_posix *posix;
    struct pw_engine *engine;
    struct pw_watchdog *watchdog;
    must(pw_posix_create(&(struct pw_posix_config){.size = sizeof(struct pw_posix_config)}, &posix, &why),
         "posix");
    pw_posix_fill(posix, &ops);
    struct pw_host *host = pw_host_create(&ops, posix);
    must(host ? PW_OK : PW_ERR_NOMEM, "host");
    must(pw_engine_create(host, "wasmtime", &config, &engine, &why), "engine");
    must(pw_watchdog_start(engine, &watchdog), "watchdog"); /* without it a looping plugin never returns */
    for (int i = 1; i < argc; i++)
        run(engine, argv[i]);
    pw_watchdog_stop(&watchdog);
    pw_engine_destroy(&engine);
    pw_host_destroy(&host);
    pw_posix_destroy(&posix);
}
