/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as it is written: secrets first, then the forms that JSON has for each type.
 */
#include "config/forget.h"
#include "load_case.h"

#include <envoy/extensions/transport_sockets/tls/v3/common.pb-c.h>
#include <google/protobuf/any.pb-c.h>

static void expect(const ProtobufCMessage *msg, int indent, const char *json)
{
    struct strbuf out;
    strbuf_init(&out, 1 << 16);
    assert_true(config_dump(NULL, msg, indent, &out));
    assert_string_equal(strbuf_cstr(&out), json);
    strbuf_fini(&out);
}

/* What is kept for dumps looks as before, and has no key in it any more. */
static void test_secrets_are_forgotten(void **state)
{
    static const char text[] = "name: web\n"
                               "tls_certificate:\n"
                               "  certificate_chain: {inline_string: public}\n"
                               "  private_key: {inline_string: private}\n"
                               "  password: {inline_bytes: c2VjcmV0}\n";
    struct config_diag diag;
    struct config_doc *doc;
    struct strbuf before, after;
    (void)state;
    config_diag_init(&diag);
    assert_int_equal(config_load_text(load_case_desc("envoy.extensions.transport_sockets.tls.v3.Secret"), "t",
                                      slice_str(text), &diag, &doc),
                     CONFIG_OK);
    const Envoy__Extensions__TransportSockets__Tls__V3__Secret *secret = (const void *)doc->root;
    const Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate *tls = secret->tls_certificate;
    strbuf_init(&before, 1 << 16);
    strbuf_init(&after, 1 << 16);
    assert_true(config_dump(doc, doc->root, -1, &before));
    config_forget_secrets(doc);
    assert_true(config_dump(doc, doc->root, -1, &after));
    assert_string_equal(strbuf_cstr(&before), strbuf_cstr(&after));
    assert_non_null(strstr(strbuf_cstr(&after), "[redacted]"));
    assert_string_equal(tls->certificate_chain->inline_string, "public");
    assert_string_equal(tls->private_key->inline_string, "xxxxxxx");
    assert_memory_equal(tls->password->inline_bytes.data, "xxxxxx", 6);
    strbuf_fini(&before);
    strbuf_fini(&after);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

static void test_secrets_are_not_shown(void **state)
{
    (void)state;
    Envoy__Config__Core__V3__DataSource key = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__INIT;
    key.specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING;
    key.inline_string = (char *)"very secret";
    Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate tls =
        ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__TLS_CERTIFICATE__INIT;
    tls.certificate_chain = &key;
    tls.private_key = &key;
    expect(&tls.base, -1,
           "{\"certificate_chain\":{\"inline_string\":\"very secret\"},\"private_key\":\"[redacted]\"}");
}

static void test_indented(void **state)
{
    (void)state;
    Google__Protobuf__Value one = GOOGLE__PROTOBUF__VALUE__INIT;
    one.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    one.number_value = 1;
    Google__Protobuf__Value *items[] = {&one, &one};
    Google__Protobuf__ListValue list = GOOGLE__PROTOBUF__LIST_VALUE__INIT;
    list.values = items;
    list.n_values = 2;
    expect(&list.base, 0, "[\n 1,\n 1\n]");
    list.n_values = 0;
    expect(&list.base, 0, "[]");
}

static void test_text_is_escaped(void **state)
{
    (void)state;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = (char *)"a\"b\\c\n";
    expect(&v.base, -1, "\"a\\\"b\\\\c\\n\"");
}

/* Without a document nobody knows what is inside: the bytes are shown. */
static void test_any_that_cannot_be_opened(void **state)
{
    (void)state;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    expect(&any.base, -1, "{}");
    any.type_url = (char *)"type.googleapis.com/a.B";
    any.value = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
    expect(&any.base, -1, "{\"@type\":\"type.googleapis.com/a.B\",\"value\":\"YWJj\"}");
}

static void test_the_cap_is_reported(void **state)
{
    (void)state;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = (char *)"longer than the buffer may become";
    struct strbuf out;
    strbuf_init(&out, 8);
    assert_false(config_dump(NULL, &v.base, -1, &out));
    strbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secrets_are_not_shown),
        cmocka_unit_test(test_secrets_are_forgotten),
        cmocka_unit_test(test_indented),
        cmocka_unit_test(test_text_is_escaped),
        cmocka_unit_test(test_any_that_cannot_be_opened),
        cmocka_unit_test(test_the_cap_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
