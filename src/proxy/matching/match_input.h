/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a matching tree looks at: values of a connection, and of a request on it. Looking changes nothing but
 * the arena that texts are made in.
 */
#ifndef WEIR_PROXY_MATCH_INPUT_H
#define WEIR_PROXY_MATCH_INPUT_H

#include "http/headers.h"
#include "net/address.h"

struct filter_chain_facts;
struct stream;
struct typed_value;

/* Who is asked about: a connection that has no owner yet, or a request. */
struct match_subject {
    const struct filter_chain_facts *connection; /* NULL: a request */
    const struct stream *stream;                 /* the request; NULL: a connection, or nothing is known */
    const struct header_map *headers;            /* of the request */
    struct arena *arena;                         /* for texts that have to be put together */
};

enum match_input_kind {
    MATCH_INPUT_DESTINATION_IP,
    MATCH_INPUT_DESTINATION_PORT,
    MATCH_INPUT_SOURCE_IP,
    MATCH_INPUT_SOURCE_PORT,
    MATCH_INPUT_DIRECT_SOURCE_IP,
    MATCH_INPUT_SOURCE_TYPE,
    MATCH_INPUT_SERVER_NAME,
    MATCH_INPUT_TRANSPORT_PROTOCOL,
    MATCH_INPUT_APPLICATION_PROTOCOL,
    MATCH_INPUT_FILTER_STATE, /* name */
    MATCH_INPUT_METADATA,     /* name: the namespace; path */
    MATCH_INPUT_URI_SAN,
    MATCH_INPUT_DNS_SAN,
    MATCH_INPUT_SUBJECT,
    MATCH_INPUT_HEADER,      /* name, in lower case */
    MATCH_INPUT_QUERY_PARAM, /* name, decoded */
    MATCH_INPUT_CONSTANT,    /* name is the value; ptr NULL: there is none */
};

struct match_input {
    enum match_input_kind kind;
    struct slice name;
    struct slice *path; /* METADATA */
    uint32_t path_count;
};

struct match_value {
    bool unknown;                   /* it cannot be known, which is neither there nor not there */
    struct slice text;              /* ptr NULL: there is none */
    const struct address *ip;       /* what `text` is written from; NULL: a text of its own */
    const struct typed_value *data; /* METADATA, which has no text; NULL: it is not there */
    char own[ADDRESS_TEXT_MAX];     /* where short texts are written */
};

/* A text that the arena has no room for is unknown: a client that sends much must not pass what denies. */
void match_input_get(const struct match_input *input, const struct match_subject *s, struct match_value *out);

#endif
