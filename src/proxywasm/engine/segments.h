/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few data segments instead of thousands. The compiler makes instructions for each segment, all in one
 * function, so its time grows faster than their number; Go's linker leaves out every run of zeros and writes
 * up to 100,000 of them.
 */
#ifndef PROXYWASM_ENGINE_SEGMENTS_H
#define PROXYWASM_ENGINE_SEGMENTS_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * The module `code` with neighbouring segments made one: memory begins with the same bytes. False when there
 * is little to gain, the segments are not of the kind that linkers write, the binary is damaged, or memory is
 * out; then `code` is what there is. *out is the caller's to free.
 */
bool segments_join(struct slice code, char **out, size_t *len);

#endif
