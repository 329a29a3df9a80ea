/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata of what took part in a stream, for access logs.
 */
#include "proxy/logging/log_metadata.h"

#include "proxy/downstream.h"
#include "proxy/dynamic_metadata.h"
#include "proxy/listener/listener_config.h"
#include "proxy/routing/route_config.h"
#include "upstream/host.h"
#include "upstream/worker_cluster.h"

static const struct typed_value *cluster_metadata(const struct stream *s)
{
    struct slice name = s->info.cluster_name;
    const struct worker_cluster *wc =
        name.len ? worker_cluster_find(s->worker, name, slice_hash(name)) : NULL;
    return wc ? wc->cluster->config->metadata : NULL;
}

static const struct typed_value *metadata_of(const struct stream *s, enum log_metadata_kind kind)
{
    switch (kind) {
    case LOG_METADATA_CLUSTER:
        return cluster_metadata(s);
    case LOG_METADATA_ROUTE:
        return s->route ? s->route->metadata : NULL;
    case LOG_METADATA_UPSTREAM_HOST:
        return s->info.upstream_host ? s->info.upstream_host->shown->metadata : NULL;
    case LOG_METADATA_LISTENER:
        return s->downstream ? s->downstream->listener->config->metadata : NULL;
    case LOG_METADATA_VIRTUAL_HOST:
        return s->virtual_host ? s->virtual_host->metadata : NULL;
    case LOG_METADATA_DYNAMIC:
        return dynamic_metadata(&s->info);
    case LOG_METADATA_KIND_COUNT:
        break;
    }
    return NULL;
}

bool log_metadata_parse(enum log_metadata_kind kind, struct slice path, struct log_operator *out)
{
    out->kind = kind;
    out->main = path.len ? slice_strdup(path) : NULL;
    return out->main != NULL;
}

bool log_metadata_parse_typed(struct slice arguments, struct log_operator *out)
{
    static const char *const names[] = {
#define KIND_X(name) #name,
        LOG_METADATA_KINDS(KIND_X)
#undef KIND_X
    };
    struct slice rest = arguments, kind;
    if (!slice_split(&rest, ':', &kind) || !rest.ptr)
        return false;
    for (unsigned i = 0; i < LOG_METADATA_KIND_COUNT; i++) {
        if (slice_eq(kind, slice_str(names[i])))
            return log_metadata_parse((enum log_metadata_kind)i, rest, out);
    }
    return false;
}

static bool as_text(const struct log_operator *op, const struct typed_value *v, struct strbuf *out)
{
    size_t start = out->len;
    bool ok =
        v->kind == TYPED_STRING ? v->bytes.len > 0 && strbuf_append(out, v->bytes) : typed_value_json(v, out);
    if (ok && op->length_max && out->len - start > op->length_max) {
        out->len = start + op->length_max;
        out->ptr[out->len] = '\0';
    }
    return ok;
}

/* A cut value is text. */
static bool as_json(const struct log_operator *op, const struct typed_value *v, struct strbuf *out)
{
    if (!op->length_max)
        return typed_value_json(v, out);
    struct strbuf text;
    strbuf_init(&text, out->max_bytes);
    bool ok = as_text(op, v, &text) && strbuf_append_json(out, strbuf_slice(&text));
    strbuf_fini(&text);
    return ok;
}

bool log_metadata_run(const struct log_operator *op, const struct log_input *in, struct strbuf *out)
{
    const struct typed_value *v = metadata_of(in->stream, (enum log_metadata_kind)op->kind);
    struct slice rest = slice_str(op->main), step;
    if (v && op->kind != LOG_METADATA_DYNAMIC)
        v = typed_value_member(v, SLICE_LIT("filter_metadata"));
    while (v && slice_split(&rest, ':', &step))
        v = v->kind == TYPED_MAP ? typed_value_member(v, step) : NULL;
    if (!v || v->kind == TYPED_NULL)
        return false;
    return in->json ? as_json(op, v, out) : as_text(op, v, out);
}
