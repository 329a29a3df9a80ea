/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration front end on arbitrary input. The first byte chooses the door (YAML, JSON, protobuf
 * bytes) and the message. A document that is accepted must survive being printed, read again, packed and read
 * as bytes.
 */
#include "config/dump.h"
#include "config/load.h"
#include "config/policy.h"
#include "config/wire.h"

#include "base/assert.h"

#include <envoy/config/listener/v3/listener.pb-c.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *choose(unsigned which)
{
    switch (which % 3) {
    case 0:
        return &envoy__config__bootstrap__v3__bootstrap__descriptor;
    case 1:
        return &envoy__config__listener__v3__listener__descriptor;
    default:
        return &weir__policy__v1__policy__descriptor;
    }
}

static void print_all(struct config_diag *diag)
{
    struct strbuf said;
    strbuf_init(&said, 64u << 20);
    config_diag_print_errors(diag, &said);
    config_diag_print_notes(diag, &said);
    strbuf_fini(&said);
}

/* JSON that was written must be read again, and then print the same; so must bytes. */
static void again(const struct config_doc *doc)
{
    struct strbuf first;
    struct strbuf second;
    strbuf_init(&first, 64u << 20);
    strbuf_init(&second, 64u << 20);
    bool printed = config_dump(doc, doc->root, -1, &first);
    size_t len = protobuf_c_message_get_packed_size(doc->root);
    uint8_t *bytes = malloc(len + 1);
    WEIR_ASSERT(bytes != NULL);
    WEIR_ASSERT(protobuf_c_message_pack(doc->root, bytes) == len);
    WEIR_ASSERT(wire_scan(doc->root->descriptor, slice_of(bytes, len)) == NULL);
    free(bytes);
    struct config_diag diag;
    struct config_doc *copy = NULL;
    config_diag_init(&diag);
    /* Types that only an inert field may hold are not kept, and a dump hides secrets: such a text may be
     * refused. */
    if (printed && config_load_text(doc->root->descriptor, "again.json", strbuf_slice(&first), &diag,
                                    &copy) == CONFIG_OK)
        config_dump(copy, copy->root, -1, &second);
    config_doc_destroy(&copy);
    config_diag_fini(&diag);
    strbuf_fini(&first);
    strbuf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct config_diag diag;
    struct config_doc *doc = NULL;
    config_diag_init(&diag);
    struct slice rest = slice_of(data + 1, size - 1);
    const ProtobufCMessageDescriptor *desc = choose(data[0] >> 4);
    switch (data[0] & 3) {
    case 0:
        config_load_text(desc, "f.yaml", rest, &diag, &doc);
        break;
    case 1:
        config_load_text(desc, "f.json", rest, &diag, &doc);
        break;
    default:
        config_load_bytes(desc, "bytes", rest, &diag, &doc);
        break;
    }
    print_all(&diag);
    if (doc)
        again(doc);
    config_doc_destroy(&doc);
    config_diag_fini(&diag);
    return 0;
}
