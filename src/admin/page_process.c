/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages about the process: state, memory, listeners, clusters, logs, and the actions on them.
 */
#include "admin/page.h"
#include "base/clock.h"
#include "telemetry/log.h"
#include "telemetry/stats.h"
#include "upstream/cluster_manager.h"
#include "weir_version.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *const state_names[] = {"PRE_INITIALIZING", "INITIALIZING", "LIVE", "DRAINING"};

static enum admin_state state_of(const struct admin_request *request)
{
    return request->process->state(request->process->ctx);
}

void page_ready(const struct admin_request *request, struct admin_response *response)
{
    enum admin_state state = state_of(request);
    bool failed = request->process->healthcheck_failed(request->process->ctx);
    strbuf_printf(&response->body, "%s\n", failed && state == ADMIN_LIVE ? "DRAINING" : state_names[state]);
    response->status = state == ADMIN_LIVE && !failed ? 200 : 503;
}

static uint64_t uptime_ns(const struct admin_process *p)
{
    uint64_t now_ns = realtime_ns();
    return now_ns > p->start_realtime_ns ? now_ns - p->start_realtime_ns : 0;
}

void page_hot_restart_version(const struct admin_request *request, struct admin_response *response)
{
    strbuf_append_str(&response->body, request->process->hot_restart_version);
}

void page_server_info(const struct admin_request *request, struct admin_response *response)
{
    const struct admin_process *p = request->process;
    struct strbuf *b = &response->body;
    uint64_t up = uptime_ns(p);
    response->content_type = "application/json";
    strbuf_printf(b,
                  "{\n \"version\": \"weir/%s\",\n \"state\": \"%s\",\n \"hot_restart_version\": \"%s\",\n",
                  WEIR_VERSION, state_names[state_of(request)], p->hot_restart_version);
    strbuf_append_str(b, " \"uptime_current_epoch\": ");
    admin_append_seconds(b, up);
    strbuf_append_str(b, ",\n \"uptime_all_epochs\": ");
    admin_append_seconds(b, up);
    strbuf_printf(b, ",\n \"command_line_options\": {\n  \"concurrency\": %" PRIu32 ",\n  \"argv\": [",
                  p->concurrency);
    for (int i = 0; i < p->argc; i++) {
        strbuf_append_str(b, i ? ", " : "");
        strbuf_append_json(b, slice_str(p->argv[i]));
    }
    strbuf_append_str(b, "]\n }\n}\n");
}

/* Resident pages of /proc/self/statm; 0 where there is no /proc. */
static uint64_t resident_bytes(void)
{
    unsigned long total, resident;
    uint64_t bytes = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%lu %lu", &total, &resident) == 2)
            bytes = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
        fclose(f);
    }
    return bytes;
}

void page_memory(const struct admin_request *request, struct admin_response *response)
{
    struct mallinfo2 m = mallinfo2();
    (void)request;
    response->content_type = "application/json";
    strbuf_printf(&response->body,
                  "{\n \"allocated\": \"%zu\",\n \"heap_size\": \"%zu\",\n \"pageheap_unmapped\": \"0\",\n"
                  " \"pageheap_free\": \"%zu\",\n \"total_thread_cache\": \"0\",\n"
                  " \"total_physical_bytes\": \"%" PRIu64 "\"\n}\n",
                  m.uordblks + m.hblkhd, m.arena + m.hblkhd, m.fordblks, resident_bytes());
}

struct listener_list {
    struct strbuf *out;
    bool json;
    bool any;
    size_t additional; /* addresses of the listener under way, besides its first */
};

static void append_address(struct strbuf *out, const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    if (a->sa.sa_family == AF_UNIX)
        strbuf_printf(out, "{\"pipe\": {\"path\": \"%s\"}}", address_format(a, text));
    else
        strbuf_printf(out, "{\"socket_address\": {\"address\": \"%s\", \"port_value\": %u}}",
                      address_format_ip(a, text), address_port(a));
}

static void end_listener(struct listener_list *list)
{
    if (list->any)
        strbuf_append_str(list->out, list->additional ? "]}" : "}");
    list->additional = 0;
}

static void append_listener(void *arg, const struct admin_listener *l)
{
    struct listener_list *list = arg;
    char text[ADDRESS_TEXT_MAX];
    if (!list->json) {
        strbuf_append(list->out, l->name);
        strbuf_printf(list->out, "::%s\n", address_format(&l->address, text));
        return;
    }
    if (l->additional) {
        strbuf_append_str(list->out, list->additional++ ? ", " : ", \"additional_local_addresses\": [");
    } else {
        end_listener(list);
        strbuf_append_str(list->out, list->any ? ",\n  {\"name\": " : "\n  {\"name\": ");
        strbuf_append_json(list->out, l->name);
        strbuf_append_str(list->out, ", \"local_address\": ");
        list->any = true;
    }
    append_address(list->out, &l->address);
}

/* Which of text and json is asked for; answers with 400 when it is another. */
static bool format_of(const struct admin_request *request, struct admin_response *response, bool *json)
{
    char format[16];
    *json = false;
    if (!admin_query(request, "format", format, sizeof(format)) || strcmp(format, "text") == 0)
        return true;
    *json = strcmp(format, "json") == 0;
    if (*json)
        response->content_type = "application/json";
    else
        admin_fail(response, 400, "unknown format \"%s\": use text or json", format);
    return *json;
}

void page_listeners(const struct admin_request *request, struct admin_response *response)
{
    struct listener_list list = {.out = &response->body};
    if (!format_of(request, response, &list.json))
        return;
    if (list.json)
        strbuf_append_str(&response->body, "{\n \"listener_statuses\": [");
    request->process->each_listener(request->process->ctx, append_listener, &list);
    end_listener(&list);
    if (list.json)
        strbuf_append_str(&response->body, "\n ]\n}\n");
}

static void append_cluster_field(void *arg, struct slice cluster, const char *key, const char *value)
{
    strbuf_append(arg, cluster);
    strbuf_printf(arg, "::%s::%s\n", key, value);
}

void page_clusters(const struct admin_request *request, struct admin_response *response)
{
    bool json;
    if (!format_of(request, response, &json))
        return;
    if (json)
        cluster_manager_json(request->process->clusters, &response->body);
    else
        cluster_manager_dump(request->process->clusters, append_cluster_field, &response->body);
}

/* "wasm:debug,http:info" */
static bool set_paths(char *paths, struct admin_response *response)
{
    struct slice rest = slice_str(paths);
    for (struct slice part; slice_split(&rest, ',', &part);) {
        ptrdiff_t colon = slice_find_char(part, ':');
        enum log_component c;
        enum log_level level;
        if (colon < 0 || !log_component_parse(slice_take(part, (size_t)colon), &c) ||
            !log_level_parse(slice_skip(part, (size_t)colon + 1), &level)) {
            admin_fail(response, 400, "cannot understand \"%.*s\": use paths=COMPONENT:LEVEL,...",
                       SLICE_ARG(part));
            return false;
        }
        log_set_level(c, level);
    }
    return true;
}

static bool set_level(char *name, char *value, struct admin_response *response)
{
    enum log_component c;
    enum log_level level;
    if (strcmp(name, "paths") == 0)
        return set_paths(value, response);
    if (!log_level_parse(slice_str(value), &level)) {
        admin_fail(response, 400,
                   "unknown level \"%s\": use trace, debug, info, warning, error, critical or off", value);
        return false;
    }
    if (strcmp(name, "level") == 0) {
        log_set_all(level);
        return true;
    }
    if (!log_component_parse(slice_str(name), &c)) {
        admin_fail(response, 404, "unknown component \"%s\": POST /logging lists them", name);
        return false;
    }
    log_set_level(c, level);
    return true;
}

void page_logging(const struct admin_request *request, struct admin_response *response)
{
    char name[64];
    char value[512];
    for (struct slice rest = request->query;
         admin_query_next(&rest, name, sizeof(name), value, sizeof(value));) {
        if (!set_level(name, value, response))
            return;
    }
    strbuf_append_str(&response->body, "active loggers:\n");
    for (int c = 0; c < LOG_COMPONENT_COUNT; c++)
        strbuf_printf(&response->body, "  %s: %s\n", log_component_name((enum log_component)c),
                      log_level_name((enum log_level)atomic_load(&log_levels[c])));
}

static void ok(struct admin_response *response)
{
    strbuf_append_str(&response->body, "OK\n");
}

void page_quit(const struct admin_request *request, struct admin_response *response)
{
    ok(response);
    request->process->quit(request->process->ctx);
}

void page_drain_listeners(const struct admin_request *request, struct admin_response *response)
{
    ok(response);
    request->process->drain_listeners(request->process->ctx, admin_query_has(request, "graceful"),
                                      admin_query_has(request, "inboundonly"));
}

void page_healthcheck(const struct admin_request *request, struct admin_response *response)
{
    ok(response);
    request->process->set_healthcheck(request->process->ctx,
                                      slice_ends_with(request->path, SLICE_LIT("/fail")));
}

void page_reset_counters(const struct admin_request *request, struct admin_response *response)
{
    (void)request;
    stats_reset_counters();
    ok(response);
}

void page_reopen_logs(const struct admin_request *request, struct admin_response *response)
{
    (void)request;
    log_reopen();
    ok(response);
}
