/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a store that serves many VMs is told the limits of the one that asks, and says which of them was
 * passed.
 */
#ifndef PROXYWASM_LIMIT_CHECK_H
#define PROXYWASM_LIMIT_CHECK_H

#include <proxywasm/vm_limits.h>

struct limit_check {
    const struct pw_limits *limits;
    enum pw_limit passed; /* PW_LIMIT_COUNT: none */
};

static inline struct limit_check limit_check(const struct pw_limits *limits)
{
    return (struct limit_check){limits, PW_LIMIT_COUNT};
}

static inline enum pw_status limit_passed(struct limit_check *check, enum pw_limit limit)
{
    check->passed = limit;
    return PW_STATUS_INTERNAL_FAILURE;
}

#endif
