/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash with a secret of the process (SipHash-1-3): whoever chooses keys cannot aim at one bucket. Values
 * differ from run to run, so none may be stored or sent.
 */
#ifndef WEIR_BASE_KEYED_HASH_H
#define WEIR_BASE_KEYED_HASH_H

#include "base/slice.h"

/* [any thread] */
uint64_t keyed_hash(struct slice s);
/* The same with a given secret: for tests. */
uint64_t keyed_hash_with(const uint64_t secret[2], struct slice s);

#endif
