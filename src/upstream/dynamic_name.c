/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading names that strangers write: letters become small, ports lose their zeros, and what no DNS server
 * could know is no name.
 */
#include "upstream/dynamic_name.h"

#include "base/refs.h"
#include "http/url.h"

#include <stdio.h>
#include <stdlib.h>

#define LABEL_BYTES_MAX 63u

/* As c-ares takes them. */
static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*';
}

/* Labels have 1 to 63 bytes; a dot may end the last one. */
static bool is_name(struct slice host)
{
    size_t label = 0;
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!is_host_byte(host.ptr[i]) || ++label > LABEL_BYTES_MAX) {
            return false;
        }
    }
    return host.len > 0;
}

static bool bracketed(struct slice host)
{
    return host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
}

struct slice dynamic_key_host(const struct dynamic_key *k)
{
    struct slice host = slice_of(k->text, k->host_len);
    return bracketed(host) ? slice_of(host.ptr + 1, host.len - 2) : host;
}

bool dynamic_key_address(const struct dynamic_key *k, struct address *out)
{
    return address_parse_ip(dynamic_key_host(k), k->port, out) &&
           (out->sa.sa_family == AF_INET6) == (k->text[0] == '[');
}

bool dynamic_key_parse(struct slice authority, uint16_t port_unset, struct dynamic_key *out)
{
    struct slice host, port;
    struct address ip;
    uint64_t number = port_unset;
    url_split_host(authority, &host, &port);
    if (port.ptr && (!slice_parse_u64(port, &number) || number == 0 || number > UINT16_MAX))
        return false;
    if (host.len > DYNAMIC_HOST_BYTES_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++)
        out->text[i] = host.ptr[i] >= 'A' && host.ptr[i] <= 'Z' ? (char)(host.ptr[i] | 0x20) : host.ptr[i];
    out->host_len = (uint16_t)host.len;
    out->port = (uint16_t)number;
    out->len = (uint16_t)(host.len + (size_t)snprintf(out->text + host.len, sizeof(out->text) - host.len,
                                                      ":%u", (unsigned)out->port));
    host = slice_of(out->text, out->host_len);
    return bracketed(host) ? dynamic_key_address(out, &ip) : is_name(host);
}

struct dynamic_name *dynamic_name_create(const struct dynamic_key *key, uint64_t now_ms)
{
    struct dynamic_name *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    atomic_init(&n->refs, 1);
    atomic_init(&n->used_ms, now_ms);
    n->key = *key;
    return n;
}

struct dynamic_name *dynamic_name_ref(struct dynamic_name *n)
{
    refs_take(&n->refs);
    return n;
}

void dynamic_name_unref(struct dynamic_name **name)
{
    struct dynamic_name *n = *name;
    *name = NULL;
    if (n && refs_drop(&n->refs))
        free(n);
}
