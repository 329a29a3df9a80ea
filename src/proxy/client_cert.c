/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of x-forwarded-client-cert. The parts are gathered as slices first, so that the text is written
 * once, in the size it has. Envoy escapes nothing beyond what RFC 2253 does in subjects; neither do we, but a
 * name with bytes that no header may hold is left out.
 */
#include "proxy/client_cert.h"

#include "net/tls_info.h"

#define HEADER SLICE_LIT("x-forwarded-client-cert")

/* Written twice: first only counted, then copied. */
struct writer {
    char *dst; /* NULL: counting */
    size_t len;
};

static void put(struct writer *w, struct slice s)
{
    if (w->dst && s.len)
        memcpy(w->dst + w->len, s.ptr, s.len);
    w->len += s.len;
}

/* key=value, or key="value". */
static void put_part(struct writer *w, struct slice key, struct slice value, bool quoted)
{
    if (!header_value_valid(value))
        return;
    if (w->len)
        put(w, SLICE_LIT(";"));
    put(w, key);
    put(w, quoted ? SLICE_LIT("=\"") : SLICE_LIT("="));
    put(w, value);
    if (quoted)
        put(w, SLICE_LIT("\""));
}

static void put_all(struct writer *w, struct slice key, const struct slice *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_part(w, key, values[i], false);
}

static void write_element(struct writer *w, const struct client_cert_details *d, const struct tls_info *tls)
{
    put_all(w, SLICE_LIT("By"), tls->local.uri_sans, tls->local.uri_sans_count);
    if (tls->peer_sha256.len)
        put_part(w, SLICE_LIT("Hash"), tls->peer_sha256, false);
    if (d->cert && tls->peer_pem.len)
        put_part(w, SLICE_LIT("Cert"), tls->peer_pem, true);
    if (d->chain && tls->peer_chain_pem.len)
        put_part(w, SLICE_LIT("Chain"), tls->peer_chain_pem, true);
    if (d->subject) /* also when it is empty, as the URI */
        put_part(w, SLICE_LIT("Subject"), tls->peer.subject, true);
    if (d->uri && tls->peer.uri_sans_count == 0)
        put_part(w, SLICE_LIT("URI"), SLICE_EMPTY, false);
    if (d->uri)
        put_all(w, SLICE_LIT("URI"), tls->peer.uri_sans, tls->peer.uri_sans_count);
    if (d->dns)
        put_all(w, SLICE_LIT("DNS"), tls->peer.dns_sans, tls->peer.dns_sans_count);
}

struct slice client_cert_element(const struct client_cert_details *details, const struct tls_info *tls,
                                 struct arena *arena)
{
    struct writer w = {NULL, 0};
    write_element(&w, details, tls);
    char *text = arena_alloc_text(arena, w.len);
    if (!text)
        return SLICE_EMPTY;
    w = (struct writer){text, 0};
    write_element(&w, details, tls);
    return slice_of(text, w.len);
}

static void write_joined(struct writer *w, const struct header_map *headers, struct slice element)
{
    const struct header *h = NULL;
    while ((h = header_map_find_next(headers, HEADER, h)) != NULL) {
        if (w->len)
            put(w, SLICE_LIT(","));
        put(w, h->value);
    }
    if (w->len && element.len)
        put(w, SLICE_LIT(","));
    put(w, element);
}

/* Envoy joins all fields of the name into one. Without room for it there must be none: the last element is
 * taken for the nearest client's. */
static void join(struct header_map *headers, struct slice element, struct arena *arena)
{
    struct writer w = {NULL, 0};
    write_joined(&w, headers, element);
    char *text = arena_alloc_text(arena, w.len);
    w = (struct writer){text, 0};
    if (text)
        write_joined(&w, headers, element);
    header_map_remove(headers, HEADER);
    if (text)
        (void)header_map_add(headers, HEADER, slice_of(text, w.len));
}

static void forward(struct header_map *headers, struct arena *arena)
{
    const struct header *first = header_map_find(headers, HEADER);
    if (first && header_map_find_next(headers, HEADER, first))
        join(headers, SLICE_EMPTY, arena);
}

void client_cert_apply(enum client_cert_mode mode, const struct client_cert_details *details,
                       const struct tls_info *tls, struct header_map *headers, struct arena *arena)
{
    if (mode != CLIENT_CERT_ALWAYS_FORWARD_ONLY &&
        (mode == CLIENT_CERT_SANITIZE || !tls || !tls->peer_presented)) {
        header_map_remove(headers, HEADER);
        return;
    }
    if (mode == CLIENT_CERT_ALWAYS_FORWARD_ONLY || mode == CLIENT_CERT_FORWARD_ONLY) {
        forward(headers, arena);
        return;
    }
    struct slice element = client_cert_element(details, tls, arena);
    if (mode == CLIENT_CERT_SANITIZE_SET || !element.ptr)
        header_map_remove(headers, HEADER);
    if (element.ptr)
        join(headers, element, arena);
}
