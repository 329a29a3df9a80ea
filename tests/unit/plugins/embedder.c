/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embedder.c: see embedder.h. Writes that would not fit fail the test instead of being cut.
 */
#include "embedder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void copy_text(char *to, size_t cap, struct pw_slice from)
{
    assert_true(from.len < cap);
    if (from.len != 0)
        memcpy(to, from.ptr, from.len);
    to[from.len] = '\0';
}

static struct pw_slice slice(const char *text)
{
    return (struct pw_slice){text, strlen(text)};
}

static bool same_name(const char *name, struct pw_slice other)
{
    return strlen(name) == other.len && strncasecmp(name, other.ptr, other.len) == 0;
}

static bool map_exists(void *ctx, enum pw_map map)
{
    (void)ctx;
    return map <= PW_MAP_RESPONSE_TRAILERS;
}

static size_t map_count(void *ctx, enum pw_map map)
{
    return ((struct embedder *)ctx)->maps[map].count;
}

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    const struct embedder_map *self = &((struct embedder *)ctx)->maps[map];
    if (*cursor == self->count)
        return false;
    const struct embedder_header *header = &self->items[(*cursor)++];
    *out = (struct pw_pair){slice(header->name), slice(header->value)};
    return true;
}

static size_t map_bytes(void *ctx, enum pw_map map)
{
    size_t bytes = 0, cursor = 0;
    struct pw_pair pair;
    while (map_next(ctx, map, &cursor, &pair))
        bytes += pair.name.len + pair.value.len;
    return bytes;
}

static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    const struct embedder_map *self = &((struct embedder *)ctx)->maps[map];
    for (size_t i = 0; i < self->count; i++) {
        if (same_name(self->items[i].name, name)) {
            *value = slice(self->items[i].value);
            return true;
        }
    }
    return false;
}

static void add(struct embedder_map *map, struct pw_slice name, struct pw_slice value)
{
    assert_true(map->count < EMBEDDER_HEADERS_MAX);
    struct embedder_header *header = &map->items[map->count++];
    copy_text(header->name, sizeof(header->name), name);
    copy_text(header->value, sizeof(header->value), value);
}

static enum pw_status map_add(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    add(&((struct embedder *)ctx)->maps[map], name, value);
    return PW_STATUS_OK;
}

static enum pw_status map_remove(void *ctx, enum pw_map map, struct pw_slice name)
{
    struct embedder_map *self = &((struct embedder *)ctx)->maps[map];
    size_t kept = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (!same_name(self->items[i].name, name))
            self->items[kept++] = self->items[i];
    }
    self->count = kept;
    return PW_STATUS_OK;
}

static enum pw_status map_replace(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    map_remove(ctx, map, name);
    return map_add(ctx, map, name, value);
}

static enum pw_status map_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    struct embedder_map *self = &((struct embedder *)ctx)->maps[map];
    self->count = 0;
    for (size_t i = 0; i < count; i++)
        add(self, pairs[i].name, pairs[i].value);
    return PW_STATUS_OK;
}

static size_t buffer_size(void *ctx, enum pw_buffer buffer)
{
    return buffer > PW_BUFFER_RESPONSE_BODY ? 0 : ((struct embedder *)ctx)->body_lens[buffer];
}

static size_t buffer_copy(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
{
    size_t size = buffer_size(ctx, buffer);
    size_t n = offset >= size ? 0 : size - offset;
    if (n > len)
        n = len;
    if (n != 0)
        memcpy(dst, ((struct embedder *)ctx)->bodies[buffer] + offset, n);
    return n;
}

static enum pw_status buffer_splice(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                    struct pw_slice bytes)
{
    char *body = ((struct embedder *)ctx)->bodies[buffer];
    size_t *size = &((struct embedder *)ctx)->body_lens[buffer];
    assert_true(offset <= *size && remove <= *size - offset);
    assert_true(*size - remove + bytes.len <= EMBEDDER_TEXT_BYTES);
    memmove(body + offset + bytes.len, body + offset + remove, *size - offset - remove);
    if (bytes.len != 0)
        memcpy(body + offset, bytes.ptr, bytes.len);
    *size += bytes.len - remove;
    return PW_STATUS_OK;
}

static enum pw_status property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    static const char method[] = "request\0method", port[] = "source\0port";
    (void)ctx;
    if (path.len == sizeof(method) - 1 && memcmp(path.ptr, method, path.len) == 0)
        pw_value_bytes(out, slice("GET"));
    else if (path.len == sizeof(port) - 1 && memcmp(path.ptr, port, path.len) == 0)
        pw_value_i64(out, 4711);
    else
        return PW_STATUS_NOT_FOUND;
    return PW_STATUS_OK;
}

static enum pw_status property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    (void)ctx;
    return path.len != 0 && value.len != 0 ? PW_STATUS_OK : PW_STATUS_BAD_ARGUMENT;
}

static void clear_route_cache(void *ctx)
{
    (void)ctx;
}

static void continue_stream(void *ctx, enum pw_stream_type type)
{
    (void)type;
    ((struct embedder *)ctx)->continues++;
}

static void close_stream(void *ctx, enum pw_stream_type type)
{
    (void)type;
    ((struct embedder *)ctx)->closes++;
}

static void local_reply(void *ctx, const struct pw_local_reply *reply)
{
    struct embedder *e = ctx;
    e->replies++;
    e->reply_status = reply->status_code;
    e->reply_headers.count = 0;
    for (size_t i = 0; i < reply->headers_count; i++)
        add(&e->reply_headers, reply->headers[i].name, reply->headers[i].value);
}

static void stream_failed(void *ctx)
{
    struct embedder *e = ctx;
    e->stream_failures++;
    if (e->destroy_on_failure && e->stream != NULL)
        pw_stream_destroy(&e->stream);
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
    .continue_stream = continue_stream,
    .close_stream = close_stream,
    .local_reply = local_reply,
    .vm_failed = stream_failed,
};

static void wake(void *ctx)
{
    (void)ctx;
}

static void vm_failed(void *ctx, const struct pw_failure *failure)
{
    struct embedder *e = ctx;
    e->vm_failures++;
    snprintf(e->failure, sizeof(e->failure), "%s: %s: %.*s\n%.*s", failure->function,
             pw_error_str(failure->error), (int)failure->message.len, failure->message.ptr,
             (int)failure->backtrace.len, failure->backtrace.ptr);
    if (e->destroy_on_failure) {
        pw_vm_destroy(&e->vm);
        e->root = NULL;
    }
}

static void set_tick(void *ctx, struct pw_root *root, uint32_t period_ms)
{
    (void)ctx;
    (void)root;
    (void)period_ms;
}

static void root_done(void *ctx, struct pw_root *root)
{
    (void)ctx;
    (void)root;
}

static const struct pw_vm_ops vm_ops = {sizeof(vm_ops), wake, vm_failed, set_tick, root_done, NULL};

static struct embedder *logging; /* the log callback's ctx is the posix part; tests run one at a time */

static void log_line(void *ctx, const struct pw_log_record *record)
{
    char *to = logging->logs + logging->logs_len;
    size_t room = EMBEDDER_LOGS_BYTES - logging->logs_len;
    (void)ctx;
    int n = snprintf(to, room, "%d %.*s\n", (int)record->level, (int)record->text.len, record->text.ptr);
    if (n > 0 && (size_t)n < room)
        logging->logs_len += (size_t)n;
}

static uint32_t log_level(void *ctx)
{
    (void)ctx;
    return PW_LOG_INFO;
}

static void must(int error, const char *what, const struct pw_message *why)
{
    if (error != PW_OK)
        fail_msg("%s: %s: %s", what, pw_error_str(error), why->text);
}

static void load(struct embedder *e, const char *engine, const char *plugin)
{
    static char code[1 << 20];
    struct pw_message why = {""};
    char path[512];
    const char *name = strrchr(plugin, '/') + 1;
    struct pw_slice bytes = slice(name);
    if (strcmp(engine, "null") != 0) {
        snprintf(path, sizeof(path), "%s/%s.wasm", WEIR_TEST_BUILD_DIR, plugin);
        FILE *file = fopen(path, "rb");
        if (file == NULL)
            fail_msg("cannot open %s", path);
        bytes = (struct pw_slice){code, fread(code, 1, sizeof(code), file)};
        fclose(file);
    }
    must(pw_module_load(e->engine, slice(name), bytes, &e->module, &why), path, &why);
}

void embedder_open(struct embedder *e, const char *engine, const char *plugin)
{
    struct pw_message why = {""};
    char directory[512];
    snprintf(directory, sizeof(directory), "%s/%.*s", WEIR_TEST_BUILD_DIR,
             (int)(strrchr(plugin, '/') - plugin), plugin);
    memset(e, 0, sizeof(*e));
    logging = e;
    const struct pw_posix_config config = {.size = sizeof(config), .native_dir = directory};
    must(pw_posix_create(&config, &e->posix, &why), "posix", &why);
    struct pw_host_ops ops = {.size = sizeof(ops), .log = log_line, .log_level = log_level};
    pw_posix_fill(e->posix, &ops);
    e->host = pw_host_create(&ops, e->posix);
    assert_non_null(e->host);
    const struct pw_engine_config engine_config = {.size = sizeof(engine_config), .interruptible = true};
    must(pw_engine_create(e->host, engine, &engine_config, &e->engine, &why), engine, &why);
    must(pw_watchdog_start(e->engine, &e->watchdog), "watchdog", &why);
    load(e, engine, plugin);
}

void embedder_close(struct embedder *e)
{
    if (e->stream != NULL)
        pw_stream_destroy(&e->stream);
    if (e->root != NULL) {
        pw_root_shutdown(e->root);
        pw_root_destroy(&e->root);
    }
    if (e->vm != NULL)
        pw_vm_destroy(&e->vm);
    if (e->plugin != NULL)
        pw_plugin_unref(&e->plugin);
    pw_module_unref(&e->module);
    pw_watchdog_stop(&e->watchdog);
    pw_engine_destroy(&e->engine);
    pw_host_destroy(&e->host);
    pw_posix_destroy(&e->posix);
}

int embedder_configure(struct embedder *e, const char *configuration, const struct pw_limits *limits)
{
    struct pw_message why = {""};
    struct pw_vm_config vm_config = {.size = sizeof(vm_config)};
    if (limits != NULL)
        vm_config.limits = *limits;
    must(pw_vm_create(e->module, &vm_config, &e->vm, &why), "vm", &why);
    const struct pw_plugin_config config = {
        .size = sizeof(config), .name = slice("test"), .configuration = slice(configuration)};
    must(pw_plugin_create(&config, &e->plugin), "plugin", &why);
    int error = pw_root_create(e->vm, e->plugin, &e->root, &why);
    if (error != PW_OK)
        return error;
    pw_vm_attach(e->vm, &vm_ops, e);
    return PW_OK;
}

int embedder_begin(struct embedder *e)
{
    memset(e->maps, 0, sizeof(e->maps));
    memset(e->body_lens, 0, sizeof(e->body_lens));
    e->replies = e->continues = e->closes = e->stream_failures = 0;
    return pw_stream_create(e->root, &stream_ops, e, &e->stream);
}

void embedder_end(struct embedder *e)
{
    pw_stream_log(e->stream);
    pw_stream_destroy(&e->stream);
}

void embedder_header(struct embedder *e, enum pw_map map, const char *name, const char *value)
{
    add(&e->maps[map], slice(name), slice(value));
}

void embedder_body(struct embedder *e, enum pw_buffer buffer, const char *text)
{
    e->body_lens[buffer] = strlen(text);
    assert_true(e->body_lens[buffer] <= EMBEDDER_TEXT_BYTES);
    memcpy(e->bodies[buffer], text, e->body_lens[buffer]);
}

enum pw_action embedder_request_headers(struct embedder *e, bool end)
{
    return pw_stream_request_headers(e->stream, e->maps[PW_MAP_REQUEST_HEADERS].count, end);
}

enum pw_action embedder_response_headers(struct embedder *e, bool end)
{
    return pw_stream_response_headers(e->stream, e->maps[PW_MAP_RESPONSE_HEADERS].count, end);
}

const char *embedder_value(const struct embedder_map *map, const char *name)
{
    for (size_t i = 0; i < map->count; i++) {
        if (same_name(map->items[i].name, slice(name)))
            return map->items[i].value;
    }
    return NULL;
}

bool embedder_logged(const struct embedder *e, const char *text)
{
    return strstr(e->logs, text) != NULL;
}
