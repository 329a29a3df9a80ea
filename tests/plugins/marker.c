/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marker.c: says in "x-marker" which VM saw the answer, by the time at which that was first configured. So a
 * client learns which worker has its connection. Tests only.
 */
#include <wsdk.h>

static uint64_t configured_ns; /* of the VM, whichever of its roots */

static bool configure(struct wsdk_context *root_ctx, size_t size)
{
    (void)size;
    return configured_ns != 0 || wsdk_now_ns(root_ctx, &configured_ns) == WSDK_OK;
}

static enum wsdk_action response_headers(struct wsdk_context *stream, size_t count, bool end)
{
    char text[24];
    size_t len = wsdk_format(text, sizeof(text), "%llu", (unsigned long long)configured_ns);
    (void)count;
    (void)end;
    wsdk_header_add(stream, WSDK_RESPONSE_HEADERS, WSDK_STR("x-marker"), (struct wsdk_bytes){text, len});
    return WSDK_CONTINUE;
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_configure, configure)                                                                              \
    ON(on_response_headers, response_headers)
WSDK_PLUGIN("marker", 0, 0, CALLBACKS);
