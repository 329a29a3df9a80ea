/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes PROXY headers, as Envoy does.
 */
#include "base/assert.h"
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>

/* Two addresses of one family; those of two are both written as IPv6. */
static bool both_v4(const struct address *a, const struct address *b)
{
    return a->sa.sa_family == AF_INET && b->sa.sa_family == AF_INET;
}

static void text_of(const struct address *a, bool v4, char text[INET6_ADDRSTRLEN])
{
    uint8_t bytes[16];
    bool known = address_ip_bytes(a, bytes);
    WEIR_ASSERT(known);
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes + 12 : bytes, text, INET6_ADDRSTRLEN);
}

size_t proxy_header_v1(const struct address *from, const struct address *to,
                       char out[PROXY_HEADER_V1_BYTES_MAX])
{
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
    if (!address_is_ip(from) || !address_is_ip(to))
        return (size_t)snprintf(out, PROXY_HEADER_V1_BYTES_MAX, "PROXY UNKNOWN\r\n");
    bool v4 = both_v4(from, to);
    text_of(from, v4, source);
    text_of(to, v4, destination);
    return (size_t)snprintf(out, PROXY_HEADER_V1_BYTES_MAX, "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6',
                            source, destination, address_port(from), address_port(to));
}

static char *put_ip(char *p, const struct address *a, bool v4)
{
    uint8_t bytes[16];
    bool known = address_ip_bytes(a, bytes);
    WEIR_ASSERT(known);
    memcpy(p, v4 ? bytes + 12 : bytes, v4 ? 4 : 16);
    return p + (v4 ? 4 : 16);
}

static char *put_u16(char *p, size_t n)
{
    *p++ = (char)(n >> 8);
    *p++ = (char)n;
    return p;
}

bool proxy_header_says(const struct address *from, const struct address *to)
{
    return from && to && address_is_ip(from) && address_is_ip(to);
}

size_t proxy_header_v2_room(const struct address *from, const struct address *to)
{
    return UINT16_MAX - (both_v4(from, to) ? 12u : 36u);
}

size_t proxy_header_v2(const struct address *from, const struct address *to, struct slice tlvs,
                       char out[PROXY_HEADER_V2_HEAD_MAX])
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
    char *p = (char *)memcpy(out, signature, 12) + 12;
    if (!proxy_header_says(from, to)) {
        memcpy(p, "\x20\0\0\0", 4);
        return 16;
    }
    bool v4 = both_v4(from, to);
    size_t addresses = v4 ? 12 : 36;
    WEIR_ASSERT(addresses + tlvs.len <= UINT16_MAX);
    *p++ = 0x21;
    *p++ = v4 ? 0x11 : 0x21;
    p = put_u16(p, addresses + tlvs.len);
    p = put_ip(put_ip(p, from, v4), to, v4);
    p = put_u16(put_u16(p, address_port(from)), address_port(to));
    return (size_t)(p - out);
}
