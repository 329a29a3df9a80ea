/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded reader of ClientHello messages. It says no to whatever a TLS library would refuse later in these
 * fields, and never reads outside of what it was given.
 */
#include "net/client_hello.h"

#define RECORD_HEADER_BYTES    5u
#define HANDSHAKE_HEADER_BYTES 4u
#define RECORD_BYTES_MAX       16384u
#define HANDSHAKE_RECORD       22
#define CLIENT_HELLO           1
#define EXTENSION_SERVER_NAME  0
#define EXTENSION_ALPN         16
#define HOST_NAME              0
#define HOST_NAME_BYTES_MAX    255u

static uint8_t byte_at(struct slice s, size_t i)
{
    return (uint8_t)s.ptr[i];
}

static uint32_t number(struct slice s, size_t at, size_t bytes)
{
    uint32_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | byte_at(s, at + i);
    return n;
}

static bool take(struct slice *from, size_t len, struct slice *part)
{
    if (from->len < len)
        return false;
    *part = slice_take(*from, len);
    *from = slice_skip(*from, len);
    return true;
}

/* A vector whose length stands in front of it in `bytes` bytes. */
static bool take_vector(struct slice *from, size_t bytes, struct slice *part)
{
    struct slice head;
    return take(from, bytes, &head) && take(from, number(head, 0, bytes), part);
}

/* --- records --- */

/* Whether a record's header is that of a handshake, as far as it is there. */
static bool record_plausible(struct slice record)
{
    if (byte_at(record, 0) != HANDSHAKE_RECORD || (record.len > 1 && byte_at(record, 1) != 3))
        return false;
    if (record.len < RECORD_HEADER_BYTES)
        return true;
    uint32_t len = number(record, 3, 2);
    return len > 0 && len <= RECORD_BYTES_MAX;
}

/* The handshake bytes that are there: how many, and copied when `to` is not NULL. */
static enum client_hello_result walk_records(struct slice bytes, size_t wanted, char *to, size_t *got)
{
    *got = 0;
    while (*got < wanted && bytes.len > 0) {
        struct slice head, body;
        if (!record_plausible(bytes))
            return CLIENT_HELLO_NONE;
        if (!take(&bytes, RECORD_HEADER_BYTES, &head))
            return CLIENT_HELLO_MORE;
        size_t len = number(head, 3, 2);
        body = slice_take(bytes, len < wanted - *got ? len : wanted - *got);
        if (to && body.len)
            memcpy(to + *got, body.ptr, body.len);
        *got += body.len;
        bytes = slice_skip(bytes, len);
    }
    return *got < wanted ? CLIENT_HELLO_MORE : CLIENT_HELLO_OK;
}

/* The message without its header, in one piece. */
static enum client_hello_result find_message(struct slice bytes, size_t bytes_max, struct arena *arena,
                                             struct slice *message)
{
    char head[HANDSHAKE_HEADER_BYTES];
    size_t got;
    enum client_hello_result r = walk_records(bytes, sizeof(head), head, &got);
    if (got > 0 && head[0] != CLIENT_HELLO)
        return CLIENT_HELLO_NONE;
    if (r != CLIENT_HELLO_OK)
        return r;
    size_t len = HANDSHAKE_HEADER_BYTES + number(slice_of(head, sizeof(head)), 1, 3);
    if (len + RECORD_HEADER_BYTES > bytes_max)
        return CLIENT_HELLO_TOO_LARGE;
    r = walk_records(bytes, len, NULL, &got);
    if (r != CLIENT_HELLO_OK)
        return r;
    if (number(bytes, 3, 2) >= len) { /* one record holds it */
        *message = slice_take(slice_skip(bytes, RECORD_HEADER_BYTES), len);
    } else {
        char *own = arena_alloc_text(arena, len);
        if (!own)
            return CLIENT_HELLO_MALFORMED;
        (void)walk_records(bytes, len, own, &got);
        *message = slice_of(own, len);
    }
    *message = slice_skip(*message, HANDSHAKE_HEADER_BYTES);
    return CLIENT_HELLO_OK;
}

/* --- the message --- */

bool client_hello_extension(struct slice *rest, uint16_t *type, struct slice *body)
{
    struct slice head;
    if (!take(rest, 2, &head) || !take_vector(rest, 2, body))
        return false;
    *type = (uint16_t)number(head, 0, 2);
    return true;
}

bool client_hello_alpn(struct slice *rest, struct slice *name)
{
    return rest->len > 0 && take_vector(rest, 1, name);
}

static bool read_server_name(struct slice body, struct client_hello *out)
{
    struct slice list, kind, name;
    if (!take_vector(&body, 2, &list) || body.len > 0 || !take(&list, 1, &kind) ||
        !take_vector(&list, 2, &name) || list.len > 0)
        return false;
    if (byte_at(kind, 0) != HOST_NAME || name.len == 0 || name.len > HOST_NAME_BYTES_MAX ||
        slice_find_char(name, '\0') >= 0)
        return false;
    out->server_name = name;
    return true;
}

static bool read_alpn(struct slice body, struct client_hello *out)
{
    struct slice list, rest, name;
    if (!take_vector(&body, 2, &list) || body.len > 0 || list.len == 0)
        return false;
    rest = list;
    while (rest.len > 0) {
        if (!client_hello_alpn(&rest, &name) || name.len == 0)
            return false;
    }
    out->alpn = list;
    return true;
}

static bool read_extensions(struct slice list, struct client_hello *out)
{
    out->extensions = list;
    while (list.len > 0) {
        uint16_t type;
        struct slice body;
        if (!client_hello_extension(&list, &type, &body))
            return false;
        bool again = (type == EXTENSION_SERVER_NAME && out->server_name.len) ||
                     (type == EXTENSION_ALPN && out->alpn.len);
        if (again || (type == EXTENSION_SERVER_NAME && !read_server_name(body, out)) ||
            (type == EXTENSION_ALPN && !read_alpn(body, out)))
            return false;
    }
    return true;
}

static bool read_message(struct slice m, struct client_hello *out)
{
    struct slice version, random, session, compression, extensions;
    if (!take(&m, 2, &version) || !take(&m, 32, &random) || !take_vector(&m, 1, &session) ||
        session.len > 32 || !take_vector(&m, 2, &out->ciphers) || out->ciphers.len < 2 ||
        out->ciphers.len % 2 != 0 || !take_vector(&m, 1, &compression) || compression.len == 0)
        return false;
    out->version = (uint16_t)number(version, 0, 2);
    if (m.len == 0)
        return true;
    out->has_extensions = true;
    return take_vector(&m, 2, &extensions) && m.len == 0 && read_extensions(extensions, out);
}

enum client_hello_result client_hello_parse(struct slice bytes, size_t bytes_max, struct arena *arena,
                                            struct client_hello *out)
{
    struct slice message;
    enum client_hello_result r = find_message(bytes, bytes_max, arena, &message);
    if (r == CLIENT_HELLO_MORE && bytes.len >= bytes_max)
        return CLIENT_HELLO_TOO_LARGE;
    if (r != CLIENT_HELLO_OK)
        return r;
    *out = (struct client_hello){0};
    return read_message(message, out) ? CLIENT_HELLO_OK : CLIENT_HELLO_MALFORMED;
}
