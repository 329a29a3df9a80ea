/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exports of a module's mutable globals, under names of our own, so that the host can set them back.
 */
#ifndef PROXYWASM_ENGINE_GLOBAL_EXPORTS_H
#define PROXYWASM_ENGINE_GLOBAL_EXPORTS_H

#include "base/slice.h"

#include <stdint.h>

/* Of all the names. */
#define GLOBAL_EXPORT_PREFIX "__weir_global_"
/* The longest name, with its NUL. */
#define GLOBAL_EXPORT_BYTES 32

/* Writes the name of global number `index`; returns its length. */
size_t global_export_name(uint32_t index, char name[GLOBAL_EXPORT_BYTES]);

/*
 * A copy of `code` (already scanned) that also exports these globals; free it. NULL: it has no export
 * section, or memory is out. No export of `code` has such a name already: no compiler takes it twice.
 */
char *global_exports_add(struct slice code, const uint32_t *globals, uint32_t count, size_t *len);

#endif
