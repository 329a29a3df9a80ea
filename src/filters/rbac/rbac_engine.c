/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told of a verdict, under Envoy's names.
 */
#include "filters/rbac/rbac_engine.h"

#include "net/tls_info.h"
#include "proxy/dynamic_metadata.h"
#include "proxy/stream.h"
#include "telemetry/log.h"

/* Rules of one filter: thousands of policies, of some hundred bytes for each of their rules. */
#define RBAC_BYTES_MAX ((size_t)64 << 20)

/* The action LOG notes whether the access is to be logged; rules that only observe do not. */
static void note_hint(const struct rbac_rules *rules, struct rbac_verdict v, struct stream *s)
{
    const struct typed_member hint = {SLICE_LIT("access_log_hint"),
                                      {.kind = TYPED_BOOL, .boolean = v.policy != NULL}};
    if (rules->action == RBAC_LOG)
        dynamic_metadata_put(&s->info, &s->arena, SLICE_LIT("envoy.common"), &hint, 1);
}

static void add_field(struct rbac_fields *f, struct slice name, struct slice text)
{
    f->items[f->count++] = (struct typed_member){name, {.kind = TYPED_STRING, .bytes = text}};
}

struct rbac_verdict rbac_engine_ask(const struct rbac_engine *e, const struct rbac_side *side, bool shadow,
                                    struct stream *s, const struct header_map *headers,
                                    struct rbac_fields *fields)
{
    struct rbac_verdict v = rbac_rules_ask(side->rules, s, headers);
    const struct slice name = v.policy ? v.policy->name : SLICE_EMPTY;
    if (v.policy)
        stat_inc(v.policy->matched);
    if (shadow) {
        stat_inc(v.allowed ? e->stats.shadow_allowed : e->stats.shadow_denied);
    } else {
        stat_inc(v.allowed ? e->stats.allowed : e->stats.denied);
        note_hint(side->rules, v, s);
    }
    if (name.len)
        add_field(fields, side->policy_key, name);
    add_field(fields, side->result_key, v.allowed ? SLICE_LIT("allowed") : SLICE_LIT("denied"));
    log_write(RBAC, DEBUG, "%s %s, matched policy %.*s", shadow ? "shadow" : "enforced",
              v.allowed ? "allowed" : "denied", SLICE_ARG(name.len ? name : SLICE_LIT("none")));
    return v;
}

struct slice rbac_denied_details(struct rbac_verdict v)
{
    return v.policy ? v.policy->denied_details : SLICE_LIT("rbac_access_denied_matched_policy[none]");
}

static void append_names(struct strbuf *b, const char *what, const struct slice *names, size_t count)
{
    strbuf_append_str(b, what);
    for (size_t i = 0; i < count; i++) {
        strbuf_append_str(b, i ? "," : "");
        strbuf_append(b, names[i]);
    }
}

static void append_address(struct strbuf *b, const char *what, const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    strbuf_append_str(b, what);
    strbuf_append_str(b, a ? address_format(a, text) : "-");
}

void rbac_log_subject(const struct stream *s, const struct header_map *headers)
{
    struct strbuf b;
    if (!log_enabled(LOG_C_RBAC, LOG_DEBUG))
        return;
    strbuf_init(&b, LOG_LINE_MAX);
    struct slice server_name = stream_info_server_name(&s->info);
    append_names(&b, "requestedServerName: ", &server_name, 1);
    append_address(&b, ", sourceIP: ", rbac_connection_address(s));
    append_address(&b, ", directRemoteIP: ", s->info.downstream_direct_remote);
    append_address(&b, ", remoteIP: ", s->info.downstream_remote);
    append_address(&b, ", localAddress: ", s->info.downstream_local);
    if (s->info.tls) {
        const struct tls_certificate_info *peer = &s->info.tls->peer;
        append_names(&b, ", ssl: uriSanPeerCertificate: ", peer->uri_sans, peer->uri_sans_count);
        append_names(&b, ", dnsSanPeerCertificate: ", peer->dns_sans, peer->dns_sans_count);
        append_names(&b, ", subjectPeerCertificate: ", &peer->subject, 1);
    } else {
        strbuf_append_str(&b, ", ssl: none");
    }
    uint32_t cursor = 0;
    const struct header *h;
    while (headers && (h = header_map_next(headers, &cursor)) != NULL)
        strbuf_printf(&b, ", '%.*s': '%.*s'", SLICE_ARG(h->name), SLICE_ARG(h->value));
    log_write(RBAC, DEBUG, "checking %s: %.*s", headers ? "request" : "connection", (int)b.len, b.ptr);
    strbuf_fini(&b);
}

/* --- configuration --- */

void rbac_append_prefix(struct strbuf *name, struct slice prefix)
{
    strbuf_append(name, prefix);
    if (prefix.len && prefix.ptr[prefix.len - 1] != '.')
        strbuf_append_char(name, '.');
}

bool rbac_engine_init(struct rbac_engine *e, struct slice prefix, struct slice rules_prefix,
                      struct slice shadow_prefix)
{
    struct strbuf base;
    strbuf_init(&base, STATS_NAME_MAX);
    rbac_append_prefix(&base, prefix);
    strbuf_append_str(&base, "rbac.");
    size_t len = base.len;
    rbac_append_prefix(&base, rules_prefix);
    e->stats.allowed = stat_counter("%sallowed", strbuf_cstr(&base));
    e->stats.denied = stat_counter("%sdenied", strbuf_cstr(&base));
    base.len = len;
    rbac_append_prefix(&base, shadow_prefix);
    e->stats.shadow_allowed = stat_counter("%sshadow_allowed", strbuf_cstr(&base));
    e->stats.shadow_denied = stat_counter("%sshadow_denied", strbuf_cstr(&base));
    bool ok = !base.failed;
    strbuf_fini(&base);
    arena_init(&e->arena, RBAC_BYTES_MAX, NULL);
    return ok;
}

void rbac_pair_fini(void *pair)
{
    struct rbac_pair *p = pair;
    rbac_rules_fini(p->enforced.rules);
    rbac_rules_fini(p->shadow.rules);
}

void rbac_engine_fini(struct rbac_engine *e)
{
    rbac_pair_fini(&e->own);
    arena_fini(&e->arena);
}
