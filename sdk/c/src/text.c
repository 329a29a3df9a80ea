/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c: the functions of wsdk/text.h but formatting. Nothing here allocates or depends on a locale.
 */
#include <wsdk/text.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool same_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

static bool same(const char *a, const char *b, size_t len)
{
    return len == 0 || memcmp(a, b, len) == 0;
}

bool wsdk_equal(struct wsdk_bytes a, struct wsdk_bytes b)
{
    return a.len == b.len && same(a.data, b.data, a.len);
}

bool wsdk_equal_nocase(struct wsdk_bytes a, struct wsdk_bytes b)
{
    return a.len == b.len && same_nocase(a.data, b.data, a.len);
}

bool wsdk_starts_with(struct wsdk_bytes text, struct wsdk_bytes prefix)
{
    return text.len >= prefix.len && same(text.data, prefix.data, prefix.len);
}

bool wsdk_starts_with_nocase(struct wsdk_bytes text, struct wsdk_bytes prefix)
{
    return text.len >= prefix.len && same_nocase(text.data, prefix.data, prefix.len);
}

bool wsdk_ends_with(struct wsdk_bytes text, struct wsdk_bytes suffix)
{
    return text.len >= suffix.len &&
           (suffix.len == 0 || same(text.data + (text.len - suffix.len), suffix.data, suffix.len));
}

bool wsdk_ends_with_nocase(struct wsdk_bytes text, struct wsdk_bytes suffix)
{
    return text.len >= suffix.len &&
           (suffix.len == 0 || same_nocase(text.data + (text.len - suffix.len), suffix.data, suffix.len));
}

struct wsdk_bytes wsdk_before(struct wsdk_bytes text, const char *stops)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '\0' && strchr(stops, text.data[i]) != NULL)
            return (struct wsdk_bytes){text.data, i};
    }
    return text;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct wsdk_bytes wsdk_trim(struct wsdk_bytes text)
{
    while (text.len != 0 && is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len != 0 && is_blank(text.data[text.len - 1]))
        text.len--;
    return text;
}

bool wsdk_equal_secret(struct wsdk_bytes given, struct wsdk_bytes secret)
{
    /* volatile: the compiler must not find out that the answer is known early. */
    volatile unsigned char difference = given.len != secret.len;
    for (size_t i = 0; i < given.len; i++) {
        size_t j = secret.len == 0 ? 0 : i % secret.len;
        unsigned char other = secret.len == 0 ? 0 : (unsigned char)secret.data[j];
        difference = difference | ((unsigned char)given.data[i] ^ other);
    }
    return difference == 0;
}

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t wsdk_base64_len(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

void wsdk_base64_encode(struct wsdk_bytes from, char *to)
{
    for (size_t i = 0; i < from.len; i += 3) {
        size_t n = from.len - i < 3 ? from.len - i : 3;
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (j < n ? (unsigned char)from.data[i + j] : 0u);
        for (size_t j = 0; j < 4; j++)
            *to++ = j <= n ? base64_alphabet[bits >> (18 - 6 * j) & 63] : '=';
    }
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* The digits without padding; false when padding is there but not right. */
static bool base64_unpad(struct wsdk_bytes *text)
{
    size_t padding = 0;
    while (padding < 2 && padding < text->len && text->data[text->len - 1 - padding] == '=')
        padding++;
    if (padding != 0 && text->len % 4 != 0)
        return false;
    text->len -= padding;
    return text->len % 4 != 1;
}

bool wsdk_base64_decode(struct wsdk_bytes from, char *to, size_t *len)
{
    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t n = 0;
    *len = 0;
    if (!base64_unpad(&from))
        return false;
    for (size_t i = 0; i < from.len; i++) {
        int digit = base64_digit(from.data[i]);
        if (digit < 0)
            return false;
        bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            to[n++] = (char)(bits >> bit_count & 0xff);
        }
    }
    if ((bits & ((1u << bit_count) - 1)) != 0)
        return false;
    *len = n;
    return true;
}

bool wsdk_is_token(struct wsdk_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = lower(text.data[i]);
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_plain && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return text.len != 0;
}

bool wsdk_is_field_value(struct wsdk_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return text.len == 0 || (!is_blank(text.data[0]) && !is_blank(text.data[text.len - 1]));
}
