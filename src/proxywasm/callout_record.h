/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of what a plugin asked for before its VM was attached: one block each, in order.
 */
#ifndef PROXYWASM_CALLOUT_RECORD_H
#define PROXYWASM_CALLOUT_RECORD_H

#include "base/list.h"

#include <proxywasm/callout.h>

enum callout_record_kind { RECORD_HTTP, RECORD_GRPC_CALL, RECORD_GRPC_STREAM, RECORD_SEND };

struct callout_record {
    struct list node;
    struct pw_callout *callout;
    enum callout_record_kind kind;
    struct pw_http_call http;
    struct pw_grpc_call grpc;
    struct pw_slice message; /* RECORD_SEND; ptr NULL: the end alone */
    bool end;
    _Alignas(struct pw_pair) char block[]; /* arrays of pairs come first */
};

/* NULL when memory is out. */
struct callout_record *callout_record_http(const struct pw_http_call *call);
struct callout_record *callout_record_grpc(const struct pw_grpc_call *call, bool stream);
struct callout_record *callout_record_send(struct pw_slice message, bool end);

uint64_t callout_pairs_bytes(const struct pw_pair *pairs, size_t count);
uint64_t callout_http_bytes(const struct pw_http_call *call);
uint64_t callout_grpc_bytes(const struct pw_grpc_call *call);

#endif
