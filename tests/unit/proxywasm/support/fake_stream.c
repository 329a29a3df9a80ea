/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake stream: everything in fixed arrays, nothing clever.
 */
#include "fake_stream.h"

#include "base/assert.h"

#include <stdlib.h>

void fake_stream_init(struct fake_stream *fake)
{
    memset(fake, 0, sizeof(*fake));
    fake->maps[PW_MAP_REQUEST_HEADERS].exists = true;
    fake->maps[PW_MAP_RESPONSE_HEADERS].exists = true;
}

void fake_stream_fini(struct fake_stream *fake)
{
    for (int i = 0; i < 4; i++)
        free(fake->buffers[i]);
}

static void add(struct fake_map *m, struct slice name, struct slice value)
{
    WEIR_ASSERT(m->count < FAKE_PAIRS && name.len < FAKE_TEXT && value.len < FAKE_TEXT);
    if (name.len)
        memcpy(m->pairs[m->count].name, name.ptr, name.len);
    m->pairs[m->count].name[name.len] = '\0';
    if (value.len)
        memcpy(m->pairs[m->count].value, value.ptr, value.len);
    m->pairs[m->count].value[value.len] = '\0';
    m->pairs[m->count].value_len = value.len;
    m->count++;
    m->exists = true;
}

void fake_add(struct fake_stream *fake, enum pw_map map, const char *name, const char *value)
{
    add(&fake->maps[map], slice_str(name), slice_str(value));
}

const char *fake_get(const struct fake_stream *fake, enum pw_map map, const char *name)
{
    const struct fake_map *m = &fake->maps[map];
    for (size_t i = 0; i < m->count; i++) {
        if (!strcmp(m->pairs[i].name, name))
            return m->pairs[i].value;
    }
    return "";
}

void fake_body(struct fake_stream *fake, enum pw_buffer buffer, const char *text)
{
    free(fake->buffers[buffer]);
    fake->buffers[buffer] = strdup(text);
    fake->buffer_len[buffer] = strlen(text);
}

static struct fake_map *map_of(void *ctx, enum pw_map map)
{
    WEIR_ASSERT(map <= PW_MAP_RESPONSE_TRAILERS);
    return &((struct fake_stream *)ctx)->maps[map];
}

static bool map_exists(void *ctx, enum pw_map map)
{
    return map_of(ctx, map)->exists;
}

static size_t map_count(void *ctx, enum pw_map map)
{
    return map_of(ctx, map)->count;
}

static size_t map_bytes(void *ctx, enum pw_map map)
{
    const struct fake_map *m = map_of(ctx, map);
    size_t bytes = 0;
    for (size_t i = 0; i < m->count; i++)
        bytes += strlen(m->pairs[i].name) + m->pairs[i].value_len;
    return bytes;
}

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    const struct fake_map *m = map_of(ctx, map);
    if (*cursor >= m->count)
        return false;
    out->name = (struct pw_slice){m->pairs[*cursor].name, strlen(m->pairs[*cursor].name)};
    out->value = (struct pw_slice){m->pairs[*cursor].value, m->pairs[*cursor].value_len};
    (*cursor)++;
    return true;
}

static bool pair_is(const struct fake_map *m, size_t i, struct pw_slice name)
{
    return slice_eq(slice_str(m->pairs[i].name), slice_of(name.ptr, name.len));
}

static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    const struct fake_map *m = map_of(ctx, map);
    for (size_t i = 0; i < m->count; i++) {
        if (pair_is(m, i, name)) {
            *value = (struct pw_slice){m->pairs[i].value, m->pairs[i].value_len};
            return true;
        }
    }
    return false;
}

static enum pw_status map_add(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    struct fake_stream *fake = ctx;
    if (fake->write_status == PW_STATUS_OK)
        add(map_of(ctx, map), slice_of(name.ptr, name.len), slice_of(value.ptr, value.len));
    return fake->write_status;
}

static enum pw_status map_remove(void *ctx, enum pw_map map, struct pw_slice name)
{
    struct fake_stream *fake = ctx;
    struct fake_map *m = map_of(ctx, map);
    if (fake->write_status != PW_STATUS_OK)
        return fake->write_status;
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (!pair_is(m, i, name)) {
            if (kept != i)
                m->pairs[kept] = m->pairs[i];
            kept++;
        }
    }
    m->count = kept;
    return PW_STATUS_OK;
}

static enum pw_status map_replace(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    enum pw_status status = map_remove(ctx, map, name);
    return status == PW_STATUS_OK ? map_add(ctx, map, name, value) : status;
}

static enum pw_status map_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    struct fake_stream *fake = ctx;
    if (fake->write_status != PW_STATUS_OK)
        return fake->write_status;
    map_of(ctx, map)->count = 0;
    for (size_t i = 0; i < count; i++)
        map_add(ctx, map, pairs[i].name, pairs[i].value);
    return PW_STATUS_OK;
}

static size_t buffer_size(void *ctx, enum pw_buffer buffer)
{
    return ((struct fake_stream *)ctx)->buffer_len[buffer];
}

static size_t buffer_copy(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
{
    struct fake_stream *fake = ctx;
    WEIR_ASSERT(offset <= fake->buffer_len[buffer]);
    if (len > fake->buffer_len[buffer] - offset)
        len = fake->buffer_len[buffer] - offset;
    memcpy(dst, fake->buffers[buffer] + offset, len);
    return len;
}

static enum pw_status buffer_splice(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                    struct pw_slice bytes)
{
    struct fake_stream *fake = ctx;
    size_t old = fake->buffer_len[buffer];
    if (fake->write_status != PW_STATUS_OK)
        return fake->write_status;
    WEIR_ASSERT(offset == 0 || (offset == old && remove == 0));
    WEIR_ASSERT(remove <= old);
    char *to = malloc(old - remove + bytes.len + 1);
    size_t at = 0;
    if (offset == 0 && bytes.len)
        memcpy(to, bytes.ptr, bytes.len), at = bytes.len;
    if (old > remove)
        memcpy(to + at, fake->buffers[buffer] + remove, old - remove), at += old - remove;
    if (offset != 0 && bytes.len)
        memcpy(to + at, bytes.ptr, bytes.len), at += bytes.len;
    to[at] = '\0';
    free(fake->buffers[buffer]);
    fake->buffers[buffer] = to;
    fake->buffer_len[buffer] = at;
    return PW_STATUS_OK;
}

static void keep_path(struct fake_stream *fake, struct pw_slice path)
{
    WEIR_ASSERT(path.len <= FAKE_TEXT);
    memcpy(fake->property_path, path.ptr, path.len);
    fake->property_path_len = path.len;
}

static enum pw_status property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    static const struct pw_pair map[] = {{{"k", 1}, {"v", 1}}};
    static const char big[100000];
    struct slice p = slice_of(path.ptr, path.len);
    keep_path(ctx, slice_starts_with(p, SLICE_LIT("long")) ? (struct pw_slice){"long", 4} : path);
    if (slice_eq(p, slice_of("request\0path", 12)))
        pw_value_bytes(out, (struct pw_slice){"/a?b", 4});
    else if (slice_eq(p, SLICE_LIT("copied")))
        pw_value_copy(out, (struct pw_slice){"kept", 4});
    else if (slice_eq(p, SLICE_LIT("int")))
        pw_value_i64(out, -2);
    else if (slice_eq(p, SLICE_LIT("uint")))
        pw_value_u64(out, 513);
    else if (slice_eq(p, SLICE_LIT("double")))
        pw_value_f64(out, 1.0);
    else if (slice_eq(p, SLICE_LIT("bool")))
        pw_value_bool(out, true);
    else if (slice_eq(p, SLICE_LIT("map")))
        pw_value_map(out, map, 1);
    else if (slice_eq(p, SLICE_LIT("empty")))
        pw_value_bytes(out, (struct pw_slice){NULL, 0});
    else if (slice_eq(p, SLICE_LIT("big")))
        pw_value_copy(out, (struct pw_slice){big, sizeof(big)});
    else if (slice_eq(p, SLICE_LIT("null")))
        return PW_STATUS_OK;
    else if (slice_eq(p, SLICE_LIT("odd")))
        return PW_STATUS_CAS_MISMATCH;
    else
        return PW_STATUS_NOT_FOUND;
    return PW_STATUS_OK;
}

static enum pw_status property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    struct fake_stream *fake = ctx;
    keep_path(fake, path);
    WEIR_ASSERT(value.len < FAKE_TEXT);
    if (value.len)
        memcpy(fake->property_value, value.ptr, value.len);
    fake->property_value[value.len] = '\0';
    return fake->write_status;
}

static void clear_route_cache(void *ctx)
{
    ((struct fake_stream *)ctx)->route_clears++;
}

static void note(struct fake_stream *fake, char what)
{
    size_t len = strlen(fake->order);
    WEIR_ASSERT(len + 1 < sizeof(fake->order));
    fake->order[len] = what;
    if (fake->after)
        fake->after(fake, what);
}

static void continue_stream(void *ctx, enum pw_stream_type type)
{
    struct fake_stream *fake = ctx;
    fake->continued[type]++;
    note(fake, 'c');
}

static void close_stream(void *ctx, enum pw_stream_type type)
{
    struct fake_stream *fake = ctx;
    fake->closed[type]++;
    note(fake, 'x');
}

static void copy_text(char *to, struct pw_slice s)
{
    WEIR_ASSERT(s.len < FAKE_TEXT);
    memcpy(to, s.ptr, s.len);
    to[s.len] = '\0';
}

static void local_reply(void *ctx, const struct pw_local_reply *reply)
{
    struct fake_stream *fake = ctx;
    fake->replies++;
    fake->reply = *reply;
    copy_text(fake->reply_details, reply->details);
    copy_text(fake->reply_body, reply->body);
    fake->reply_header[0] = '\0';
    if (reply->headers_count) {
        copy_text(fake->reply_header, reply->headers[0].name);
        strcat(fake->reply_header, "=");
        copy_text(fake->reply_header + strlen(fake->reply_header), reply->headers[0].value);
    }
    note(fake, 'r');
}

static void vm_failed(void *ctx)
{
    struct fake_stream *fake = ctx;
    fake->vm_failures++;
    note(fake, 'f');
}

const struct pw_stream_ops fake_stream_ops = {
    .size = sizeof(fake_stream_ops),
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
    .vm_failed = vm_failed,
};
