/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 both ways. Decoding takes what Envoy and protobuf's JSON form take; it never reads past its text.
 */
#include "base/base64.h"

bool base64_append(struct slice s, struct strbuf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.len; i += 3) {
        uint32_t group = 0;
        size_t n = s.len - i < 3 ? s.len - i : 3;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < n ? (unsigned char)s.ptr[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            strbuf_append_char(out, k <= n ? digits[group >> (18 - 6 * k) & 63] : '=');
    }
    return !out->failed;
}

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

struct slice base64_decode(struct slice s, struct arena *arena)
{
    while (s.len > 0 && s.ptr[s.len - 1] == '=')
        s.len--;
    if (s.len % 4 == 1)
        return SLICE_EMPTY;
    char *out = arena_alloc_text(arena, s.len / 4 * 3 + 3);
    if (!out)
        return SLICE_EMPTY;
    size_t len = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < s.len; i++) {
        int digit = digit_of(s.ptr[i]);
        if (digit < 0)
            return SLICE_EMPTY;
        bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[len++] = (char)(bits >> have & 0xff);
        }
    }
    return slice_of(out, len);
}
