/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the ClientHello reader. What must hold: fewer bytes never give another answer than "more" before the
 * whole gives one that is not "none", and what is found lies inside of the input's size.
 */
#include "base/assert.h"
#include "net/client_hello.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct client_hello hello, part;
    struct slice bytes = slice_of((const char *)data, size);
    if (size == 0)
        return 0;
    arena_init(&arena, 1 << 20, NULL);
    enum client_hello_result r = client_hello_parse(bytes, 16384, &arena, &hello);
    if (r == CLIENT_HELLO_OK) {
        struct slice rest = hello.extensions, alpn = hello.alpn, body, name;
        uint16_t type;
        WEIR_ASSERT(hello.server_name.len + hello.alpn.len <= size);
        while (client_hello_extension(&rest, &type, &body))
            WEIR_ASSERT(body.len <= size);
        WEIR_ASSERT(rest.len == 0);
        while (client_hello_alpn(&alpn, &name))
            WEIR_ASSERT(name.len > 0);
        WEIR_ASSERT(alpn.len == 0);
        enum client_hello_result half =
            client_hello_parse(slice_take(bytes, size / 2 + 1), 16384, &arena, &part);
        WEIR_ASSERT(half == CLIENT_HELLO_MORE || half == CLIENT_HELLO_OK);
    }
    arena_fini(&arena);
    return 0;
}
