/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which connections' secrets are written, and the line of each.
 */
#include "net/tls_context_private.h"
#include "telemetry/log.h"

/* Bytes of one line: a label, the client's random and a secret in hex take below 300. */
#define KEY_LOG_LINE_BYTES_MAX 1024u

static bool in_ranges(const struct cidr *ranges, size_t count, const struct address *a)
{
    return count == 0 || cidrs_contain(ranges, count, a);
}

void tls_key_log_line(const SSL *ssl, const char *line)
{
    const struct tls_conn *t = SSL_get_app_data(ssl);
    const struct tls_key_log *log = &t->context->key_log;
    char text[KEY_LOG_LINE_BYTES_MAX];
    size_t len = strlen(line);
    if (!in_ranges(log->local, log->local_count, &t->conn->local) ||
        !in_ranges(log->remote, log->remote_count, &t->conn->remote) || len + 1 > sizeof(text))
        return;
    memcpy(text, line, len);
    text[len++] = '\n';
    log_file_write(log->file, slice_of(text, len));
}
