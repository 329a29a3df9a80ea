/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's foreign functions (proxy_call_foreign_function). Arguments are protobuf messages from a guest: flat
 * ones, decoded here field by field, so that nothing hostile reaches a general decoder. Private to this
 * folder.
 */
#ifndef WEIR_FILTERS_WASM_FOREIGN_H
#define WEIR_FILTERS_WASM_FOREIGN_H

#include "base/slice.h"
#include "base/strbuf.h"
#include "proxy/filter_state.h"

#include <proxywasm/proxywasm.h>

/* PW_OK or PW_ERR_NOMEM. */
int wasm_foreign_register(struct pw_host *host);

/* --- foreign_args.c --- */

/* One field of a flat message; exactly one of `number` and `bytes` is set. The last occurrence counts. */
struct foreign_field {
    uint32_t id;
    bool text;           /* a proto3 string: bytes that are not UTF-8 fail the message */
    uint64_t *number;    /* varint */
    struct slice *bytes; /* borrowed from the message */
};
/* Fields that are not there keep what they had. False: malformed, as protobuf's own parser finds it. */
bool foreign_parse(struct slice message, const struct foreign_field *fields, size_t count);
/* One field after the other, for repeated ones: `bytes` is empty where it has none. False: malformed, or the
 * end where `in` is empty. */
bool foreign_next(struct slice *in, uint32_t *id, struct slice *bytes);
/* Appends a field of a result; nothing for the default value. */
void foreign_put_bool(struct strbuf *out, uint32_t id, bool value);
void foreign_put_bytes(struct strbuf *out, uint32_t id, struct slice value);

/* --- the functions, by name; foreign_zlib.c, foreign_crypto.c, foreign_state.c --- */
enum pw_status foreign_compress(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments);
enum pw_status foreign_uncompress(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments);
enum pw_status foreign_sign(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments);
enum pw_status foreign_verify_signature(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments);
enum pw_status foreign_set_filter_state(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments);
enum pw_status foreign_declare_property(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments);

/* How the plugin of `root` declared the property; NULL: it did not. */
const struct filter_state_prototype *foreign_declared(const struct pw_root *root, struct slice name);

#endif
