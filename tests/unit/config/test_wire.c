/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that come as bytes: hostile ones, then the same classes, rules and TypedStructs as in texts.
 */
#include "config/wire.h"

#include "load_case.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <stdlib.h>

#define CLUSTER_NAME "envoy.config.cluster.v3.Cluster"
#define HTTPF        "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"

/* What loading the bytes says; "" and the message as JSON when it succeeds. */
static void expect(const char *message, struct slice bytes, const char *errors, const char *json)
{
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    config_load_bytes(load_case_desc(message), "xds", bytes, &diag, &doc);
    struct strbuf said;
    strbuf_init(&said, 1 << 20);
    config_diag_print_errors(&diag, &said);
    assert_string_equal(strbuf_cstr(&said), errors);
    if (json) {
        assert_non_null(doc);
        assert_true(config_dump(doc, doc->root, -1, &said));
        assert_string_equal(strbuf_cstr(&said), json);
    }
    strbuf_fini(&said);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x0a", 1}, /* no length */
        {"\x0a\x05"
         "ab",
         4},                                                  /* shorter than its length */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11}, /* a varint above 64 bits */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11}, /* a varint without end */
        {"\x03", 1},                                          /* groups */
        {"\x04", 1},
        {"\x06", 1},
        {"\x07", 1},
        {"\x02\x00", 2},     /* field number 0 */
        {"\x09\x01\x02", 3}, /* 64 bits cut */
        {"\x0d\x01", 2},     /* 32 bits cut */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(CLUSTER_NAME, slice_of(bad[i].bytes, bad[i].len), "xds: the bytes are no such message\n",
               NULL);
    expect(CLUSTER_NAME,
           SLICE_LIT("\x0a\x02"
                     "a\0"),
           "xds: a string holds a NUL character\n", NULL);
    expect(CLUSTER_NAME,
           SLICE_LIT("\x0a\x02"
                     "a\xff"),
           "xds: a string is not UTF-8\n", NULL);
}

/* google.protobuf.Value: list_value = 6 { values = 1 } nested in itself. */
static void test_depth(void **state)
{
    (void)state;
    size_t cap = 1 << 18;
    char *bytes = malloc(cap);
    assert_non_null(bytes);
    size_t start = cap;
    for (int i = 0; i < 20000 && start > 16; i++) {
        size_t len = cap - start;
        uint8_t varint[10];
        size_t n = 0;
        for (size_t rest = len; n == 0 || rest > 0; rest >>= 7)
            varint[n++] = (uint8_t)((rest & 0x7f) | (rest >> 7 ? 0x80 : 0));
        start -= n;
        memcpy(bytes + start, varint, n);
        bytes[--start] = i % 2 ? 0x32 : 0x0a;
    }
    assert_string_equal(wire_scan(&google__protobuf__value__descriptor, slice_of(bytes + start, cap - start)),
                        "the message is nested too deeply");
    free(bytes);
}

static void test_unknown_field(void **state)
{
    (void)state;
    expect(
        CLUSTER_NAME,
        SLICE_LIT("\x0a\x01"
                  "a"
                  "\xf8\x7f\x01"),
        "xds: has field number 2047, which this version of envoy.config.cluster.v3.Cluster does not know\n",
        NULL);
}

static void test_rules_and_classes(void **state)
{
    (void)state;
    /* name empty; type = 3: EDS; filters = 40 */
    expect(CLUSTER_NAME, SLICE_LIT("\x10\x03\xc2\x02\x00"),
           "xds: filters: is refused: not there yet\n"
           "xds: name: must not be empty\n"
           "xds: type: EDS is refused: xDS is not there yet\n",
           NULL);
    expect(CLUSTER_NAME,
           SLICE_LIT("\x0a\x01"
                     "a"
                     "\x22\x02\x08\x05"),
           "", "{\"name\":\"a\",\"connect_timeout\":\"5s\"}");
}

/* Packs a text that loads, and loads the bytes: nothing may be lost. */
static void round_trip(const char *message, const char *text)
{
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    assert_int_equal(config_load_text(load_case_desc(message), "t", slice_str(text), &diag, &doc), CONFIG_OK);
    struct strbuf json;
    strbuf_init(&json, 1 << 20);
    assert_true(config_dump(doc, doc->root, -1, &json));
    size_t len = protobuf_c_message_get_packed_size(doc->root);
    uint8_t *bytes = malloc(len + 1);
    assert_non_null(bytes);
    protobuf_c_message_pack(doc->root, bytes);
    expect(message, slice_of(bytes, len), "", strbuf_cstr(&json));
    free(bytes);
    strbuf_fini(&json);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
}

static void test_round_trips(void **state)
{
    (void)state;
    round_trip(CLUSTER_NAME,
               "name: a\n"
               "connect_timeout: 0.25s\n"
               "type: STRICT_DNS\n"
               "metadata: {filter_metadata: {x: {a: [1, true, null, {b: c}]}}}\n"
               "typed_extension_protocol_options:\n"
               "  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
               "    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
               "    explicit_http_config: {http_protocol_options: {}}\n");
    round_trip(
        HTTPF,
        "name: w\n"
        "typed_config:\n"
        "  '@type': type.googleapis.com/xds.type.v3.TypedStruct\n"
        "  type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n"
        "  value:\n"
        "    config:\n"
        "      name: p\n"
        "      configuration: {'@type': type.googleapis.com/google.protobuf.Struct, value: {k: [1.5]}}\n");
}

/* A TypedStruct as istiod would send it: Any{type_url: TypedStruct, value: TypedStruct{type_url, Struct}}. */
static void test_typed_struct_in_bytes(void **state)
{
    (void)state;
    const char *inner = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    struct strbuf text;
    strbuf_init(&text, 4096);
    strbuf_printf(&text, "{type_url: %s, value: {config: {name: p, root_id: r, fail_open: true}}}", inner);
    assert_int_equal(
        config_load_text(load_case_desc("xds.type.v3.TypedStruct"), "t", strbuf_slice(&text), &diag, &doc),
        CONFIG_OK);
    uint8_t value[512];
    size_t len = protobuf_c_message_pack(doc->root, value);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);

    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = (char *)"type.googleapis.com/udpa.type.v1.TypedStruct";
    any.value = (ProtobufCBinaryData){len, value};
    uint8_t any_bytes[1024];
    size_t any_len = protobuf_c_message_pack(&any.base, any_bytes);
    uint8_t filter[1100] = {0x0a, 1, 'w', 0x22};
    filter[4] = (uint8_t)((any_len & 0x7f) | 0x80);
    filter[5] = (uint8_t)(any_len >> 7);
    memcpy(filter + 6, any_bytes, any_len);
    expect(HTTPF, slice_of(filter, any_len + 6), "",
           "{\"name\":\"w\",\"typed_config\":{\"@type\":\"type.googleapis.com/"
           "envoy.extensions.filters.http.wasm.v3."
           "Wasm\",\"config\":{\"name\":\"p\",\"root_id\":\"r\",\"fail_open\":true}}}");
    strbuf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed),     cmocka_unit_test(test_depth),
        cmocka_unit_test(test_unknown_field), cmocka_unit_test(test_rules_and_classes),
        cmocka_unit_test(test_round_trips),   cmocka_unit_test(test_typed_struct_in_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
