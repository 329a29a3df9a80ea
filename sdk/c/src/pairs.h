/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pairs.h: header maps as the ABI serialises them (u32 count; u32 name and value lengths; then the bytes,
 * each with a NUL behind). Guests only; the host has its own reader.
 */
#ifndef WSDK_PAIRS_H
#define WSDK_PAIRS_H

#include <wsdk/http.h>

/*
 * Serialise into memory that lives until the running callback returns. No headers: WSDK_OK and empty.
 * WSDK_INTERNAL_FAILURE when memory is short.
 */
enum wsdk_status wsdk_pairs_write(struct wsdk_context *ctx, const struct wsdk_header *list, size_t count,
                                  struct wsdk_bytes *raw);

/* Begin to read `raw`; a map that is not well formed reads as empty. */
void wsdk_pairs_open(struct wsdk_headers *headers, struct wsdk_bytes raw);

#endif
