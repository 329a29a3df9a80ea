/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the tests of this room: load a text as some message and compare all that was said about it.
 */
#ifndef WEIR_TESTS_CONFIG_LOAD_CASE_H
#define WEIR_TESTS_CONFIG_LOAD_CASE_H

#include "config/dump.h"
#include "config/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* What an HTTP filter may be, as an error lists it: the order of field_classes.txt. */
#define HTTP_FILTERS                                                                                         \
    "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, "                                   \
    "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors, "                                       \
    "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession, "                \
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig, "              \
    "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, "                  \
    "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, "                  \
    "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm, "                                       \
    "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, "                                       \
    "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, "                                 \
    "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck, "                        \
    "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"

struct load_case {
    const char *message; /* full name; NULL: the bootstrap */
    const char *text;
    const char *errors; /* exact, "" for none */
};

static inline const ProtobufCMessageDescriptor *load_case_desc(const char *message)
{
    const struct meta_message *m =
        meta_by_name(slice_str(message ? message : "envoy.config.bootstrap.v3.Bootstrap"));
    assert_non_null(m);
    return m->desc;
}

static inline void load_case_run(const struct load_case *c)
{
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    enum config_result result =
        config_load_text(load_case_desc(c->message), "t", slice_str(c->text), &diag, &doc);
    struct strbuf said;
    strbuf_init(&said, 1 << 20);
    config_diag_print_errors(&diag, &said);
    if (strcmp(strbuf_cstr(&said), c->errors) != 0)
        printf("text:\n%s\n", c->text);
    assert_string_equal(strbuf_cstr(&said), c->errors);
    assert_int_equal(result, c->errors[0] ? CONFIG_INVALID : CONFIG_OK);
    assert_int_equal(doc != NULL, result == CONFIG_OK);
    strbuf_fini(&said);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

/* Loads, must succeed; the result as one line of JSON must be `expected`. */
static inline void load_case_expect(const char *message, const char *name, const char *text,
                                    const char *expected)
{
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    config_load_text(load_case_desc(message), name, slice_str(text), &diag, &doc);
    struct strbuf out;
    strbuf_init(&out, 1 << 20);
    config_diag_print_errors(&diag, &out);
    assert_string_equal(strbuf_cstr(&out), "");
    assert_true(config_dump(doc, doc->root, -1, &out));
    assert_string_equal(strbuf_cstr(&out), expected);
    strbuf_fini(&out);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

#endif
