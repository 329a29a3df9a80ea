/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256, from the engine archive. For identities (module hashes, cache keys), not for secrets.
 */
#ifndef PROXYWASM_ENGINE_SHA256_H
#define PROXYWASM_ENGINE_SHA256_H

#include "base/slice.h"

#define SHA256_BYTES     32
#define SHA256_HEX_BYTES 65 /* with the NUL */

/* Defined in the archive (engine/src/lib.rs). */
void weir_sha256(const void *data, size_t len, unsigned char *out);

static inline void sha256_hex(struct slice data, char out[SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[SHA256_BYTES];

    weir_sha256(data.ptr, data.len, hash);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[SHA256_HEX_BYTES - 1] = '\0';
}

#endif
