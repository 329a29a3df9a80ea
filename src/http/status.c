/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reason phrases by code, from the table in status.h.
 */
#include "http/status.h"

struct slice status_reason(unsigned code)
{
    switch (code) {
#define STATUS_X(number, phrase)                                                                             \
    case number:                                                                                             \
        return SLICE_LIT(phrase);
        HTTP_STATUSES(STATUS_X)
#undef STATUS_X
    default:
        return SLICE_LIT("Unknown");
    }
}

unsigned status_parse(struct slice text)
{
    uint64_t code;
    if (text.len != 3 || !slice_parse_u64(text, &code) || code < 100)
        return 0;
    return (unsigned)code;
}
