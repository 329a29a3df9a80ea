/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header maps. Names are lower-cased here; what may be reached when is decided here too (ABI 3.5); whether a
 * name or value is acceptable in HTTP is the embedder's business.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/callout_impl.h"
#include "proxywasm/guest.h"
#include "proxywasm/pairs.h"
#include "proxywasm/stream_impl.h"

/* The stream of the running call, or NULL on a root context. */
static struct pw_stream *call_stream(const struct pw_vm *vm)
{
    struct context *c = vm_context(vm);
    if (!c)
        return NULL;
    return c->kind == CONTEXT_STREAM ? context_stream(c) : c->root->logged;
}

static struct pw_stream *readable(const struct pw_vm *vm, uint32_t map)
{
    struct pw_stream *stream = call_stream(vm);
    return stream && map <= PW_MAP_RESPONSE_TRAILERS && stream_map_readable(stream, map) ? stream : NULL;
}

static struct pw_stream *writable(const struct pw_vm *vm, uint32_t map)
{
    struct pw_stream *stream = call_stream(vm);
    return stream && map <= PW_MAP_RESPONSE_TRAILERS && stream_map_writable(stream, map) ? stream : NULL;
}

/* Eight bytes at a time: the high bit of each byte that is 'A' .. 'Z'. */
static inline uint64_t upper_bits(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low = word & (ones * 0x7f);
    return (low + ones * (0x80 - 'A')) & ~(low + ones * (0x7f - 'Z')) & ~word & (ones * 0x80);
}

static inline uint64_t load_word(const char *p, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, p, bytes);
    return word;
}

static inline bool has_upper(struct slice s)
{
    uint64_t found = 0;
    if (s.len >= 8) {
        for (size_t i = 0; i + 8 < s.len; i += 8)
            found |= upper_bits(load_word(s.ptr + i, 8));
        found |= upper_bits(load_word(s.ptr + s.len - 8, 8));
    } else if (s.len >= 4) { /* two loads that overlap */
        found = upper_bits(load_word(s.ptr, 4) | load_word(s.ptr + s.len - 4, 4) << 32);
    } else {
        for (size_t i = 0; i < s.len; i++)
            found |= upper_bits((unsigned char)s.ptr[i]);
    }
    return found != 0;
}

static __attribute__((noinline)) bool lower_copy(struct pw_vm *vm, struct slice *name)
{
    char *to = arena_alloc_text(&vm->scratch, name->len);
    if (!to)
        return false;
    for (size_t i = 0; i < name->len; i++)
        to[i] = ascii_lower(name->ptr[i]);
    name->ptr = to;
    return true;
}

/* A lower-case name stays where it is. False: no memory. */
static inline bool lower_name(struct pw_vm *vm, struct slice *name)
{
    return WEIR_LIKELY(!has_upper(*name)) || lower_copy(vm, name);
}

uint32_t hostcall_proxy_get_header_map_size(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t map = arg_u32(args[0]);
    struct pw_stream *stream = map <= PW_MAP_MAX ? writable(vm, map) : NULL;
    if (!stream)
        return PW_STATUS_BAD_ARGUMENT;
    size_t bytes = stream->ops->map_exists(stream->ctx, map) ? stream->ops->map_bytes(stream->ctx, map) : 0;
    return guest_put_word(vm, args[1], bytes) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
}

/* Steps through a map of the stream, or (stream NULL) of the callout whose callback runs. */
static bool next_pair(const struct pw_vm *vm, const struct pw_stream *stream, enum pw_map map, size_t *cursor,
                      struct pw_pair *out)
{
    if (stream)
        return stream->ops->map_next(stream->ctx, map, cursor, out);
    size_t count;
    const struct pw_pair *pairs = callout_map_pairs(vm, map, &count);
    if (*cursor >= count)
        return false;
    *out = pairs[(*cursor)++];
    return true;
}

/* Bytes of the map in the pairs format, and its entries. */
static uint64_t measure(const struct pw_vm *vm, const struct pw_stream *stream, enum pw_map map,
                        uint32_t *count)
{
    uint64_t text = 0;
    struct pw_pair pair;
    *count = 0;
    for (size_t cursor = 0; next_pair(vm, stream, map, &cursor, &pair);) {
        text += pair.name.len + pair.value.len;
        (*count)++;
    }
    return pairs_bytes(*count, text);
}

uint32_t hostcall_proxy_get_header_map_pairs(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t map = arg_u32(args[0]);
    if (map > PW_MAP_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    struct pw_stream *stream = readable(vm, map);
    uint32_t count = 0;
    uint64_t size = stream || callout_map_open(vm, map) ? measure(vm, stream, map, &count) : 0;
    uint64_t address = 0;
    if (count == 0) {
        size = 0; /* an unreachable map reads as empty (ABI 3.0) */
    } else {
        char *buffer = guest_allocate(vm, size, &address);
        if (!buffer)
            return PW_STATUS_INVALID_MEMORY_ACCESS;
        struct pairs_writer w;
        struct pw_pair pair;
        pairs_writer_init(&w, buffer, size, count);
        for (size_t cursor = 0; next_pair(vm, stream, map, &cursor, &pair);)
            pairs_writer_add(&w, pair.name, pair.value);
        WEIR_ASSERT(pairs_writer_done(&w)); /* the guest's allocator reaches no map */
    }
    return guest_put_word(vm, args[1], address) && guest_put_word(vm, args[2], size)
               ? PW_STATUS_OK
               : PW_STATUS_INVALID_MEMORY_ACCESS;
}

/* Whether the guest may write `count` more headers of `bytes` on this stream. They are charged until the
 * stream goes: it keeps replaced ones in its arena. */
static bool may_write(struct pw_vm *vm, struct pw_stream *stream, size_t count, uint64_t bytes)
{
    const struct pw_limits *limits = &vm->limits;
    if (count > limits->header_count_max || stream->headers_written > limits->header_count_max - count) {
        vm_limit_passed(vm, PW_LIMIT_header_count_max);
        return false;
    }
    if (bytes > limits->header_bytes_max || stream->header_bytes > limits->header_bytes_max - bytes) {
        vm_limit_passed(vm, PW_LIMIT_header_bytes_max);
        return false;
    }
    if (!vm_charge(vm, bytes))
        return false;
    stream->headers_written += (uint32_t)count;
    stream->header_bytes += bytes;
    vm_count_bytes(vm, bytes);
    return true;
}

/* Shared end of all writes. */
static inline uint32_t written(struct pw_stream *stream, enum pw_map map, enum pw_status status)
{
    if (status != PW_STATUS_OK)
        return status;
    stream_map_written(stream, map);
    if (map == PW_MAP_REQUEST_HEADERS)
        stream->ops->clear_route_cache(stream->ctx); /* ABI 3.9 */
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_set_header_map_pairs(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t map = arg_u32(args[0]);
    struct slice bytes;
    if (map > PW_MAP_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    if (!guest_slice(vm, args[1], args[2], &bytes))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct pw_stream *stream = writable(vm, map);
    if (!stream)
        return PW_STATUS_BAD_ARGUMENT;
    struct pw_pair *pairs;
    size_t count;
    if (!pairs_parse(bytes, &vm->scratch, &pairs, &count) || !may_write(vm, stream, count, bytes.len))
        return PW_STATUS_INTERNAL_FAILURE;
    for (size_t i = 0; i < count; i++) {
        struct slice name = slice_from_pw(pairs[i].name);
        char *lower = has_upper(name) ? arena_alloc_text(&vm->scratch, name.len) : NULL;
        if (has_upper(name) && (!lower || name.len > PAIRS_BYTES_MAX))
            return PW_STATUS_INTERNAL_FAILURE;
        for (size_t j = 0; lower && j < name.len; j++)
            lower[j] = ascii_lower(name.ptr[j]);
        if (lower)
            pairs[i].name.ptr = lower;
    }
    return written(stream, map, stream->ops->map_set(stream->ctx, map, pairs, count));
}

/* A missing key: 0.1.0 reads an empty value (ABI 1.4). */
static uint32_t no_value(struct pw_vm *vm, const uint64_t *args)
{
    if (pw_module_info(vm->module)->abi != PW_ABI_0_1_0)
        return PW_STATUS_NOT_FOUND;
    return guest_give(vm, SLICE_EMPTY, args[3], args[4]) ? PW_STATUS_OK : PW_STATUS_INVALID_MEMORY_ACCESS;
}

static bool callout_value(const struct pw_vm *vm, enum pw_map map, struct slice name, struct pw_slice *value)
{
    struct pw_pair pair;
    for (size_t cursor = 0; next_pair(vm, NULL, map, &cursor, &pair);) {
        if (slice_eq_nocase(slice_from_pw(pair.name), name)) {
            *value = pair.value;
            return true;
        }
    }
    return false;
}

WEIR_HOT uint32_t hostcall_proxy_get_header_map_value(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t map = arg_u32(args[0]);
    struct slice name;
    if (map > PW_MAP_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    if (!guest_slice(vm, args[1], args[2], &name))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct pw_stream *stream = readable(vm, map);
    struct pw_slice value;
    if (!stream && callout_map_open(vm, map)) {
        if (!callout_value(vm, map, name, &value))
            return no_value(vm, args);
        return guest_give(vm, slice_from_pw(value), args[3], args[4]) ? PW_STATUS_OK
                                                                      : PW_STATUS_INVALID_MEMORY_ACCESS;
    }
    if (!stream) {
        const struct pw_stream *own = call_stream(vm);
        bool in_log = own && own->in_log && map <= PW_MAP_RESPONSE_TRAILERS;
        return in_log ? no_value(vm, args) : PW_STATUS_BAD_ARGUMENT;
    }
    if (!lower_name(vm, &name) || !stream->ops->map_get(stream->ctx, map, slice_to_pw(name), &value))
        return no_value(vm, args);
    return guest_give(vm, slice_from_pw(value), args[3], args[4]) ? PW_STATUS_OK
                                                                  : PW_STATUS_INVALID_MEMORY_ACCESS;
}

/* The common part of add and replace. */
static inline uint32_t write_value(struct pw_vm *vm, const uint64_t *args, bool replace)
{
    uint32_t map = arg_u32(args[0]);
    struct slice name, value;
    if (map > PW_MAP_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    if (!guest_slice(vm, args[1], args[2], &name) || !guest_slice(vm, args[3], args[4], &value))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct pw_stream *stream = writable(vm, map);
    if (!stream)
        return PW_STATUS_BAD_ARGUMENT;
    if (!lower_name(vm, &name) || !may_write(vm, stream, 1, name.len + value.len))
        return PW_STATUS_INTERNAL_FAILURE;
    enum pw_status status =
        replace ? stream->ops->map_replace(stream->ctx, map, slice_to_pw(name), slice_to_pw(value))
                : stream->ops->map_add(stream->ctx, map, slice_to_pw(name), slice_to_pw(value));
    return written(stream, map, status);
}

WEIR_HOT uint32_t hostcall_proxy_add_header_map_value(struct pw_vm *vm, const uint64_t *args)
{
    return write_value(vm, args, false);
}

WEIR_HOT uint32_t hostcall_proxy_replace_header_map_value(struct pw_vm *vm, const uint64_t *args)
{
    return write_value(vm, args, true);
}

uint32_t hostcall_proxy_remove_header_map_value(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t map = arg_u32(args[0]);
    struct slice name;
    if (map > PW_MAP_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    if (!guest_slice(vm, args[1], args[2], &name))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    struct pw_stream *stream = writable(vm, map);
    if (!stream)
        return PW_STATUS_BAD_ARGUMENT;
    if (!lower_name(vm, &name))
        return PW_STATUS_INTERNAL_FAILURE;
    if (!stream->ops->map_exists(stream->ctx, map))
        return PW_STATUS_OK; /* trailers that were never made */
    return written(stream, map, stream->ops->map_remove(stream->ctx, map, slice_to_pw(name)));
}

uint32_t hostcall_proxy_clear_route_cache(struct pw_vm *vm, const uint64_t *args)
{
    (void)args;
    struct pw_stream *stream = call_stream(vm);
    if (stream)
        stream->ops->clear_route_cache(stream->ctx);
    return PW_STATUS_OK;
}
