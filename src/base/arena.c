/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bump allocator behind every per-stream and per-configuration object. It must never hand out more than
 * its cap: the cap is what bounds a hostile peer's request.
 */
#include "base/arena.h"

#include "base/assert.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many default-size blocks a thread keeps: 256 x 4 KiB = 1 MiB, enough for bursts of small streams. */
#define ARENA_CACHE_MAX 256
#define ARENA_ALIGN     16u

struct arena_block {
    struct arena_block *next;
    size_t size; /* header included */
    size_t pad[2];
};

_Static_assert(sizeof(struct arena_block) % ARENA_ALIGN == 0, "the first allocation must be aligned");

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define arena_poison(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define arena_unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define arena_poison(p, n)   ((void)(p), (void)(n))
#define arena_unpoison(p, n) ((void)(p), (void)(n))
#endif

void arena_cache_fini(struct arena_cache *cache)
{
    while (cache->free_blocks) {
        struct arena_block *b = cache->free_blocks;
        cache->free_blocks = b->next;
        arena_unpoison(b, b->size);
        free(b);
    }
    cache->count = 0;
}

static struct arena_block *block_get(struct arena_cache *cache, size_t size)
{
    if (cache && size == ARENA_BLOCK_BYTES && cache->free_blocks) {
        struct arena_block *b = cache->free_blocks;
        cache->free_blocks = b->next;
        cache->count--;
        return b;
    }
    struct arena_block *b = malloc(size);
    if (b)
        b->size = size;
    return b;
}

/* The cache of arenas with secrets: it keeps nothing. */
static struct arena_cache wiping;

static void block_put(struct arena_cache *cache, struct arena_block *b)
{
    if (WEIR_UNLIKELY(cache == &wiping)) {
        arena_unpoison(b, b->size);
        explicit_bzero(b + 1, b->size - sizeof(*b));
        cache = NULL;
    }
    if (cache && b->size == ARENA_BLOCK_BYTES && cache->count < ARENA_CACHE_MAX) {
        b->next = cache->free_blocks;
        cache->free_blocks = b;
        cache->count++;
        return;
    }
    arena_unpoison(b, b->size);
    free(b);
}

void arena_init(struct arena *a, size_t cap_bytes, struct arena_cache *cache)
{
    *a = (struct arena){.cap_bytes = cap_bytes, .cache = cache};
}

void arena_init_secret(struct arena *a, size_t cap_bytes)
{
    *a = (struct arena){.cap_bytes = cap_bytes, .cache = &wiping};
}

void arena_lend(struct arena *a, char *memory, size_t len)
{
    WEIR_ASSERT(!a->cursor);
    a->cursor = memory;
    a->limit = memory + len;
}

void arena_fini(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        block_put(a->cache, b);
    }
    a->cursor = NULL;
    a->limit = NULL;
    a->used_bytes = 0;
}

static bool arena_grow(struct arena *a, size_t len)
{
    size_t size = ARENA_BLOCK_BYTES;
    if (len > ARENA_BLOCK_BYTES - sizeof(struct arena_block)) {
        if (__builtin_add_overflow(len, sizeof(struct arena_block) + ARENA_ALIGN, &size))
            return false;
    }
    if (size > a->cap_bytes || a->used_bytes > a->cap_bytes - size)
        return false;
    struct arena_block *b = block_get(a->cache, size);
    if (!b)
        return false;
    b->next = a->blocks;
    a->blocks = b;
    a->used_bytes += size;
    a->cursor = (char *)(b + 1);
    a->limit = (char *)b + size;
    arena_poison(a->cursor, (size_t)(a->limit - a->cursor));
    return true;
}

static WEIR_HOT void *arena_take(struct arena *a, size_t len, uintptr_t align)
{
    uintptr_t start = ((uintptr_t)a->cursor + align - 1) & ~(align - 1);
    if (WEIR_UNLIKELY(!a->cursor || start > (uintptr_t)a->limit || len > (uintptr_t)a->limit - start)) {
        if (!arena_grow(a, len))
            return NULL;
        start = (uintptr_t)a->cursor;
    }
    a->cursor = (char *)(start + len);
    WEIR_ASSERT(a->cursor <= a->limit);
    arena_unpoison((void *)start, len);
    return (void *)start;
}

WEIR_HOT void *arena_alloc(struct arena *a, size_t len)
{
    return arena_take(a, len, ARENA_ALIGN);
}

WEIR_HOT char *arena_alloc_text(struct arena *a, size_t len)
{
    return arena_take(a, len, 1);
}

WEIR_HOT void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t len;
    if (__builtin_mul_overflow(count, size, &len))
        return NULL;
    void *p = arena_alloc(a, len);
    if (p)
        memset(p, 0, len);
    return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    size_t len;
    char *p = __builtin_add_overflow(s.len, 1u, &len) ? NULL : arena_alloc_text(a, len);
    if (!p)
        return SLICE_EMPTY;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return slice_of(p, s.len);
}

char *arena_strdup(struct arena *a, struct slice s)
{
    return (char *)arena_dup(a, s).ptr;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int need = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (need < 0)
        return NULL;
    char *text = arena_alloc_text(a, (size_t)need + 1);
    if (!text)
        return NULL;
    va_start(args, fmt);
    vsnprintf(text, (size_t)need + 1, fmt, args);
    va_end(args);
    return text;
}

struct arena_mark arena_mark(const struct arena *a)
{
    WEIR_ASSERT(a->blocks || !a->cursor); /* lent memory could not be found again */
    return (struct arena_mark){a->blocks, a->cursor, a->used_bytes};
}

void arena_reset_to(struct arena *a, struct arena_mark mark)
{
    while (a->blocks != mark.block) {
        struct arena_block *b = a->blocks;
        WEIR_ASSERT(b);
        a->blocks = b->next;
        block_put(a->cache, b);
    }
    a->cursor = mark.cursor;
    a->limit = mark.block ? (char *)mark.block + mark.block->size : NULL;
    a->used_bytes = mark.used_bytes;
    if (a->cursor)
        arena_poison(a->cursor, (size_t)(a->limit - a->cursor));
}
