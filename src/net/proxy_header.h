/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol's header, versions 1 and 2: what a proxy in front says of the client. No I/O. Who sends
 * it must be trusted; the bytes are checked all the same.
 */
#ifndef WEIR_NET_PROXY_HEADER_H
#define WEIR_NET_PROXY_HEADER_H

#include "net/address.h"

/* A version 2 header with the longest length it can say. */
#define PROXY_HEADER_BYTES_MAX (16u + 65535u)
/* A version 1 line with its end. */
#define PROXY_HEADER_V1_BYTES_MAX 108u

enum proxy_version { PROXY_VERSION_NONE, PROXY_VERSION_1, PROXY_VERSION_2 };

enum proxy_header_result {
    PROXY_HEADER_OK,
    PROXY_HEADER_MORE, /* so far it is one */
    PROXY_HEADER_NONE, /* the bytes begin no header */
    PROXY_HEADER_BAD,  /* they do, and it is not valid */
};

struct proxy_header {
    enum proxy_version version; /* known with BAD too; NONE with MORE: either */
    bool local;                 /* UNKNOWN, LOCAL: the addresses are those of the socket */
    struct address remote;
    struct address destination;
    struct slice tlvs; /* of version 2, as they came; none of a local connection */
    size_t bytes;      /* of the header */
};

enum proxy_header_result proxy_header_parse(struct slice bytes, struct proxy_header *out);
/* A line; UNKNOWN where an address is no IP address. Returns its length. */
size_t proxy_header_v1(const struct address *from, const struct address *to,
                       char out[PROXY_HEADER_V1_BYTES_MAX]);
/* Whether a header can say them: both are IP addresses. */
bool proxy_header_says(const struct address *from, const struct address *to);
/* Bytes of TLVs that fit into a header with these addresses, which it can say. */
size_t proxy_header_v2_room(const struct address *from, const struct address *to);
/* What goes before the TLVs, and counts them. LOCAL where it cannot say the addresses: without TLVs. Returns
 * its length. */
#define PROXY_HEADER_V2_HEAD_MAX 52u
size_t proxy_header_v2(const struct address *from, const struct address *to, struct slice tlvs,
                       char out[PROXY_HEADER_V2_HEAD_MAX]);
/* The next TLV; false at the end, or where it is malformed (rest->len > 0). */
bool proxy_header_tlv(struct slice *rest, uint8_t *type, struct slice *value);

#endif
