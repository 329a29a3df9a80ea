/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: HTTP and gRPC callouts. The guest asks for one inside a guest call; the library checks the
 * arguments, gives it a number and hands it to the embedder's table below; what comes back goes in through
 * the pw_callout_* functions, never from inside the call that started it. All on the VM's thread.
 */
#ifndef PROXYWASM_CALLOUT_H
#define PROXYWASM_CALLOUT_H

#include <proxywasm/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One callout under way. The embedder holds it from `http_call`, `grpc_call` or `grpc_stream` on until it
 * ends it (functions that take a pointer to the pointer) or `cancel` takes it back, whichever is first.
 */
struct pw_callout;

/* Borrowed during the call. */
struct pw_http_call {
    struct pw_slice upstream; /* a cluster's name */
    const struct pw_pair *headers;
    size_t headers_count; /* :method, :path and :authority are among them */
    struct pw_slice body;
    const struct pw_pair *trailers;
    size_t trailers_count;
    uint32_t timeout_ms; /* 0: none */
};

struct pw_grpc_call {
    struct pw_slice upstream; /* a serialised envoy.config.core.v3.GrpcService, or a cluster's name */
    struct pw_slice service;  /* "package.Service" */
    struct pw_slice method;
    const struct pw_pair *metadata;
    size_t metadata_count;
    struct pw_slice message; /* calls only */
    uint32_t timeout_ms;     /* calls only; 0: none */
};

/*
 * Called inside a guest call (or from pw_vm_attach, for what a plugin asked for while it was started). None
 * of them may deliver anything from inside: what is known at once is delivered in a later turn, or refused.
 * A refusal is what the guest gets: BAD_ARGUMENT (HTTP) or PARSE_FAILURE (gRPC) when there is no such
 * upstream, INTERNAL_FAILURE else. NULL entries refuse with INTERNAL_FAILURE.
 */
struct pw_callout_ops {
    size_t size;
    enum pw_status (*http_call)(void *ctx, struct pw_callout *callout, const struct pw_http_call *call);
    /* One message, and the end of the request. */
    enum pw_status (*grpc_call)(void *ctx, struct pw_callout *callout, const struct pw_grpc_call *call);
    enum pw_status (*grpc_stream)(void *ctx, struct pw_callout *callout, const struct pw_grpc_call *call);
    /* Streams only, until their end was sent. `end`: nothing follows; without a message when its ptr is NULL
     * (then `end` is true). Charge what waits (pw_callout_charge). */
    enum pw_status (*grpc_send)(void *ctx, struct pw_callout *callout, struct pw_slice message, bool end);
    /* The guest cancelled it, or its root went: let go, deliver nothing more. Also outside of guest calls. */
    void (*cancel)(void *ctx, struct pw_callout *callout);
};

/*
 * Accounts for `bytes` of answer or unsent message that the embedder holds for the callout, until it is
 * uncharged or the callout ends. False: callout_bytes_max would be passed; the callout is to be failed.
 */
bool pw_callout_charge(struct pw_callout *callout, uint64_t bytes);
void pw_callout_uncharge(struct pw_callout *callout, uint64_t bytes);
/* The cap of one answer or message in this VM. */
uint64_t pw_callout_answer_bytes_max(const struct pw_callout *callout);

uint32_t pw_callout_id(const struct pw_callout *callout);
/* On which everything of it is delivered. */
struct pw_root *pw_callout_root(const struct pw_callout *callout);
/* For the embedder's use. */
void pw_callout_set_data(struct pw_callout *callout, void *data);
void *pw_callout_data(const struct pw_callout *callout);

/*
 * Deliveries: outside of guest calls. Each may run the guest, and so end in the destruction of anything,
 * the VM included; `cancel` tells which callouts went.
 */
struct pw_http_answer {
    const struct pw_pair *headers;
    size_t headers_count;
    struct pw_slice body;
    const struct pw_pair *trailers;
    size_t trailers_count;
};
/* Ends an HTTP call: proxy_on_http_call_response. `answer` NULL: it failed (no headers, no body). */
void pw_callout_http_response(struct pw_callout **callout, const struct pw_http_answer *answer);

/* Streams only. */
void pw_callout_grpc_initial_metadata(struct pw_callout *callout, const struct pw_pair *metadata,
                                      size_t count);
/* A message of a stream. */
void pw_callout_grpc_message(struct pw_callout *callout, struct pw_slice message);
/* Ends a gRPC call that succeeded: proxy_on_grpc_receive and nothing else. */
void pw_callout_grpc_answer(struct pw_callout **callout, struct pw_slice message);
/* Streams only. */
void pw_callout_grpc_trailing_metadata(struct pw_callout *callout, const struct pw_pair *metadata,
                                       size_t count);
/* Ends a gRPC stream, or a gRPC call that failed: proxy_on_grpc_close. */
void pw_callout_grpc_close(struct pw_callout **callout, uint32_t status, struct pw_slice message);

#ifdef __cplusplus
}
#endif

#endif
