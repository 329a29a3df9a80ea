/* SPDX-License-Identifier: Apache-2.0
 *
 * One setting of the engine's pool that its C interface lacks (engine/src/pool.rs). */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <wasmtime.h>

/** An instance that goes has only the pages reset that it wrote, where the kernel can tell (Linux 6.7):
 * cheaper than to reset the beginning of its memory and to give the rest back. Elsewhere without effect. */
void weir_pool_reset_written_pages(wasmtime_pooling_allocation_config_t *pool);

#endif
