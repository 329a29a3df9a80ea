/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of the admin interface: a function from a request to a text. One row of pages.c's table each.
 */
#ifndef WEIR_ADMIN_PAGE_H
#define WEIR_ADMIN_PAGE_H

#include "admin/admin.h"

#define ADMIN_RESPONSE_BYTES_MAX (256u << 20) /* a /config_dump of a very large fleet */

struct admin_request {
    const struct admin_process *process;
    struct slice path;  /* without query */
    struct slice query; /* without '?', not decoded */
    bool post;
};

struct admin_response {
    uint16_t status;          /* 200 to begin with */
    const char *content_type; /* text/plain; charset=UTF-8 to begin with */
    struct strbuf body;
};

typedef void (*admin_page_fn)(const struct admin_request *request, struct admin_response *response);

struct admin_page {
    const char *path;
    bool post; /* changes something: GET is answered with 405 */
    const char *help;
    admin_page_fn run;
};

extern const struct admin_page admin_pages[];
extern const size_t admin_pages_count;

/* The value of a query parameter, percent-decoded into dst (cut to fit). false: not there. A parameter
 * without '=' has the empty value. */
bool admin_query(const struct admin_request *request, const char *name, char *dst, size_t size);
bool admin_query_has(const struct admin_request *request, const char *name);
/* Steps through the parameters, decoded; *rest starts as request->query. */
bool admin_query_next(struct slice *rest, char *name, size_t name_size, char *value, size_t value_size);
void admin_fail(struct admin_response *response, uint16_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* NULL-safe duration text of Envoy's JSON: "12s". */
void admin_append_seconds(struct strbuf *out, uint64_t ns);

void page_index(const struct admin_request *request, struct admin_response *response);
void page_hot_restart_version(const struct admin_request *request, struct admin_response *response);
void page_help(const struct admin_request *request, struct admin_response *response);
void page_ready(const struct admin_request *request, struct admin_response *response);
void page_server_info(const struct admin_request *request, struct admin_response *response);
void page_memory(const struct admin_request *request, struct admin_response *response);
void page_listeners(const struct admin_request *request, struct admin_response *response);
void page_certs(const struct admin_request *request, struct admin_response *response);
void page_clusters(const struct admin_request *request, struct admin_response *response);
void page_config_dump(const struct admin_request *request, struct admin_response *response);
void page_stats(const struct admin_request *request, struct admin_response *response);
void page_prometheus(const struct admin_request *request, struct admin_response *response);
void page_plugins(const struct admin_request *request, struct admin_response *response);
void page_plugins_release(const struct admin_request *request, struct admin_response *response);
void page_policy_reload(const struct admin_request *request, struct admin_response *response);
void page_logging(const struct admin_request *request, struct admin_response *response);
void page_quit(const struct admin_request *request, struct admin_response *response);
void page_drain_listeners(const struct admin_request *request, struct admin_response *response);
void page_healthcheck(const struct admin_request *request, struct admin_response *response);
void page_reset_counters(const struct admin_request *request, struct admin_response *response);
void page_reopen_logs(const struct admin_request *request, struct admin_response *response);

#endif
