/* SPDX-License-Identifier: Apache-2.0 */
/*
 * callout.c: holds each request until a call to the cluster "up" is answered; anything but 200 is 403. What
 * bench/ measures, and the shortest example of a decision by callout.
 */
#include <wsdk.h>

static void decided(struct wsdk_context *stream, const struct wsdk_http_answer *answer, void *data)
{
    const struct wsdk_reply refuse = {.status = 403, .details = WSDK_STR("callout_refused")};
    (void)data;
    if (answer->status == 200)
        wsdk_continue(stream, WSDK_HTTP_REQUEST);
    else
        wsdk_reply_send(stream, &refuse);
}

static enum wsdk_action on_request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    static const struct wsdk_header headers[] = {
        {{":method", 7}, {"GET", 3}}, {{":path", 5}, {"/", 1}}, {{":authority", 10}, {"auth", 4}}};
    const struct wsdk_http_request request = {
        .upstream = WSDK_STR("up"), .headers = headers, .header_count = 3, .timeout_ms = 1000};
    (void)count;
    (void)end;
    if (wsdk_http_call_then(stream, &request, decided, NULL) == WSDK_OK)
        return WSDK_PAUSE;
    const struct wsdk_reply unavailable = {.status = 503, .details = WSDK_STR("callout_impossible")};
    wsdk_reply_send(stream, &unavailable);
    return WSDK_PAUSE;
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_request_headers, on_request_headers)                                                               \
    ON(on_http_call_response, wsdk_on_http_call_response)
WSDK_PLUGIN("callout", 0, 0, CALLBACKS);
