/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One data segment instead of thousands: an instance costs time for each segment of its module, and a
 * snapshot of a Go plugin has ten thousand.
 */
#ifndef PROXYWASM_ENGINE_IMAGE_H
#define PROXYWASM_ENGINE_IMAGE_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * The snapshot module `code` with `memory`, which its data segments describe, as one segment. False when that
 * cannot be done or memory is out; then `code` is what there is. *out is the caller's to free.
 */
bool image_merge(struct slice code, struct slice memory, char **out, size_t *len);

#endif
