/* SPDX-License-Identifier: Apache-2.0 */
/*
 * basic_auth.c: HTTP Basic authentication (RFC 7617) by rules on path, method and host. A request passes when
 * each rule that covers it accepts its credentials. In doubt it must refuse.
 */
#include "rule.h"

/* Longer credentials than any client sends; bounds the work for one header. */
#define TOKEN_BYTES_MAX 8192u

struct root {
    struct rule_set set;
};

static bool configure(struct wsdk_context *ctx, size_t bytes)
{
    struct root *root = wsdk_state(ctx);
    struct wsdk_bytes text;
    if (wsdk_configuration(ctx, bytes, &text) != WSDK_OK || text.len == 0) {
        wsdk_log(ctx, WSDK_ERROR,
                 "basic-auth: there is no configuration; it needs at least {\"basic_auth_rules\": [...]}");
        return false;
    }
    if (!rule_set_read(ctx, text, &root->set))
        return false;
    if (root->set.count == 0)
        wsdk_log(ctx, WSDK_WARN, "basic-auth: there are no basic_auth_rules: every request is let through");
    return true;
}

static struct wsdk_bytes request_header(struct wsdk_context *stream, struct wsdk_bytes name)
{
    struct wsdk_bytes value;
    return wsdk_header_get(stream, WSDK_REQUEST_HEADERS, name, &value) == WSDK_OK ? value : WSDK_NONE;
}

static enum wsdk_action refuse(struct wsdk_context *stream, struct wsdk_bytes details)
{
    const struct root *root = wsdk_root_state(stream);
    const struct wsdk_header challenge = {WSDK_STR("www-authenticate"), root->set.challenge};
    const struct wsdk_reply reply = {.status = 401,
                                     .details = details,
                                     .body = WSDK_STR("Unauthorized\n"),
                                     .headers = &challenge,
                                     .header_count = 1};
    if (wsdk_reply_send(stream, &reply) != WSDK_OK)
        wsdk_log(stream, WSDK_ERROR, "basic-auth: the host did not take the 401; the request stays stopped");
    return WSDK_PAUSE;
}

/* "Basic <base64>" to "user:password" in memory of this callback. */
static bool decode_header(struct wsdk_context *stream, struct wsdk_bytes header,
                          struct wsdk_bytes *credentials)
{
    struct wsdk_bytes scheme = WSDK_STR("basic ");
    if (!wsdk_starts_with_nocase(header, scheme) || header.len > TOKEN_BYTES_MAX)
        return false;
    struct wsdk_bytes token =
        wsdk_trim((struct wsdk_bytes){header.data + scheme.len, header.len - scheme.len});
    char *plain = wsdk_temp(stream, token.len / 4 * 3 + 3);
    *credentials = (struct wsdk_bytes){plain, 0};
    return plain != NULL && wsdk_base64_decode(token, plain, &credentials->len);
}

/* Two authorization headers are two identities: what was checked here need not be what the upstream reads. */
static bool has_one_authorization(struct wsdk_context *stream)
{
    struct wsdk_headers headers;
    struct wsdk_bytes name, value;
    int found = 0;
    if (wsdk_headers_get(stream, WSDK_REQUEST_HEADERS, &headers) != WSDK_OK)
        return true;
    while (wsdk_headers_next(&headers, &name, &value))
        found += wsdk_equal_nocase(name, WSDK_STR("authorization"));
    return found <= 1;
}

static enum wsdk_action request_headers(struct wsdk_context *stream, size_t count, bool end)
{
    const struct root *root = wsdk_root_state(stream);
    struct rule_request request = {.method = request_header(stream, WSDK_STR(":method")),
                                   .path = request_header(stream, WSDK_STR(":path")),
                                   .host = request_header(stream, WSDK_STR(":authority"))};
    struct wsdk_bytes header = WSDK_NONE, given = WSDK_NONE;
    bool checked = false, has_credentials = false;
    (void)count;
    (void)end;
    rule_request_trim(&request);
    for (size_t i = 0; i < root->set.count; i++) {
        const struct rule *rule = &root->set.rules[i];
        if (!rule_covers(rule, &request))
            continue;
        if (!checked) {
            checked = true;
            header = request_header(stream, WSDK_STR("authorization"));
            has_credentials = decode_header(stream, header, &given);
        }
        if (!has_credentials)
            return refuse(stream, WSDK_STR("basic_auth_no_credentials"));
        if (!rule_accepts(rule, given))
            return refuse(stream, WSDK_STR("basic_auth_wrong_credentials"));
    }
    if (checked && !has_one_authorization(stream))
        return refuse(stream, WSDK_STR("basic_auth_two_authorization_headers"));
    return WSDK_CONTINUE;
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_configure, configure)                                                                              \
    ON(on_request_headers, request_headers)
WSDK_PLUGIN("basic-auth", sizeof(struct root), 0, CALLBACKS);
