/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns in which `*` stands for any run of bytes, also none, and everything else for itself. Linear in
 * practice, never worse than pattern times text; no allocation.
 */
#ifndef WEIR_BASE_GLOB_H
#define WEIR_BASE_GLOB_H

#include "base/slice.h"

bool glob_match(struct slice pattern, struct slice text);
/* Whether some text that begins with `prefix` matches. */
bool glob_match_prefix(struct slice pattern, struct slice prefix);

#endif
