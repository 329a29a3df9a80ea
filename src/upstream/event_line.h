/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lines of this room's event logs have in common. A line is JSON as Envoy writes the same event, put
 * together on the main thread and written by the log thread.
 */
#ifndef WEIR_UPSTREAM_EVENT_LINE_H
#define WEIR_UPSTREAM_EVENT_LINE_H

#include "base/strbuf.h"

struct host;
struct log_file;

void event_line_begin(struct strbuf *line);
/* "timestamp":"2026-11-21T17:01:33.133Z" of now, without comma. */
void event_line_timestamp(struct strbuf *line);
/* core.v3.Address as a value. */
void event_line_address(struct strbuf *line, const struct host *h);
/* "127.0.0.1:80" as a value. */
void event_line_url(struct strbuf *line, const struct host *h);
/* Writes the line, unless memory was out, and frees it. */
void event_line_end(struct strbuf *line, struct log_file *file);

#endif
