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

char *response_flags_format(uint64_t flags, char *dst, size_t size)
{
    static const char *const shorts[] = {
#define FLAG_X(name, s, l) s,
        RESPONSE_FLAGS(FLAG_X)
#undef FLAG_X
    };
    size_t n = 0;
    WEIR_ASSERT(size >= 2);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(shorts); i++) {
        size_t len = strlen(shorts[i]);
        if (!(flags & (UINT64_C(1) << i)) || n + len + 2 > size)
            continue;
        if (n > 0)
            dst[n++] = ',';
        memcpy(dst + n, shorts[i], len);
        n += len;
    }
    if (n == 0)
        dst[n++] = '-';
    dst[n] = '\0';
    return dst;
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
