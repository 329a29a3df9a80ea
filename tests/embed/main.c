/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest embedder: runs the add-header plugin on one made-up request and prints what became of it. It
 * proves that libproxywasm stands alone, so it includes the public headers only and must never link a room of
 * Weir. Usage: embed PLUGIN.wasm.
 */
#include <proxywasm/proxywasm.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 16

struct header {
    char name[64];
    char value[64];
};

/* The message that the stream stands for: request headers only. */
struct message {
    struct header headers[HEADERS_MAX];
    size_t count;
};

static struct pw_slice slice(const char *text)
{
    return (struct pw_slice){text, strlen(text)};
}

static void die(const char *what, int error, const struct pw_message *why)
{
    fprintf(stderr, "embed: %s: %s: %s\n", what, pw_error_str(error), why ? why->text : "");
    exit(1);
}

/* Headers. The plugin writes only by map_add and map_replace; what it may not do here answers BadArgument. */

static bool map_exists(void *ctx, enum pw_map map)
{
    (void)ctx;
    return map == PW_MAP_REQUEST_HEADERS;
}

static size_t map_count(void *ctx, enum pw_map map)
{
    const struct message *message = ctx;
    return map_exists(ctx, map) ? message->count : 0;
}

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    const struct message *message = ctx;
    if (*cursor >= map_count(ctx, map))
        return false;
    const struct header *header = &message->headers[(*cursor)++];
    *out = (struct pw_pair){slice(header->name), slice(header->value)};
    return true;
}

static size_t map_bytes(void *ctx, enum pw_map map)
{
    size_t cursor = 0, bytes = 0;
    for (struct pw_pair pair; map_next(ctx, map, &cursor, &pair);)
        bytes += pair.name.len + pair.value.len;
    return bytes;
}

static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    size_t cursor = 0;
    for (struct pw_pair pair; map_next(ctx, map, &cursor, &pair);) {
        if (pair.name.len == name.len && memcmp(pair.name.ptr, name.ptr, name.len) == 0) {
            *value = pair.value;
            return true;
        }
    }
    return false;
}

static enum pw_status map_add(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    struct message *message = ctx;
    if (!map_exists(ctx, map) || message->count == HEADERS_MAX ||
        name.len >= sizeof(message->headers[0].name) || value.len >= sizeof(message->headers[0].value))
        return PW_STATUS_BAD_ARGUMENT;
    struct header *header = &message->headers[message->count++];
    *header = (struct header){0};
    memcpy(header->name, name.ptr, name.len);
    memcpy(header->value, value.ptr, value.len);
    return PW_STATUS_OK;
}

static enum pw_status map_replace(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    struct pw_slice old;
    return map_get(ctx, map, name, &old) ? PW_STATUS_BAD_ARGUMENT : map_add(ctx, map, name, value);
}

static enum pw_status map_remove(void *ctx, enum pw_map map, struct pw_slice name)
{
    (void)ctx, (void)map, (void)name;
    return PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status map_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    (void)ctx, (void)map, (void)pairs, (void)count;
    return PW_STATUS_BAD_ARGUMENT;
}

/* No bodies, no properties. */

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
    return PW_STATUS_BAD_ARGUMENT;
}

static enum pw_status property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    (void)ctx, (void)path, (void)out;
    return PW_STATUS_NOT_FOUND;
}

static enum pw_status property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    (void)ctx, (void)path, (void)value;
    return PW_STATUS_BAD_ARGUMENT;
}

static void clear_route_cache(void *ctx)
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
    printf("local reply %" PRIu32 "\n", reply->status_code);
}

static void vm_failed(void *ctx)
{
    (void)ctx;
    fputs("embed: the VM failed\n", stderr);
    exit(1);
}

static const struct pw_stream_ops stream_ops = {
    .size = sizeof(stream_ops),
    .map_exists = map_exists,
    .map_count = map_count,
    .map_bytes = map_bytes,
    .map_next = map_next,
    .map_get = map_get,
    .map_add = map_add,
    .map_replace = map_replace,
    .map_remove = map_remove,
    .map_set = map_set,
    .buffer_size = buffer_size,
    .buffer_copy = buffer_copy,
    .buffer_splice = buffer_splice,
    .property_get = property_get,
    .property_set = property_set,
    .clear_route_cache = clear_route_cache,
    .continue_stream = stream_event,
    .close_stream = stream_event,
    .local_reply = local_reply,
    .vm_failed = vm_failed,
};

/* VM callbacks: one thread, no timers. */

static void wake(void *ctx)
{
    (void)ctx;
}

static void failed(void *ctx, const struct pw_failure *failure)
{
    (void)ctx;
    fprintf(stderr, "embed: %s: %.*s\n", failure->function, (int)failure->message.len, failure->message.ptr);
}

static void set_tick(void *ctx, struct pw_root *root, uint32_t period_ms)
{
    (void)ctx, (void)root, (void)period_ms;
}

static void root_done(void *ctx, struct pw_root *root)
{
    (void)ctx, (void)root;
}

static const struct pw_vm_ops vm_ops = {
    .size = sizeof(vm_ops),
    .wake = wake,
    .failed = failed,
    .set_tick = set_tick,
    .root_done = root_done,
};

static void log_line(void *ctx, const struct pw_log_record *record)
{
    (void)ctx;
    fprintf(stderr, "embed: log %d: %.*s\n", record->level, (int)record->text.len, record->text.ptr);
}

static uint32_t log_level(void *ctx)
{
    (void)ctx;
    return PW_LOG_WARN;
}

static struct pw_slice read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    long size = ftell(file);
    char *bytes = size > 0 ? malloc((size_t)size) : NULL;
    rewind(file);
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        fprintf(stderr, "embed: cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return (struct pw_slice){bytes, (size_t)size};
}

/* One request through the plugin; prints each header as the plugin left it. */
static void run_request(struct pw_root *root)
{
    struct message message = {
        .headers = {{":method", "GET"}, {":path", "/"}, {":authority", "example.test"}},
        .count = 3,
    };
    struct pw_stream *stream = NULL;
    int error = pw_stream_create(root, &stream_ops, &message, &stream);
    if (error)
        die("stream", error, NULL);
    enum pw_action action = pw_stream_request_headers(stream, message.count, true);
    printf("action %d\n", action);
    for (size_t i = 0; i < message.count; i++)
        printf("%s: %s\n", message.headers[i].name, message.headers[i].value);
    pw_stream_log(stream);
    pw_stream_destroy(&stream);
}

int main(int argc, char **argv)
{
    struct pw_message why = {{0}};
    int error;
    if (argc != 2) {
        fputs("usage: embed PLUGIN.wasm\n", stderr);
        return 2;
    }

    struct pw_posix *posix = NULL;
    if ((error = pw_posix_create(&(struct pw_posix_config){.size = sizeof(struct pw_posix_config)}, &posix,
                                 &why)))
        die("posix", error, &why);
    struct pw_host_ops ops = {.size = sizeof(ops), .log = log_line, .log_level = log_level};
    pw_posix_fill(posix, &ops);
    struct pw_host *host = pw_host_create(&ops, posix);
    if (!host)
        die("host", PW_ERR_NOMEM, NULL);

    struct pw_engine *engine = NULL;
    struct pw_engine_config engine_config = {.size = sizeof(engine_config), .interruptible = true};
    if ((error = pw_engine_create(host, "wasmtime", &engine_config, &engine, &why)))
        die("engine", error, &why);
    struct pw_watchdog *watchdog = NULL;
    if ((error = pw_watchdog_start(engine, &watchdog)))
        die("watchdog", error, NULL);

    struct pw_slice code = read_file(argv[1]);
    struct pw_module *module = NULL;
    if ((error = pw_module_load(engine, slice("embed"), code, &module, &why)))
        die("module", error, &why);
    free((char *)code.ptr);

    struct pw_vm *vm = NULL;
    struct pw_vm_config vm_config = {.size = sizeof(vm_config)};
    if ((error = pw_vm_create(module, &vm_config, &vm, &why)))
        die("vm", error, &why);
    struct pw_plugin *plugin = NULL;
    struct pw_plugin_config plugin_config = {
        .size = sizeof(plugin_config),
        .name = slice("embed"),
        .configuration = slice("{\"request\":{\"x-embedded\":\"yes\"}}"),
    };
    if ((error = pw_plugin_create(&plugin_config, &plugin)))
        die("plugin", error, NULL);
    struct pw_root *root = NULL;
    if ((error = pw_root_create(vm, plugin, &root, &why)))
        die("root", error, &why);
    pw_vm_attach(vm, &vm_ops, NULL);

    run_request(root);

    pw_root_shutdown(root);
    pw_root_destroy(&root);
    pw_vm_destroy(&vm);
    pw_plugin_unref(&plugin);
    pw_module_unref(&module);
    pw_watchdog_stop(&watchdog);
    pw_engine_destroy(&engine);
    pw_host_destroy(&host);
    pw_posix_destroy(&posix);
    return 0;
}
