/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pairs format of the ABI (2.2): count, lengths, then names and values with a NUL after each; all
 * integers 32-bit little-endian. Reading checks everything, as the bytes come from a guest.
 */
#ifndef PROXYWASM_PAIRS_H
#define PROXYWASM_PAIRS_H

#include "base/arena.h"

#include <proxywasm/types.h>

/*
 * Reads `bytes` into an array from `arena`, whose slices borrow from `bytes`. As in the reference host any
 * error gives the empty map: too short, over PAIRS_BYTES_MAX or PAIRS_COUNT_MAX, a missing NUL, bytes left
 * over. False only when the arena is full.
 */
bool pairs_parse(struct slice bytes, struct arena *arena, struct pw_pair **out, size_t *count);

/* Bytes that the serialised form takes: 4 + 10 a pair + names and values. */
static inline uint64_t pairs_bytes(uint64_t count, uint64_t text_bytes)
{
    return 4 + count * 10 + text_bytes;
}

/* Writes pair by pair into a buffer of known size; never passes its end. */
struct pairs_writer {
    char *lengths;
    char *lengths_end;
    char *text;
    char *text_end;
    bool failed;
};

/* `size` is pairs_bytes(count, ...). */
void pairs_writer_init(struct pairs_writer *w, char *buffer, size_t size, uint32_t count);
void pairs_writer_add(struct pairs_writer *w, struct pw_slice name, struct pw_slice value);
/* True when exactly the announced pairs and bytes came. */
bool pairs_writer_done(const struct pairs_writer *w);

#endif
