/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of event log lines: times, hosts, and how a line is begun and ended. Never waits for a disk.
 */
#include "upstream/event_line.h"

#include "base/clock.h"
#include "telemetry/log.h"
#include "upstream/host.h"

#include <time.h>

/* A cluster's name and a few hundred bytes around it. */
#define EVENT_LINE_BYTES_MAX (64u << 10)

void event_line_begin(struct strbuf *line)
{
    strbuf_init(line, EVENT_LINE_BYTES_MAX);
}

void event_line_timestamp(struct strbuf *line)
{
    uint64_t now = realtime_ns();
    time_t seconds = (time_t)(now / 1000000000u);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    strbuf_printf(line, "\"timestamp\":\"%s.%03uZ\"", text, (unsigned)(now / 1000000 % 1000));
}

void event_line_address(struct strbuf *line, const struct host *h)
{
    char ip[ADDRESS_TEXT_MAX];
    if (h->address.sa.sa_family == AF_UNIX) {
        strbuf_append_str(line, "{\"pipe\":{\"path\":");
        strbuf_append_json(line, slice_str(h->address.un.sun_path));
        strbuf_append_str(line, ",\"mode\":0}}");
        return;
    }
    address_format_ip(&h->address, ip);
    strbuf_printf(line,
                  "{\"socket_address\":{\"protocol\":\"TCP\",\"address\":\"%s\",\"port_value\":%u,"
                  "\"resolver_name\":\"\",\"ipv4_compat\":false,\"network_namespace_filepath\":\"\"}}",
                  ip, address_port(&h->address));
}

void event_line_url(struct strbuf *line, const struct host *h)
{
    char text[ADDRESS_TEXT_MAX];
    strbuf_append_json(line, slice_str(address_format(&h->address, text)));
}

void event_line_end(struct strbuf *line, struct log_file *file)
{
    strbuf_append_char(line, '\n');
    if (!line->failed)
        log_file_write(file, strbuf_slice(line));
    strbuf_fini(line);
}
