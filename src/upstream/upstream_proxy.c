/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY header of an upstream connection: added TLVs first, then those of the client's own header that
 * may pass and are of another type. What does not fit into the header is left out and counted, as in Envoy.
 */
#include "upstream/upstream_proxy.h"

#include "base/refs.h"
#include "net/proxy_header.h"

#include <stdlib.h>

#define TYPE_BIT(set, type) ((set)[(type) >> 3] >> ((type)&7) & 1)

struct upstream_proxy *upstream_proxy_create(struct slice added)
{
    struct upstream_proxy *p = calloc(1, sizeof(*p) + added.len);
    if (!p)
        return NULL;
    char *text = (char *)(p + 1);
    if (added.len)
        memcpy(text, added.ptr, added.len);
    atomic_init(&p->refs, 1);
    p->added = slice_of(text, added.len);
    return p;
}

static struct upstream_proxy *own(const struct upstream_proxy *p)
{
    return (struct upstream_proxy *)(uintptr_t)p;
}

const struct upstream_proxy *upstream_proxy_ref(const struct upstream_proxy *p)
{
    refs_take(&own(p)->refs);
    return p;
}

void upstream_proxy_unref(const struct upstream_proxy **proxy)
{
    struct upstream_proxy *p = own(*proxy);
    *proxy = NULL;
    if (p && refs_drop(&p->refs))
        free(p);
}

struct tlvs {
    const struct upstream_proxy *proxy;
    uint8_t added[32]; /* types that the configuration adds */
    size_t room;
    char *at;
    bool exceeded;
};

static void put_all(struct tlvs *t, struct slice tlvs, bool of_client)
{
    const struct upstream_proxy *p = t->proxy;
    uint8_t type;
    struct slice value, before = tlvs;
    for (; proxy_header_tlv(&tlvs, &type, &value); before = tlvs) {
        size_t len = before.len - tlvs.len;
        if (of_client && (TYPE_BIT(t->added, type) || (!p->pass_all && !TYPE_BIT(p->pass, type))))
            continue;
        if (!of_client)
            t->added[type >> 3] |= (uint8_t)(1u << (type & 7));
        if (len > t->room) {
            t->exceeded = true;
            continue;
        }
        memcpy(t->at, before.ptr, len);
        t->at += len;
        t->room -= len;
    }
}

/* The TLVs go behind the room for the longest head, which is then written right before them. */
static bool version_2(struct conn_preface *preface, const struct upstream_proxy *p,
                      const struct upstream_origin *origin)
{
    char head[PROXY_HEADER_V2_HEAD_MAX];
    bool says = origin && proxy_header_says(&origin->from, &origin->to);
    char *start = preface->bytes + PROXY_HEADER_V2_HEAD_MAX;
    struct tlvs t = {.proxy = p, .at = start};
    if (says) {
        t.room = proxy_header_v2_room(&origin->from, &origin->to);
        put_all(&t, p->added, false);
        put_all(&t, origin->tlvs, true);
    }
    size_t len = (size_t)(t.at - start);
    size_t n =
        proxy_header_v2(says ? &origin->from : NULL, says ? &origin->to : NULL, slice_of(start, len), head);
    memcpy(preface->bytes, head, n);
    memmove(preface->bytes + n, start, len);
    preface->len = (uint32_t)(n + len);
    return t.exceeded;
}

bool upstream_proxy_start(struct conn *conn, const struct upstream_proxy *p,
                          const struct upstream_origin *origin)
{
    bool first = p->version == PROXY_VERSION_1;
    size_t most = PROXY_HEADER_V1_BYTES_MAX;
    if (!first)
        most = PROXY_HEADER_V2_HEAD_MAX + p->added.len + (origin ? origin->tlvs.len : 0);
    struct conn_preface *preface = malloc(sizeof(*preface) + most);
    if (!preface)
        return false;
    *preface = (struct conn_preface){.own_line = first && !origin};
    if (!first && version_2(preface, p, origin))
        stat_inc(p->exceeded);
    else if (first && origin)
        preface->len = (uint32_t)proxy_header_v1(&origin->from, &origin->to, preface->bytes);
    conn->preface = preface;
    return true;
}
