/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view of a stream for a plugin from which something is hidden: a table of operations in front of
 * wasm_stream_ops. What is hidden is not there: reads find nothing, counts and sizes leave it out, writes are
 * OK and do nothing, and replacing a whole map keeps it. Nothing here is on the path of a plugin that may see
 * all.
 */
#include "filters/wasm/wasm_filter.h"
#include "proxy/stream.h"

#define VIEW_PATH_BYTES_MAX    1024u /* longest path that wasm_property_get answers */
#define VIEW_REPLY_HEADERS_MAX 128u  /* as many as a local reply takes */

static bool hidden(const struct wasm_stream *st, struct slice name)
{
    return wasm_policy_hides_header(st->pinned, name);
}

/* --- header maps --- */

static bool map_exists(void *ctx, enum pw_map map)
{
    return wasm_stream_ops.map_exists(ctx, map);
}

static bool map_next(void *ctx, enum pw_map map, size_t *cursor, struct pw_pair *out)
{
    while (wasm_stream_ops.map_next(ctx, map, cursor, out)) {
        if (!hidden(ctx, from_pw(out->name)))
            return true;
    }
    return false;
}

static size_t map_count(void *ctx, enum pw_map map)
{
    size_t count = 0;
    struct pw_pair pair;
    for (size_t cursor = 0; map_next(ctx, map, &cursor, &pair);)
        count++;
    return count;
}

static size_t map_bytes(void *ctx, enum pw_map map)
{
    size_t bytes = 0;
    struct pw_pair pair;
    for (size_t cursor = 0; map_next(ctx, map, &cursor, &pair);)
        bytes += pair.name.len + pair.value.len;
    return bytes;
}

static bool map_get(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice *value)
{
    return !hidden(ctx, wasm_header_name(map, name)) && wasm_stream_ops.map_get(ctx, map, name, value);
}

static enum pw_status map_add(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    return hidden(ctx, wasm_header_name(map, name)) ? PW_STATUS_OK
                                                    : wasm_stream_ops.map_add(ctx, map, name, value);
}

static enum pw_status map_replace(void *ctx, enum pw_map map, struct pw_slice name, struct pw_slice value)
{
    return hidden(ctx, wasm_header_name(map, name)) ? PW_STATUS_OK
                                                    : wasm_stream_ops.map_replace(ctx, map, name, value);
}

static enum pw_status map_remove(void *ctx, enum pw_map map, struct pw_slice name)
{
    return hidden(ctx, wasm_header_name(map, name)) ? PW_STATUS_OK
                                                    : wasm_stream_ops.map_remove(ctx, map, name);
}

/* Pseudo-headers stand before all others. */
static size_t append_kept(struct wasm_stream *st, enum pw_map map, bool pseudo, struct pw_pair *out)
{
    size_t n = 0;
    struct pw_pair pair;
    for (size_t cursor = 0; wasm_stream_ops.map_next(st, map, &cursor, &pair);) {
        bool is_pseudo = pair.name.len > 0 && pair.name.ptr[0] == ':';
        if (is_pseudo == pseudo && hidden(st, from_pw(pair.name)))
            out[n++] = pair;
    }
    return n;
}

static enum pw_status map_set(void *ctx, enum pw_map map, const struct pw_pair *pairs, size_t count)
{
    struct wasm_stream *st = ctx;
    size_t present = wasm_stream_ops.map_exists(ctx, map) ? wasm_stream_ops.map_count(ctx, map) : 0;
    struct pw_pair *all = ARENA_NEW_N(&st->filter->stream->arena, struct pw_pair, count + present);
    if (!all)
        return PW_STATUS_INTERNAL_FAILURE;
    size_t n = append_kept(st, map, true, all);
    for (size_t i = 0; i < count; i++) {
        if (!hidden(st, wasm_header_name(map, pairs[i].name)))
            all[n++] = pairs[i];
    }
    n += append_kept(st, map, false, all + n);
    return wasm_stream_ops.map_set(ctx, map, all, n);
}

size_t wasm_view_count(struct wasm_stream *st, enum pw_map map)
{
    return map_count(st, map);
}

/* --- bodies: never hidden --- */

static size_t buffer_size(void *ctx, enum pw_buffer buffer)
{
    return wasm_stream_ops.buffer_size(ctx, buffer);
}

static size_t buffer_copy(void *ctx, enum pw_buffer buffer, size_t offset, void *dst, size_t len)
{
    return wasm_stream_ops.buffer_copy(ctx, buffer, offset, dst, len);
}

static enum pw_status buffer_splice(void *ctx, enum pw_buffer buffer, size_t offset, size_t remove,
                                    struct pw_slice bytes)
{
    return wasm_stream_ops.buffer_splice(ctx, buffer, offset, remove, bytes);
}

/* --- properties --- */

/* Attributes that are a header in other clothes. */
static const struct {
    struct slice path;
    struct slice header;
} derived[] = {
    {SLICE_LIT("request.path"), SLICE_LIT(":path")},
    {SLICE_LIT("request.url_path"), SLICE_LIT(":path")},
    {SLICE_LIT("request.query"), SLICE_LIT(":path")},
    {SLICE_LIT("request.host"), SLICE_LIT(":authority")},
    {SLICE_LIT("request.scheme"), SLICE_LIT(":scheme")},
    {SLICE_LIT("request.method"), SLICE_LIT(":method")},
    {SLICE_LIT("request.referer"), SLICE_LIT("referer")},
    {SLICE_LIT("request.useragent"), SLICE_LIT("user-agent")},
    {SLICE_LIT("request.id"), SLICE_LIT("x-request-id")},
    {SLICE_LIT("request.size"), SLICE_LIT("content-length")},
    {SLICE_LIT("source.address"), SLICE_LIT("x-forwarded-for")},
    {SLICE_LIT("response.code"), SLICE_LIT(":status")},
    {SLICE_LIT("response.grpc_status"), SLICE_LIT("grpc-status")},
};

/* Whole messages, and sums that hidden headers are in. */
static const struct slice with_headers[] = {
    SLICE_LIT("request"),  SLICE_LIT("request.headers_bytes"),  SLICE_LIT("request.total_size"),
    SLICE_LIT("response"), SLICE_LIT("response.headers_bytes"), SLICE_LIT("response.total_size"),
};

static const struct {
    struct slice path;
    enum pw_map map;
} maps[] = {
    {SLICE_LIT("request.headers"), PW_MAP_REQUEST_HEADERS},
    {SLICE_LIT("request.trailers"), PW_MAP_REQUEST_TRAILERS},
    {SLICE_LIT("response.headers"), PW_MAP_RESPONSE_HEADERS},
    {SLICE_LIT("response.trailers"), PW_MAP_RESPONSE_TRAILERS},
};

/* The attribute "host" is Envoy's ":authority". */
static struct slice header_of(struct slice name)
{
    return slice_eq(name, SLICE_LIT("host")) ? SLICE_LIT(":authority") : name;
}

static bool shows_hidden_header(const struct wasm_policy *policy, struct slice dotted)
{
    if (policy->hidden_headers.count == 0)
        return false;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(derived); i++) {
        if (slice_eq(dotted, derived[i].path) && wasm_policy_hides_header(policy, derived[i].header))
            return true;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(with_headers); i++) {
        if (slice_eq(dotted, with_headers[i]))
            return true;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(maps); i++) {
        size_t len = maps[i].path.len;
        if (slice_starts_with(dotted, maps[i].path) && dotted.len > len && dotted.ptr[len] == '.' &&
            wasm_policy_hides_header(policy, header_of(slice_skip(dotted, len + 1))))
            return true;
    }
    return false;
}

/* What names the route's cluster or its hosts. */
static bool shows_hidden_cluster(const struct wasm_policy *policy, struct slice dotted, struct slice cluster)
{
    static const struct slice prefixes[] = {SLICE_LIT("cluster_"), SLICE_LIT("xds.cluster_"),
                                            SLICE_LIT("upstream"), SLICE_LIT("xds.upstream_")};
    if (policy->hidden_clusters.count == 0 || slice_eq(dotted, SLICE_LIT("xds")))
        return policy->hidden_clusters.count > 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(prefixes); i++) {
        if (slice_starts_with(dotted, prefixes[i]))
            return wasm_policy_hides_cluster(policy, cluster);
    }
    return false;
}

static bool hidden_property(const struct wasm_policy *policy, struct slice path, struct slice cluster,
                            struct slice *dotted, char *text)
{
    if (path.len > VIEW_PATH_BYTES_MAX)
        return true;
    for (size_t i = 0; i < path.len; i++)
        text[i] = path.ptr[i] ? path.ptr[i] : '.';
    *dotted = slice_of(text, path.len);
    return wasm_policy_hides_property(policy, *dotted) || shows_hidden_header(policy, *dotted) ||
           shows_hidden_cluster(policy, *dotted, cluster);
}

bool wasm_view_hides_property(const struct wasm_policy *policy, struct slice path, struct slice cluster)
{
    char text[VIEW_PATH_BYTES_MAX];
    struct slice dotted;
    if (hidden_property(policy, path, cluster, &dotted, text))
        return true;
    for (size_t i = 0; policy->hidden_headers.count > 0 && i < WEIR_ARRAY_LEN(maps); i++) {
        if (slice_eq(dotted, maps[i].path))
            return true;
    }
    return false;
}

/* Each name once, its values joined with ',' as Envoy does. */
static bool add_joined(struct arena *arena, struct pw_pair *pairs, size_t *count, const struct pw_pair *pair)
{
    for (size_t i = 0; i < *count; i++) {
        struct slice before = from_pw(pairs[i].value);
        if (!slice_eq(from_pw(pairs[i].name), from_pw(pair->name)))
            continue;
        char *text = arena_alloc_text(arena, before.len + 1 + pair->value.len);
        if (!text)
            return false;
        memcpy(text, before.ptr, before.len);
        text[before.len] = ',';
        memcpy(text + before.len + 1, pair->value.ptr, pair->value.len);
        pairs[i].value = (struct pw_slice){text, before.len + 1 + pair->value.len};
        return true;
    }
    pairs[(*count)++] = *pair;
    return true;
}

/* A whole map without what is hidden. */
static enum pw_status visible_map(struct wasm_stream *st, enum pw_map map, struct pw_value *out)
{
    if (!wasm_stream_ops.map_exists(st, map))
        return PW_STATUS_NOT_FOUND;
    struct arena *arena = &st->filter->stream->arena;
    struct pw_pair *pairs = ARENA_NEW_N(arena, struct pw_pair, map_count(st, map));
    size_t n = 0;
    struct pw_pair pair;
    bool ok = pairs != NULL;
    for (size_t cursor = 0; ok && map_next(st, map, &cursor, &pair);)
        ok = add_joined(arena, pairs, &n, &pair);
    if (ok)
        pw_value_map(out, pairs, n);
    return ok ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}

static enum pw_status property_get(void *ctx, struct pw_slice path, struct pw_value *out)
{
    struct wasm_stream *st = ctx;
    char text[VIEW_PATH_BYTES_MAX];
    struct slice dotted;
    if (hidden_property(st->pinned, from_pw(path), wasm_stream_cluster_name(st), &dotted, text))
        return PW_STATUS_NOT_FOUND;
    for (size_t i = 0; st->pinned->hidden_headers.count > 0 && i < WEIR_ARRAY_LEN(maps); i++) {
        if (slice_eq(dotted, maps[i].path))
            return visible_map(st, maps[i].map, out);
    }
    return wasm_stream_ops.property_get(ctx, path, out);
}

static enum pw_status property_set(void *ctx, struct pw_slice path, struct pw_slice value)
{
    const struct wasm_stream *st = ctx;
    char text[VIEW_PATH_BYTES_MAX];
    struct slice dotted;
    if (hidden_property(st->pinned, from_pw(path), wasm_stream_cluster_name(st), &dotted, text))
        return PW_STATUS_OK;
    return wasm_stream_ops.property_set(ctx, path, value);
}

/* --- control --- */

static void clear_route_cache(void *ctx)
{
    wasm_stream_ops.clear_route_cache(ctx);
}

static void continue_stream(void *ctx, enum pw_stream_type type)
{
    wasm_stream_ops.continue_stream(ctx, type);
}

static void close_stream(void *ctx, enum pw_stream_type type)
{
    wasm_stream_ops.close_stream(ctx, type);
}

/* A hidden header in a reply of its own is a write. */
static void local_reply(void *ctx, const struct pw_local_reply *reply)
{
    struct pw_pair headers[VIEW_REPLY_HEADERS_MAX];
    struct pw_local_reply visible = *reply;
    visible.headers = headers;
    visible.headers_count = 0;
    for (size_t i = 0; i < reply->headers_count && visible.headers_count < VIEW_REPLY_HEADERS_MAX; i++) {
        if (!hidden(ctx, from_pw(reply->headers[i].name)))
            headers[visible.headers_count++] = reply->headers[i];
    }
    wasm_stream_ops.local_reply(ctx, &visible);
}

static void vm_failed(void *ctx)
{
    wasm_stream_ops.vm_failed(ctx);
}

const struct pw_stream_ops wasm_view_ops = {
    .size = sizeof(wasm_view_ops),
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
