/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses to text and back, and ranges of them. No look-ups, no locks, no allocation.
 */
#include "net/address.h"

#include "base/assert.h"

#include <arpa/inet.h>
#include <stdio.h>

#define IP_TEXT_MAX 64

bool address_parse_ip(struct slice ip, uint16_t port, struct address *out)
{
    char text[IP_TEXT_MAX];
    if (ip.len == 0 || ip.len >= sizeof(text) || memchr(ip.ptr, 0, ip.len))
        return false;
    memcpy(text, ip.ptr, ip.len);
    text[ip.len] = '\0';
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &out->in4.sin_addr) == 1) {
        out->in4.sin_family = AF_INET;
        out->in4.sin_port = htons(port);
        out->len = sizeof(out->in4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &out->in6.sin6_addr) == 1) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = htons(port);
        out->len = sizeof(out->in6);
        return true;
    }
    return false;
}

bool address_unix(struct slice path, struct address *out)
{
    memset(out, 0, sizeof(*out));
    if (path.len == 0 || path.len >= sizeof(out->un.sun_path) || memchr(path.ptr, 0, path.len))
        return false;
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, path.ptr, path.len);
    if (path.ptr[0] == '@')
        out->un.sun_path[0] = '\0'; /* Linux: the abstract name space */
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + (path.ptr[0] == '@' ? 0 : 1));
    return true;
}

/* The path of a Unix address, which may be unnamed or not terminated. */
static struct slice unix_path(const struct address *a)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    if (a->len <= head)
        return SLICE_EMPTY;
    size_t max = a->len - head;
    if (a->un.sun_path[0] == '\0')
        return slice_of(a->un.sun_path, max);
    return slice_of(a->un.sun_path, strnlen(a->un.sun_path, max));
}

char *address_format_ip(const struct address *a, char dst[ADDRESS_TEXT_MAX])
{
    dst[0] = '\0';
    if (a->len == 0)
        return dst;
    if (a->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->in4.sin_addr, dst, ADDRESS_TEXT_MAX);
    } else if (a->sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->in6.sin6_addr, dst, ADDRESS_TEXT_MAX);
    } else if (a->sa.sa_family == AF_UNIX) {
        struct slice path = slice_take(unix_path(a), ADDRESS_TEXT_MAX - 1);
        if (path.len)
            memcpy(dst, path.ptr, path.len);
        if (path.len && dst[0] == '\0')
            dst[0] = '@';
        dst[path.len] = '\0';
    }
    return dst;
}

char *address_format(const struct address *a, char dst[ADDRESS_TEXT_MAX])
{
    char ip[ADDRESS_TEXT_MAX];
    address_format_ip(a, ip);
    if (a->len != 0 && a->sa.sa_family == AF_INET)
        snprintf(dst, ADDRESS_TEXT_MAX, "%.64s:%u", ip, address_port(a));
    else if (a->len != 0 && a->sa.sa_family == AF_INET6)
        snprintf(dst, ADDRESS_TEXT_MAX, "[%.64s]:%u", ip, address_port(a));
    else
        memcpy(dst, ip, sizeof(ip));
    return dst;
}

uint16_t address_port(const struct address *a)
{
    if (a->len == 0)
        return 0;
    if (a->sa.sa_family == AF_INET)
        return ntohs(a->in4.sin_port);
    return a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}

void address_set_port(struct address *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET)
        a->in4.sin_port = htons(port);
    else if (a->sa.sa_family == AF_INET6)
        a->in6.sin6_port = htons(port);
}

/* Of an IPv4 address in IPv6 (RFC 4291 2.5.5.2). */
static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool address_ip_bytes(const struct address *a, uint8_t out[16])
{
    if (a->len == 0)
        return false;
    if (a->sa.sa_family == AF_INET) {
        memcpy(out, mapped_prefix, sizeof(mapped_prefix));
        memcpy(out + 12, &a->in4.sin_addr, 4);
        return true;
    }
    if (a->sa.sa_family != AF_INET6)
        return false;
    memcpy(out, &a->in6.sin6_addr, 16);
    return true;
}

bool address_eq_ip(const struct address *a, const struct address *b)
{
    uint8_t x[16], y[16];
    return address_ip_bytes(a, x) && address_ip_bytes(b, y) && memcmp(x, y, sizeof(x)) == 0;
}

bool address_eq(const struct address *a, const struct address *b)
{
    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_UNIX)
        return slice_eq(unix_path(a), unix_path(b));
    return address_eq_ip(a, b) && address_port(a) == address_port(b);
}

/* Ranges as 16 bytes and a prefix over the mapped form. */
struct ip_range {
    uint8_t base[16];
    uint8_t bits;
};

#define V4(a, b, c, d, bits)                                                                                 \
    {                                                                                                        \
        {[10] = 0xff, [11] = 0xff, [12] = (a), [13] = (b), [14] = (c), [15] = (d)}, 96 + (bits)              \
    }
/* clang-format off */
static const struct ip_range loopback[] = {V4(127, 0, 0, 0, 8), {{[15] = 1}, 128}};
static const struct ip_range internal[] = {V4(10, 0, 0, 0, 8), V4(172, 16, 0, 0, 12), V4(192, 168, 0, 0, 16),
                                           V4(127, 0, 0, 0, 8), {{[15] = 1}, 128}, {{[0] = 0xfc}, 7}};
/* clang-format on */

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool in_ranges(const struct address *a, const struct ip_range *ranges, size_t count)
{
    uint8_t ip[16];
    if (!address_ip_bytes(a, ip))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (bits_equal(ip, ranges[i].base, ranges[i].bits))
            return true;
    }
    return false;
}

bool address_is_ip(const struct address *a)
{
    return a->len && (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

bool address_is_loopback(const struct address *a)
{
    return in_ranges(a, loopback, WEIR_ARRAY_LEN(loopback));
}

bool address_is_private(const struct address *a)
{
    return in_ranges(a, internal, WEIR_ARRAY_LEN(internal));
}

bool address_is_wildcard(const struct address *a)
{
    if (a->len == 0)
        return true;
    if (a->sa.sa_family == AF_INET)
        return a->in4.sin_addr.s_addr == 0;
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

void address_mask_bytes(uint8_t *bytes, size_t len, unsigned prefix_bits)
{
    for (size_t i = 0; i < len; i++) {
        unsigned from = (unsigned)i * 8;
        if (from >= prefix_bits)
            bytes[i] = 0;
        else if (prefix_bits - from < 8)
            bytes[i] &= (uint8_t)(0xff00u >> (prefix_bits - from));
    }
}

bool cidr_init(struct cidr *c, struct slice ip, uint32_t prefix_bits)
{
    if (!address_parse_ip(ip, 0, &c->base))
        return false;
    bool v4 = c->base.sa.sa_family == AF_INET;
    if (prefix_bits > (v4 ? 32u : 128u))
        return false;
    c->prefix_bits = (uint8_t)prefix_bits;
    if (v4)
        address_mask_bytes((uint8_t *)&c->base.in4.sin_addr, 4, prefix_bits);
    else
        address_mask_bytes((uint8_t *)&c->base.in6.sin6_addr, 16, prefix_bits);
    return true;
}

bool cidr_contains(const struct cidr *c, const struct address *a)
{
    uint8_t base[16], ip[16];
    if (!address_ip_bytes(&c->base, base) || !address_ip_bytes(a, ip))
        return false;
    const unsigned mapped_bits = 8 * sizeof(mapped_prefix);
    unsigned bits = c->prefix_bits + (c->base.sa.sa_family == AF_INET ? mapped_bits : 0u);
    if (bits < mapped_bits && memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0)
        return false; /* ::/0 is all of IPv6 */
    return bits_equal(base, ip, bits);
}

bool cidrs_contain(const struct cidr *ranges, size_t count, const struct address *a)
{
    for (size_t i = 0; i < count; i++) {
        if (cidr_contains(&ranges[i], a))
            return true;
    }
    return false;
}
