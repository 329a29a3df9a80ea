/* SPDX-License-Identifier: Apache-2.0
 *
 * The C interface that engine/src/snapshot.rs gives to the cargo package wasmtime-wizer: a module rewritten
 * so that it starts from the state that an instance of it reached. It runs no guest code itself. */
#ifndef WEIR_SNAPSHOT_H
#define WEIR_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes owned by the archive; give them back with weir_bytes_free. */
struct weir_bytes {
    uint8_t *data;
    size_t len;
};

void weir_bytes_free(struct weir_bytes *bytes);

/** How weir_snapshot_take reads an instance of the instrumented module. Both names are exports of it. */
struct weir_instance_state {
    void *user;
    /** The value of a global, as 16 little-endian bytes; the unused high bytes are zero. */
    void (*global)(void *user, const char *name, uint8_t value[16]);
    /** The memory: `*len` bytes that stay where they are until weir_snapshot_take returns. */
    const uint8_t *(*memory)(void *user, const char *name, size_t *len);
};

/**
 * The module with exports added for all of its state. It has the same imports and functions under the same
 * indices.
 *
 * @param wasm a binary module of `len` bytes, not empty
 * @param out  the new module, or the reason in words when false is returned; to be freed in both cases
 * @return false when the module uses what a snapshot cannot hold: imported memory, tables or globals,
 * instructions that write tables or drop segments, mutable references
 */
bool weir_snapshot_instrument(const uint8_t *wasm, size_t len, struct weir_bytes *out);

/**
 * The module with the memory contents and global values of `state`, and without its start section.
 *
 * @param wasm  the ORIGINAL module that was given to weir_snapshot_instrument
 * @param state an instance of the instrumented module, with no call on its stack
 * @param out   as above
 */
bool weir_snapshot_take(const uint8_t *wasm, size_t len, const struct weir_instance_state *state,
                        struct weir_bytes *out);

#endif
