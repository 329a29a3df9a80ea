/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health checking's part of a host, and what workers tell the checker.
 */
#include "upstream/health_host.h"

#include "base/refs.h"
#include "net/loop.h"
#include "upstream/health_check.h"
#include "upstream/host.h"

#include <stdlib.h>

struct health_link *health_link_ref(struct health_link *l)
{
    refs_take(&l->refs);
    return l;
}

void health_link_unref(struct health_link **link)
{
    struct health_link *l = *link;
    *link = NULL;
    if (l && refs_drop(&l->refs))
        free(l);
}

bool health_host_configured(const struct endpoint_config *e)
{
    return e->health_address.len > 0 || e->health_port || e->health_hostname.len > 0 || e->health_disabled;
}

struct health_host *health_host_create(const struct endpoint_config *e)
{
    struct slice hostname = e ? e->health_hostname : SLICE_EMPTY;
    struct health_host *hh = calloc(1, sizeof(*hh) + hostname.len + 1);
    if (!hh || !e)
        return hh;
    hh->address = e->health_address;
    hh->port = e->health_port;
    hh->disabled = e->health_disabled;
    if (hostname.len)
        memcpy(hh->hostname, hostname.ptr, hostname.len);
    return hh;
}

void health_host_destroy(struct health_host **host)
{
    struct health_host *hh = *host;
    *host = NULL;
    if (!hh)
        return;
    WEIR_ASSERT(!hh->session);
    health_link_unref(&hh->link);
    free(hh);
}

bool health_host_same(const struct health_host *a, const struct health_host *b)
{
    static const struct health_host nothing;
    a = a ? a : &nothing;
    b = b ? b : &nothing;
    const char *a_name = a == &nothing ? "" : a->hostname, *b_name = b == &nothing ? "" : b->hostname;
    return a->port == b->port && a->disabled == b->disabled && a->address.len == b->address.len &&
           (a->address.len == 0 || address_eq(&a->address, &b->address)) && strcmp(a_name, b_name) == 0;
}

/* --- to the main thread --- */

struct report {
    struct health_link *link;
    struct host *host;
};

static void report_drop(void *arg)
{
    struct report *r = arg;
    health_link_unref(&r->link);
    host_unref(&r->host);
    free(r);
}

static void report_run(void *arg)
{
    struct report *r = arg;
    if (r->link->checker)
        health_checker_report(r->link->checker, r->host);
    report_drop(r);
}

void health_host_failed(struct host *h, uint64_t now_ms)
{
    struct report *r;
    if (!h->checks || !h->checks->link || h->checks->disabled)
        return;
    /* Each answer of a host that is out already says it again. */
    if (host_health_flags(h) & HOST_EXCLUDED_VIA_IMMEDIATE_HC_FAIL)
        return;
    if (!(r = calloc(1, sizeof(*r))))
        return;
    host_change_health(h, HOST_EXCLUDED_VIA_IMMEDIATE_HC_FAIL, 0, now_ms);
    *r = (struct report){health_link_ref(h->checks->link), host_ref(h)};
    if (!loop_post_owned(r->link->loop, report_run, report_drop, r))
        report_drop(r);
}
