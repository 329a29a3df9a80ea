/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of foreign functions.
 */
#include "filters/wasm/foreign.h"

#include "base/assert.h"

/* clear_route_cache is the library's own. */
int wasm_foreign_register(struct pw_host *host)
{
    static const struct {
        const char *name;
        pw_foreign_fn fn;
    } rows[] = {
        {"compress", foreign_compress},
        {"uncompress", foreign_uncompress},
        {"sign", foreign_sign},
        {"verify_signature", foreign_verify_signature},
        {"set_envoy_filter_state", foreign_set_filter_state},
        {"declare_property", foreign_declare_property},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        int error = pw_host_add_foreign(host, rows[i].name, rows[i].fn, NULL);
        if (error)
            return error;
    }
    return PW_OK;
}
