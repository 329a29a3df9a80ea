/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request's headers say about where it comes from, and what the proxy adds or takes away there:
 * x-forwarded-*, x-envoy-*, x-request-id (Envoy's ConnectionManagerUtility::mutateRequestHeaders).
 */
#ifndef WEIR_PROXY_FORWARDED_H
#define WEIR_PROXY_FORWARDED_H

#include "proxy/stream.h"

/* Changes the request's headers and sets info.downstream_remote. */
void forwarded_apply(struct stream *s);
/* Called once before workers start: the address of this host that stands for loopback peers. */
void forwarded_init(void);

#define REQUEST_ID_BYTES 36
/* A random UUID, version 4. */
void request_id_make(uint64_t high, uint64_t low, char out[REQUEST_ID_BYTES]);

#endif
