/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the kernel for the destination that a connection had. A connection that nobody redirected stays as it
 * is.
 */
#include "proxy/listener/original_dst.h"

#include "net/conn.h"
#include "proxy/connection_facts.h"

static enum listener_filter_status look(const void *config, struct listener_look *look)
{
    struct address a;
    (void)config;
    if (conn_original_destination(look->conn, &a)) {
        look->conn->local = a;
        look->facts->local_restored = true;
    }
    return LISTENER_FILTER_CONTINUE;
}

static const struct listener_filter_ops ops = {.name = "original_dst", .look = look};

void original_dst_init(struct listener_filter_config *f)
{
    f->ops = &ops;
}
