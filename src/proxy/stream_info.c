/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is derived from a stream's record: response flags as access logs print them, the server name.
 */
#include "proxy/stream_info.h"

#include "base/assert.h"
#include "net/tls_info.h"
#include "proxy/connection_facts.h"

struct slice stream_info_server_name(const struct stream_info *info)
{
    if (info->facts && info->facts->server_name.len)
        return info->facts->server_name;
    return info->tls && info->tls->server_name.ptr ? info->tls->server_name : SLICE_EMPTY;
}

#define ORDER_BITS 6u
#define ORDER_MASK 63u
#define ORDER_MAX  (64u / ORDER_BITS)

void stream_info_flag(struct stream_info *info, uint64_t flags)
{
    for (uint64_t more = flags & ~info->flags; more; more &= more - 1) {
        unsigned count = (unsigned)__builtin_popcountll(info->flags), bit = (unsigned)__builtin_ctzll(more);
        unsigned shift = count * ORDER_BITS;
        if (count < ORDER_MAX)
            info->flags_order = (info->flags_order & ~((uint64_t)ORDER_MASK << shift)) | (uint64_t)bit
                                                                                             << shift;
        info->flags |= UINT64_C(1) << bit;
    }
}

bool stream_info_append_flags(const struct stream_info *info, bool long_names, struct strbuf *out)
{
    static const struct {
        const char *brief, *full;
    } names[] = {
#define FLAG_X(name, s, l) {s, l},
        RESPONSE_FLAGS(FLAG_X)
#undef FLAG_X
    };
    uint64_t left = info->flags;
    if (!left)
        return strbuf_append_char(out, '-');
    for (unsigned i = 0; left; i++) {
        unsigned ordered = (unsigned)(info->flags_order >> (i * ORDER_BITS % 64)) & ORDER_MASK;
        unsigned bit = i < ORDER_MAX ? ordered : (unsigned)__builtin_ctzll(left);
        WEIR_ASSERT(bit < WEIR_ARRAY_LEN(names));
        if (i > 0)
            strbuf_append_char(out, ',');
        strbuf_append_str(out, long_names ? names[bit].full : names[bit].brief);
        left &= ~(UINT64_C(1) << bit);
    }
    return !out->failed;
}

const struct address *stream_info_destination(const struct stream_info *info)
{
    return info->facts && info->facts->local_restored ? info->downstream_local : NULL;
}

const struct address *stream_info_upstream_peer(const struct stream_info *info)
{
    if (info->upstream_local.len == 0)
        return NULL;
    return WEIR_UNLIKELY(info->upstream_peer != NULL) ? info->upstream_peer : &info->upstream_remote;
}

void stream_info_note_peer(struct stream_info *info, struct arena *arena, const struct address *peer)
{
    struct address *own = NULL;
    if (peer && !address_eq(peer, &info->upstream_remote) && (own = arena_alloc(arena, sizeof(*own))))
        *own = *peer;
    info->upstream_peer = own;
}
