/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses and their text forms. IPv4, IPv6 and Unix paths.
 */
#ifndef WEIR_NET_ADDRESS_H
#define WEIR_NET_ADDRESS_H

#include "base/slice.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len; /* 0: none */
};

#define ADDRESS_TEXT_MAX 128

/* Numeric IPv4 or IPv6 only (no look-up). false when it is neither. */
bool address_parse_ip(struct slice ip, uint16_t port, struct address *out);
/* A path, or "@name" for Linux' abstract name space. false when it is empty or too long. */
bool address_unix(struct slice path, struct address *out);
/* "1.2.3.4:80", "[::1]:80", "/path"; cut to fit; returns dst. */
char *address_format(const struct address *a, char dst[ADDRESS_TEXT_MAX]);
/* Without port and brackets. */
char *address_format_ip(const struct address *a, char dst[ADDRESS_TEXT_MAX]);
uint16_t address_port(const struct address *a);
bool address_eq(const struct address *a, const struct address *b);
/* IP only, without ports; an IPv4 address mapped into IPv6 equals the IPv4 one. */
bool address_eq_ip(const struct address *a, const struct address *b);
void address_set_port(struct address *a, uint16_t port);
/* The IP as 16 bytes, IPv4 in its mapped form; false for anything else. */
bool address_ip_bytes(const struct address *a, uint8_t out[16]);
/* Clears what lies behind the first `prefix_bits` bits. */
void address_mask_bytes(uint8_t *bytes, size_t len, unsigned prefix_bits);
/* 0.0.0.0, :: or none. */
bool address_is_wildcard(const struct address *a);
/* Known, and of IPv4 or IPv6. */
bool address_is_ip(const struct address *a);
bool address_is_loopback(const struct address *a);
/* RFC 1918, RFC 4193 and loopback: what Envoy calls internal. */
bool address_is_private(const struct address *a);

/* A range of IP addresses. */
struct cidr {
    struct address base; /* host bits are zero */
    uint8_t prefix_bits;
};

/* false when `ip` is no IP address or the prefix is longer than it. Host bits are cleared. */
bool cidr_init(struct cidr *c, struct slice ip, uint32_t prefix_bits);
/* An IPv4 address mapped into IPv6 compares as IPv4. */
bool cidr_contains(const struct cidr *c, const struct address *a);
/* Whether one of them does; none does for 0 of them. */
bool cidrs_contain(const struct cidr *ranges, size_t count, const struct address *a);

#endif
