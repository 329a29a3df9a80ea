/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bump allocator with a byte cap: many small allocations, freed at once. One thread at a time. Bodies never
 * live in an arena (design: they are reference-counted blocks), so a long stream does not grow its arena.
 * Blocks come from a per-thread cache where one is given, so a stream costs no malloc in the steady state.
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include "base/slice.h"

#include <stdarg.h>
#include <stddef.h>

struct arena_block;

/* Keeps freed blocks of the default size for reuse by one thread. Zero-initialise; fini frees what is kept.
 */
struct arena_cache {
    struct arena_block *free_blocks;
    size_t count;
};

struct arena {
    struct arena_block *blocks;
    char *cursor;
    char *limit;
    size_t used_bytes; /* reserved from the system or cache, headers included */
    size_t cap_bytes;
    struct arena_cache *cache; /* may be NULL */
};

/* Where an arena stood; arena_reset_to returns there. */
struct arena_mark {
    struct arena_block *block;
    char *cursor;
    size_t used_bytes;
};

#define ARENA_BLOCK_BYTES 4096

void arena_cache_fini(struct arena_cache *cache);

/* Nothing is allocated until the first arena_alloc. `cache` may be NULL. */
void arena_init(struct arena *a, size_t cap_bytes, struct arena_cache *cache);
/* Without a cache, for what holds keys or passwords: memory is wiped when it is given back. */
void arena_init_secret(struct arena *a, size_t cap_bytes);
/* Before the first allocation: it begins with this memory, which must outlive it and costs no block where
 * little is kept. Such an arena takes no marks. */
void arena_lend(struct arena *a, char *memory, size_t len);
/* Frees everything; the arena can be used again. */
void arena_fini(struct arena *a);

/* 16-byte aligned. NULL when the cap is reached or memory is out. len 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t len);
/* The same, zeroed; NULL also when count * size overflows. */
void *arena_calloc(struct arena *a, size_t count, size_t size);
/* Unaligned: for text. NULL as arena_alloc. */
char *arena_alloc_text(struct arena *a, size_t len);
/* Copies the bytes and adds a NUL after them (not counted). ptr is NULL on failure, never otherwise. */
struct slice arena_dup(struct arena *a, struct slice s);
/* arena_dup as a C string. */
char *arena_strdup(struct arena *a, struct slice s);
/* NULL on failure. */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct arena_mark arena_mark(const struct arena *a);
/* Frees all that was allocated after the mark. Marks must be undone in reverse order. */
void arena_reset_to(struct arena *a, struct arena_mark mark);

#define ARENA_NEW(a, type)      ((type *)arena_calloc((a), 1, sizeof(type)))
#define ARENA_NEW_N(a, type, n) ((type *)arena_calloc((a), (n), sizeof(type)))

#endif
