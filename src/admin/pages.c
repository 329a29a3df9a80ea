/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of pages, and the pages that only list it.
 */
#include "admin/page.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

const struct admin_page admin_pages[] = {
    {"/", false, "Admin home page", page_index},
    {"/certs", false, "print certs on machine", page_certs},
    {"/clusters", false, "upstream cluster status", page_clusters},
    {"/config_dump", false, "dump current configs", page_config_dump},
    {"/drain_listeners", true, "drain listeners: graceful, inboundonly", page_drain_listeners},
    {"/healthcheck/fail", true, "cause the server to fail health checks", page_healthcheck},
    {"/healthcheck/ok", true, "cause the server to pass health checks", page_healthcheck},
    {"/help", false, "print out list of admin commands", page_help},
    {"/hot_restart_version", false, "print the hot restart compatibility version", page_hot_restart_version},
    {"/listeners", false, "print listener info: format=text|json", page_listeners},
    {"/logging", true, "query/change logging levels: level=LEVEL, COMPONENT=LEVEL, paths=COMPONENT:LEVEL,...",
     page_logging},
    {"/memory", false, "print current allocation/heap usage", page_memory},
    {"/plugins", false, "Wasm plugins: state, VMs, memory, calls, traps, time: format=text|json",
     page_plugins},
    {"/plugins/release", true, "let plugins out of quarantine: plugin=NAME", page_plugins_release},
    {"/policy/reload", true, "read the policy file again", page_policy_reload},
    {"/quitquitquit", true, "exit the server", page_quit},
    {"/ready", false, "print server state, return 200 if LIVE, otherwise return 503", page_ready},
    {"/reopen_logs", true, "reopen access logs", page_reopen_logs},
    {"/reset_counters", true, "reset all counters to zero", page_reset_counters},
    {"/server_info", false, "print server version/status information", page_server_info},
    {"/stats", false, "print server stats: filter=REGEX, usedonly, format=text|json|prometheus", page_stats},
    {"/stats/prometheus", false, "print server stats in prometheus format: filter=REGEX, usedonly",
     page_prometheus},
};
const size_t admin_pages_count = WEIR_ARRAY_LEN(admin_pages);

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode(struct slice text, char *dst, size_t size)
{
    size_t n = 0;
    WEIR_ASSERT(size > 0);
    for (size_t i = 0; i < text.len && n + 1 < size; i++) {
        char c = text.ptr[i];
        if (c == '%' && i + 2 < text.len && hex_digit(text.ptr[i + 1]) >= 0 &&
            hex_digit(text.ptr[i + 2]) >= 0) {
            c = (char)(hex_digit(text.ptr[i + 1]) << 4 | hex_digit(text.ptr[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        dst[n++] = c;
    }
    dst[n] = '\0';
}

bool admin_query_next(struct slice *rest, char *name, size_t name_size, char *value, size_t value_size)
{
    struct slice pair;
    do {
        if (!slice_split(rest, '&', &pair))
            return false;
    } while (pair.len == 0);
    ptrdiff_t at = slice_find_char(pair, '=');
    decode(at < 0 ? pair : slice_take(pair, (size_t)at), name, name_size);
    decode(at < 0 ? SLICE_EMPTY : slice_skip(pair, (size_t)at + 1), value, value_size);
    return true;
}

bool admin_query(const struct admin_request *request, const char *name, char *dst, size_t size)
{
    char given[64];
    for (struct slice rest = request->query; admin_query_next(&rest, given, sizeof(given), dst, size);) {
        if (strcmp(given, name) == 0)
            return true;
    }
    dst[0] = '\0';
    return false;
}

bool admin_query_has(const struct admin_request *request, const char *name)
{
    char value[8];
    return admin_query(request, name, value, sizeof(value));
}

void admin_fail(struct admin_response *response, uint16_t status, const char *fmt, ...)
{
    va_list args;
    response->status = status;
    strbuf_reset(&response->body);
    va_start(args, fmt);
    strbuf_vprintf(&response->body, fmt, args);
    va_end(args);
    strbuf_append_char(&response->body, '\n');
}

void admin_append_seconds(struct strbuf *out, uint64_t ns)
{
    strbuf_printf(out, "\"%" PRIu64 "s\"", ns / 1000000000u);
}

void page_help(const struct admin_request *request, struct admin_response *response)
{
    (void)request;
    strbuf_append_str(&response->body, "admin commands are:\n");
    for (size_t i = 0; i < admin_pages_count; i++) {
        const struct admin_page *p = &admin_pages[i];
        strbuf_printf(&response->body, "  %s%s: %s\n", p->path, p->post ? " (POST)" : "", p->help);
    }
}

void page_index(const struct admin_request *request, struct admin_response *response)
{
    struct strbuf *b = &response->body;
    (void)request;
    response->content_type = "text/html; charset=UTF-8";
    strbuf_append_str(
        b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Weir Admin</title>\n"
           "<style>body{font-family:sans-serif;margin:2em}td{padding:.3em 1em .3em 0;vertical-align:top}"
           "button{font:inherit}</style></head>\n<body>\n<h1>Weir Admin</h1>\n<table>\n");
    for (size_t i = 0; i < admin_pages_count; i++) {
        const struct admin_page *p = &admin_pages[i];
        if (p->run == page_index)
            continue;
        if (p->post)
            strbuf_printf(b, "<tr><td><form action=\"%s\" method=\"post\"><button>%s</button></form></td>",
                          p->path, p->path + 1);
        else
            strbuf_printf(b, "<tr><td><a href=\"%s\">%s</a></td>", p->path, p->path + 1);
        strbuf_printf(b, "<td>%s</td></tr>\n", p->help);
    }
    strbuf_append_str(b, "</table>\n</body>\n</html>\n");
}
