/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC's content type, timeout and status. Never looks into messages.
 */
#include "proxy/grpc.h"

/* Digits that the header may have. */
#define GRPC_TIMEOUT_MAX 99999999u

bool grpc_content_type(struct slice type)
{
    static const struct slice grpc = {"application/grpc", 16};
    if (!slice_starts_with(type, grpc))
        return false;
    return type.len == grpc.len || type.ptr[grpc.len] == '+';
}

bool grpc_timeout_parse(struct slice text, uint64_t *ms)
{
    uint64_t n;
    if (text.len < 2 || text.len > 9 || !slice_parse_u64(slice_take(text, text.len - 1), &n))
        return false;
    switch (text.ptr[text.len - 1]) {
    case 'H':
        *ms = n * 3600 * 1000;
        return true;
    case 'M':
        *ms = n * 60 * 1000;
        return true;
    case 'S':
        *ms = n * 1000;
        return true;
    case 'm':
        *ms = n;
        return true;
    case 'u':
        *ms = (n + 999) / 1000;
        return true;
    case 'n':
        *ms = (n + 999999) / 1000000;
        return true;
    default:
        return false;
    }
}

struct slice grpc_timeout_format(uint64_t ms, char buffer[GRPC_TIMEOUT_BYTES])
{
    char unit = 'm';
    uint64_t n = ms;
    if (n > GRPC_TIMEOUT_MAX) {
        unit = 'S';
        n = n / 1000 < GRPC_TIMEOUT_MAX ? n / 1000 : GRPC_TIMEOUT_MAX;
    }
    struct slice digits = slice_from_u64(n, buffer);
    size_t at = (size_t)(digits.ptr - buffer) + digits.len;
    buffer[at] = unit;
    return slice_of(digits.ptr, digits.len + 1);
}

uint32_t grpc_status_of_http(uint64_t http)
{
    switch (http) {
    case 400:
        return 13; /* INTERNAL */
    case 401:
        return 16; /* UNAUTHENTICATED */
    case 403:
        return 7; /* PERMISSION_DENIED */
    case 404:
        return 12; /* UNIMPLEMENTED */
    case 429:
    case 502:
    case 503:
    case 504:
        return 14; /* UNAVAILABLE */
    default:
        return 2; /* UNKNOWN */
    }
}
