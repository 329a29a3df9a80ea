/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting for outlier detection on the workers. A limit that is reached is posted to the main thread; what
 * comes after it counts on, and the main thread sets the count back.
 */
#include "upstream/outlier.h"

#include "base/refs.h"
#include "net/loop.h"
#include "upstream/outlier_detector.h"

#include <stdlib.h>

struct outlier_link *outlier_link_ref(struct outlier_link *l)
{
    refs_take(&l->refs);
    return l;
}

void outlier_link_unref(struct outlier_link **link)
{
    struct outlier_link *l = *link;
    *link = NULL;
    if (l && refs_drop(&l->refs))
        free(l);
}

void outlier_host_destroy(struct outlier_host **outlier)
{
    struct outlier_host *o = *outlier;
    *outlier = NULL;
    if (o)
        outlier_link_unref(&o->link);
    free(o);
}

/* --- to the main thread --- */

struct suspect {
    struct outlier_link *link;
    struct host *host;
    enum outlier_kind kind;
};

static void suspect_drop(void *arg)
{
    struct suspect *s = arg;
    outlier_link_unref(&s->link);
    host_unref(&s->host);
    free(s);
}

static void suspect_run(void *arg)
{
    struct suspect *s = arg;
    if (s->link->detector)
        outlier_detector_suspect(s->link->detector, s->host, s->kind);
    suspect_drop(s);
}

static void suspect_tell(struct host *h, enum outlier_kind kind)
{
    struct suspect *s = calloc(1, sizeof(*s));
    if (!s)
        return;
    *s = (struct suspect){outlier_link_ref(h->outlier->link), host_ref(h), kind};
    if (!loop_post_owned(s->link->loop, suspect_run, suspect_drop, s))
        suspect_drop(s);
}

/* --- counting --- */

static void add_one(_Atomic uint64_t *counter)
{
    host_count(counter, 1);
}

static void set_back(_Atomic uint32_t *consecutive)
{
    /* Hosts that never fail are not written to. */
    if (atomic_load_explicit(consecutive, memory_order_relaxed) != 0)
        atomic_store_explicit(consecutive, 0, memory_order_relaxed);
}

static void one_more(struct host *h, _Atomic uint32_t *consecutive, uint32_t limit, enum outlier_kind kind)
{
    if (atomic_fetch_add_explicit(consecutive, 1, memory_order_relaxed) + 1 == limit)
        suspect_tell(h, kind);
}

static bool is_gateway_error(unsigned status)
{
    return status >= 502 && status <= 504;
}

void outlier_count_status(struct host *h, uint32_t worker, unsigned status)
{
    struct outlier_host *o = h->outlier;
    WEIR_ASSERT(worker < o->shards_count);
    struct outlier_shard *shard = &o->shards[worker];
    add_one(&shard->total[OUTLIER_EXTERNAL]);
    if (status < 500 || status >= 600) {
        add_one(&shard->success[OUTLIER_EXTERNAL]);
        set_back(&o->consecutive_5xx);
        set_back(&o->consecutive_gateway);
        return;
    }
    if (is_gateway_error(status))
        one_more(h, &o->consecutive_gateway, o->limit_gateway, OUTLIER_CONSECUTIVE_GATEWAY_FAILURE);
    else
        set_back(&o->consecutive_gateway);
    one_more(h, &o->consecutive_5xx, o->limit_5xx, OUTLIER_CONSECUTIVE_5XX);
}

static void count_local(struct host *h, uint32_t worker, bool success)
{
    struct outlier_host *o = h->outlier;
    struct outlier_shard *shard = &o->shards[worker];
    add_one(&shard->total[OUTLIER_LOCAL]);
    if (success) {
        add_one(&shard->success[OUTLIER_LOCAL]);
        set_back(&o->consecutive_local);
    } else {
        one_more(h, &o->consecutive_local, o->limit_local, OUTLIER_CONSECUTIVE_LOCAL_ORIGIN_FAILURE);
    }
}

void outlier_count_event(struct host *h, uint32_t worker, enum outlier_event event)
{
    /* What stands for an HTTP answer when local errors are not told apart; 0: nothing, the answer follows. */
    static const unsigned status[] = {
        [OUTLIER_CONNECTED] = 0,
        [OUTLIER_CONNECTED_FINAL] = 200,
        [OUTLIER_CONNECT_FAILED] = 503,
        [OUTLIER_TIMED_OUT] = 504,
    };
    WEIR_ASSERT(worker < h->outlier->shards_count);
    if (h->outlier->split_local)
        count_local(h, worker, event == OUTLIER_CONNECTED || event == OUTLIER_CONNECTED_FINAL);
    else if (status[event])
        outlier_count_status(h, worker, status[event]);
}
