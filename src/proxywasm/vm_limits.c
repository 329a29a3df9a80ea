/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of PW_LIMITS as values: names, defaults, the tighter of two. Enforcement is where the thing that
 * is limited happens.
 */
#include "base/assert.h"

#include <proxywasm/vm_limits.h>

const char *pw_limit_name(enum pw_limit limit)
{
    static const char *const names[] = {
#define PW_LIMIT_X(type, field, value, what) #field,
        PW_LIMITS(PW_LIMIT_X)
#undef PW_LIMIT_X
            "total_memory",
    };
    _Static_assert(WEIR_ARRAY_LEN(names) == PW_LIMIT_COUNT, "a limit without a name");
    WEIR_ASSERT((unsigned)limit < PW_LIMIT_COUNT);
    return names[limit];
}

void pw_limits_fill(struct pw_limits *limits)
{
#define PW_LIMIT_X(type, field, value, what)                                                                 \
    if (limits->field == 0)                                                                                  \
        limits->field = (type)(value);
    PW_LIMITS(PW_LIMIT_X)
#undef PW_LIMIT_X
}

void pw_limits_tighten(struct pw_limits *limits, const struct pw_limits *other)
{
#define PW_LIMIT_X(type, field, value, what)                                                                 \
    if (other->field < limits->field)                                                                        \
        limits->field = other->field;
    PW_LIMITS(PW_LIMIT_X)
#undef PW_LIMIT_X
}
