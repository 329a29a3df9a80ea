/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trivial.c: reads one request header and adds one response header: the smallest plugin that does something.
 * The benchmark measures what a plugin costs with it, so it must never do more.
 */
#include <wsdk.h>

static enum wsdk_action request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    struct wsdk_bytes path;
    (void)count;
    (void)end;
    wsdk_header_get(stream, WSDK_REQUEST_HEADERS, WSDK_STR(":path"), &path);
    return WSDK_CONTINUE;
}

static enum wsdk_action response_headers(struct wsdk_context *stream, size_t count, bool end)
{
    (void)count;
    (void)end;
    wsdk_header_add(stream, WSDK_RESPONSE_HEADERS, WSDK_STR("x-trivial"), WSDK_STR("1"));
    return WSDK_CONTINUE;
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_request_headers, request_headers)                                                                  \
    ON(on_response_headers, response_headers)
WSDK_PLUGIN("trivial", 0, 0, CALLBACKS);
