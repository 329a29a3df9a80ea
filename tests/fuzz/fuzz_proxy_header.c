/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the PROXY header reader. What must hold: a header ends within the input and within its cap; the same
 * bytes with something behind them are the same header; its addresses have ports and families.
 */
#include "base/assert.h"
#include "net/proxy_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, again;
    struct slice bytes = slice_of((const char *)data, size), value;
    uint8_t type;
    enum proxy_header_result r = proxy_header_parse(bytes, &whole);
    if (r == PROXY_HEADER_MORE)
        WEIR_ASSERT(size < PROXY_HEADER_BYTES_MAX);
    if (r != PROXY_HEADER_OK)
        return 0;
    WEIR_ASSERT(whole.bytes <= size && whole.bytes <= PROXY_HEADER_BYTES_MAX);
    WEIR_ASSERT(whole.local || whole.remote.sa.sa_family == whole.destination.sa.sa_family);
    struct slice tlvs = whole.tlvs;
    while (proxy_header_tlv(&tlvs, &type, &value))
        WEIR_ASSERT(value.len <= whole.bytes);
    WEIR_ASSERT(proxy_header_parse(slice_take(bytes, whole.bytes), &again) == PROXY_HEADER_OK);
    WEIR_ASSERT(again.bytes == whole.bytes && again.local == whole.local);
    for (size_t cut = 0; cut < whole.bytes && cut < 64; cut++)
        WEIR_ASSERT(proxy_header_parse(slice_take(bytes, cut), &again) == PROXY_HEADER_MORE);
    return 0;
}
