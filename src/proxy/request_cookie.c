/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding a cookie among those of a request, over all of its cookie fields, as Envoy does.
 */
#include "proxy/request_cookie.h"

struct slice request_cookie(const struct header_map *headers, struct slice name)
{
    struct slice cookie = header_id_name(HDR_COOKIE);
    for (const struct header *h = header_map_find(headers, cookie); h;
         h = header_map_find_next(headers, cookie, h)) {
        struct slice rest = h->value, part;
        while (slice_split(&rest, ';', &part)) {
            while (part.len > 0 && part.ptr[0] == ' ')
                part = slice_skip(part, 1);
            ptrdiff_t equals = slice_find_char(part, '=');
            if (equals < 0 || !slice_eq(slice_take(part, (size_t)equals), name))
                continue;
            struct slice value = slice_skip(part, (size_t)equals + 1);
            if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
                value = slice_of(value.ptr + 1, value.len - 2);
            return value;
        }
    }
    return SLICE_EMPTY;
}
