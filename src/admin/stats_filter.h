/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter= and usedonly of the statistics pages.
 */
#ifndef WEIR_ADMIN_STATS_FILTER_H
#define WEIR_ADMIN_STATS_FILTER_H

#include "admin/page.h"
#include "proxy/routing/regex.h"
#include "telemetry/stats.h"

struct stats_filter {
    struct regex *regex; /* NULL: all */
    bool used_only;
};

/* false: the answer is written (400, bad expression). */
bool stats_filter_init(struct stats_filter *f, const struct admin_request *request,
                       struct admin_response *response);
void stats_filter_fini(struct stats_filter *f);
bool stats_filter_pass(const struct stats_filter *f, const struct stat_view *view);
/* The Prometheus page, and only that one, leaves out the prefix of plugins' own metrics, as in Envoy. */
struct slice stats_shown_name(struct slice name);
bool stats_is_custom(struct slice name);

#endif
