/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes path normalisation and splitting. What must hold: what was normalised stays the same when it is
 * normalised again; it begins with "/", has no dot segment and no control byte; the query is untouched.
 */
#include "base/assert.h"
#include "http/url.h"

#include <stdlib.h>

static void check_path(const struct url_path_options *o, struct slice path)
{
    struct slice part, rest = path;
    WEIR_ASSERT(path.len > 0 && path.ptr[0] == '/');
    while (o->normalize && slice_split(&rest, '/', &part))
        WEIR_ASSERT(!slice_eq(part, SLICE_LIT(".")) && !slice_eq(part, SLICE_LIT("..")));
    if (o->merge_slashes)
        WEIR_ASSERT(slice_find(path, SLICE_LIT("//")) < 0);
    for (size_t i = 0; o->normalize && i < path.len; i++)
        WEIR_ASSERT((unsigned char)path.ptr[i] > 0x20 && (unsigned char)path.ptr[i] < 0x7f &&
                    path.ptr[i] != '\\');
}

static void check_rest(struct slice text, struct arena *arena)
{
    struct slice name, value, host, port, path, query;
    url_split_path(text, &path, &query);
    size_t total = path.len;
    while (url_query_next(&query, &name, &value))
        total += name.len + value.len;
    WEIR_ASSERT(total <= text.len);
    url_split_host(text, &host, &port);
    WEIR_ASSERT(host.len + port.len + (port.ptr != NULL) == text.len);
    struct slice there = url_encode(text, false, arena);
    WEIR_ASSERT(slice_eq(url_decode(there, arena), text));
    WEIR_ASSERT(url_strip_trailing_dot(text, arena).ptr || text.ptr == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct slice out, again, path, query, query_before;
    if (size < 1 || size > 65536)
        return 0;
    struct url_path_options o = {
        .normalize = data[0] & 1,
        .merge_slashes = data[0] & 2,
        .strip_fragment = data[0] & 4,
        .escaped_slashes = (enum url_escaped_slashes)(data[0] >> 3 & 3),
    };
    struct slice in = slice_of(data + 1, size - 1);
    arena_init(&arena, 16u << 20, NULL);
    enum url_path_result r = url_path_apply(&o, in, &arena, &out);
    WEIR_ASSERT(r != URL_PATH_NO_MEMORY);
    if (r != URL_PATH_REJECT) {
        url_split_path(in, &path, &query_before);
        url_split_path(out, &path, &query);
        WEIR_ASSERT(slice_eq(query, query_before));
        if (in.len > 0 && in.ptr[0] == '/')
            check_path(&o, path);
        WEIR_ASSERT(url_path_apply(&o, out, &arena, &again) == URL_PATH_OK && slice_eq(out, again));
    }
    check_rest(in, &arena);
    arena_fini(&arena);
    return 0;
}
