/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference-counted immutable bytes.
 */
#include "base/bytes.h"
#include "base/refs.h"

#include "base/assert.h"

#include <stdlib.h>

struct bytes *bytes_create(struct slice content)
{
    size_t size;
    if (__builtin_add_overflow(content.len, sizeof(struct bytes) + 1, &size))
        return NULL;
    struct bytes *b = malloc(size);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->len = content.len;
    if (content.len)
        memcpy(b->data, content.ptr, content.len);
    b->data[content.len] = '\0';
    return b;
}

struct bytes *bytes_ref(struct bytes *b)
{
    if (b)
        refs_take(&b->refs);
    return b;
}

void bytes_unref(struct bytes **b)
{
    struct bytes *dead = *b;
    *b = NULL;
    if (!dead)
        return;
    if (refs_drop(&dead->refs))
        free(dead);
}
