/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads PROXY headers as Envoy does: TCP over IPv4 and IPv6, local connections, TLVs. Anything else is bad,
 * never guessed.
 */
#include "net/proxy_header.h"

#define V1_SIGNATURE SLICE_LIT("PROXY ")
#define V2_SIGNATURE SLICE_LIT("\r\n\r\n\0\r\nQUIT\n")
#define V2_HEAD      16u

enum { COMMAND_LOCAL, COMMAND_PROXY };
enum { FAMILY_INET = 1, FAMILY_INET6 = 2 };
enum { TRANSPORT_STREAM = 1, TRANSPORT_DATAGRAM = 2 };

static uint8_t byte_at(struct slice s, size_t i)
{
    return (uint8_t)s.ptr[i];
}

static size_t u16_at(struct slice s, size_t i)
{
    return (size_t)byte_at(s, i) << 8 | byte_at(s, i + 1);
}

/* Whether `bytes` agree with `signature` as far as both go. */
static bool begins(struct slice bytes, struct slice signature)
{
    return slice_starts_with(signature, slice_take(bytes, signature.len));
}

/* Envoy takes no address that cannot be a peer's. */
static bool unicast(const struct address *a)
{
    if (a->sa.sa_family == AF_INET) {
        in_addr_t ip = ntohl(a->in4.sin_addr.s_addr);
        return ip != INADDR_ANY && ip != INADDR_BROADCAST && !IN_MULTICAST(ip);
    }
    return !IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) && !IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
}

/* --- version 1 --- */

static bool text_address(struct slice ip, struct slice port, int family, struct address *out)
{
    uint64_t n;
    return slice_parse_u64(port, &n) && n <= UINT16_MAX && address_parse_ip(ip, (uint16_t)n, out) &&
           out->sa.sa_family == family && unicast(out);
}

static bool parse_line(struct slice line, struct proxy_header *out)
{
    struct slice word[6], rest = line;
    size_t words = 0;
    while (words < 6 && slice_split(&rest, ' ', &word[words]))
        words++;
    if (words >= 2 && slice_eq(word[1], SLICE_LIT("UNKNOWN"))) {
        out->local = true;
        return true;
    }
    if (words != 6 || rest.ptr)
        return false;
    bool v4 = slice_eq(word[1], SLICE_LIT("TCP4"));
    int family = v4 ? AF_INET : AF_INET6;
    return (v4 || slice_eq(word[1], SLICE_LIT("TCP6"))) &&
           text_address(word[2], word[4], family, &out->remote) &&
           text_address(word[3], word[5], family, &out->destination);
}

static enum proxy_header_result parse_v1(struct slice bytes, struct proxy_header *out)
{
    struct slice window = slice_take(bytes, PROXY_HEADER_V1_BYTES_MAX);
    ptrdiff_t end = slice_find(window, SLICE_LIT("\r\n"));
    out->version = PROXY_VERSION_1;
    if (end < 0)
        return window.len < PROXY_HEADER_V1_BYTES_MAX ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
    out->bytes = (size_t)end + 2;
    return parse_line(slice_take(bytes, (size_t)end), out) ? PROXY_HEADER_OK : PROXY_HEADER_BAD;
}

/* --- version 2 --- */

bool proxy_header_tlv(struct slice *rest, uint8_t *type, struct slice *value)
{
    if (rest->len < 3)
        return false;
    size_t len = u16_at(*rest, 1);
    if (rest->len - 3 < len)
        return false;
    *type = byte_at(*rest, 0);
    *value = slice_of(rest->ptr + 3, len);
    *rest = slice_skip(*rest, 3 + len);
    return true;
}

static void binary_address(const char *ip, size_t ip_len, const char *port, struct address *out)
{
    memset(out, 0, sizeof(*out));
    if (ip_len == 4) {
        out->len = sizeof(out->in4);
        out->in4.sin_family = AF_INET;
        memcpy(&out->in4.sin_addr, ip, 4);
        memcpy(&out->in4.sin_port, port, 2);
    } else {
        out->len = sizeof(out->in6);
        out->in6.sin6_family = AF_INET6;
        memcpy(&out->in6.sin6_addr, ip, 16);
        memcpy(&out->in6.sin6_port, port, 2);
    }
}

static bool parse_addresses(struct slice body, unsigned family, unsigned transport, struct proxy_header *out)
{
    size_t ip = family == FAMILY_INET ? 4 : 16, addresses = 2 * ip + 4;
    if ((family != FAMILY_INET && family != FAMILY_INET6) ||
        (transport != TRANSPORT_STREAM && transport != TRANSPORT_DATAGRAM) || body.len < addresses)
        return false;
    binary_address(body.ptr, ip, body.ptr + 2 * ip, &out->remote);
    binary_address(body.ptr + ip, ip, body.ptr + 2 * ip + 2, &out->destination);
    out->tlvs = slice_skip(body, addresses);
    return unicast(&out->remote) && unicast(&out->destination);
}

static enum proxy_header_result parse_v2(struct slice bytes, struct proxy_header *out)
{
    out->version = PROXY_VERSION_2;
    if (bytes.len < V2_HEAD)
        return PROXY_HEADER_MORE;
    unsigned command = byte_at(bytes, 12) & 0xf, family = byte_at(bytes, 13) >> 4;
    size_t len = u16_at(bytes, 14);
    if (byte_at(bytes, 12) >> 4 != 2 || command > COMMAND_PROXY)
        return PROXY_HEADER_BAD;
    if (bytes.len < V2_HEAD + len)
        return PROXY_HEADER_MORE;
    struct slice body = slice_take(slice_skip(bytes, V2_HEAD), len);
    out->bytes = V2_HEAD + len;
    out->local = command == COMMAND_LOCAL;
    if (!out->local && !parse_addresses(body, family, byte_at(bytes, 13) & 0xf, out))
        return PROXY_HEADER_BAD;
    return PROXY_HEADER_OK;
}

enum proxy_header_result proxy_header_parse(struct slice bytes, struct proxy_header *out)
{
    *out = (struct proxy_header){.tlvs = SLICE_EMPTY};
    bool v1 = begins(bytes, V1_SIGNATURE), v2 = begins(bytes, V2_SIGNATURE);
    if (!v1 && !v2)
        return PROXY_HEADER_NONE;
    if (v1 && bytes.len >= V1_SIGNATURE.len)
        return parse_v1(bytes, out);
    if (v2 && bytes.len >= V2_SIGNATURE.len)
        return parse_v2(bytes, out);
    return PROXY_HEADER_MORE;
}
