/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The character table and the check of hosts. Tables only: nothing here keeps state.
 */
#include "http/chars.h"

/* clang-format off */
const unsigned char chars_token_lower[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, '!', 0, '#', '$', '%', '&', '\'', 0, 0, '*', '+', 0, '-', '.', 0,
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0, 0, 0, 0, 0, 0,
    0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, 0, 0, '^', '_',
    '`', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, '|', 0, '~', 0,
};
/* clang-format on */

/* unreserved, sub-delims and "%" of RFC 3986: what a reg-name consists of. */
static const bool host_chars[256] = {
    ['0' ... '9'] = true, ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['-'] = true, ['.'] = true,
    ['_'] = true,         ['~'] = true,         ['%'] = true,         ['!'] = true, ['$'] = true,
    ['&'] = true,         ['\''] = true,        ['('] = true,         [')'] = true, ['*'] = true,
    ['+'] = true,         [','] = true,         [';'] = true,         ['='] = true,
};

static bool is_host_char(char c)
{
    return host_chars[(unsigned char)c];
}

static bool port_valid(struct slice port)
{
    uint64_t number;
    return port.len == 0 || (slice_parse_u64(port, &number) && number <= 65535);
}

/* "[" IPv6address or IPvFuture "]": the characters only. */
static bool ip_literal_valid(struct slice inner)
{
    if (inner.len == 0)
        return false;
    for (size_t i = 0; i < inner.len; i++) {
        if (inner.ptr[i] != ':' && !is_host_char(inner.ptr[i]))
            return false;
    }
    return true;
}

bool chars_host_valid(struct slice host)
{
    size_t i = 0;
    if (host.len > 0 && host.ptr[0] == '[') {
        ptrdiff_t end = slice_find_char(host, ']');
        if (end < 0 || !ip_literal_valid(slice_skip(slice_take(host, (size_t)end), 1)))
            return false;
        i = (size_t)end + 1;
    } else {
        while (i < host.len && is_host_char(host.ptr[i]))
            i++;
    }
    return i == host.len || (host.ptr[i] == ':' && port_valid(slice_skip(host, i + 1)));
}
