/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648 4 and 5) from bytes and back.
 */
#ifndef WEIR_BASE_BASE64_H
#define WEIR_BASE_BASE64_H

#include "base/arena.h"
#include "base/strbuf.h"

/* Appends with the standard alphabet and padding. false: it does not fit. */
bool base64_append(struct slice s, struct strbuf *out);
/* Standard or URL alphabet, padded or not. The result lives in `arena`; ptr is NULL when it is no base64 or
 * memory is out. */
struct slice base64_decode(struct slice s, struct arena *arena);

#endif
