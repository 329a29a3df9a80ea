/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of an instance's state. It must not interpret them.
 */
#include "proxywasm/engine/state.h"

#include <stdlib.h>
#include <string.h>

/* In front of each name. */
struct head {
    uint64_t name_bytes;
    uint64_t value_bytes;
};

static bool reserve(struct state_writer *w, size_t more)
{
    size_t cap = w->cap ? w->cap : 4096;
    char *bytes;

    while (cap - w->len < more)
        cap += cap < more ? more : cap;
    if (cap == w->cap)
        return true;
    bytes = realloc(w->bytes, cap);
    if (!bytes)
        return false;
    w->bytes = bytes;
    w->cap = cap;
    return true;
}

static void put(struct state_writer *w, const void *data, size_t len)
{
    if (len > 0)
        memcpy(w->bytes + w->len, data, len);
    w->len += len;
}

void state_add(struct state_writer *w, struct slice name, struct slice value)
{
    const struct head head = {name.len, value.len};

    if (w->failed || !reserve(w, sizeof(head) + name.len + value.len)) {
        w->failed = true;
        return;
    }
    put(w, &head, sizeof(head));
    put(w, name.ptr, name.len);
    put(w, value.ptr, value.len);
}

bool state_next(struct slice *rest, struct slice *name, struct slice *value)
{
    struct head head;

    if (rest->len < sizeof(head))
        return false;
    memcpy(&head, rest->ptr, sizeof(head));
    *rest = slice_skip(*rest, sizeof(head));
    if (head.name_bytes > rest->len || head.value_bytes > rest->len - head.name_bytes)
        return false;
    *name = slice_take(*rest, head.name_bytes);
    *value = slice_take(slice_skip(*rest, head.name_bytes), head.value_bytes);
    *rest = slice_skip(*rest, head.name_bytes + head.value_bytes);
    return true;
}

struct slice state_find(struct slice state, const char *wanted)
{
    struct slice name, value;

    while (state_next(&state, &name, &value))
        if (slice_eq(name, slice_str(wanted)))
            return value;
    return SLICE_EMPTY;
}

uint64_t state_memory_bytes(struct slice state)
{
    return state_find(state, STATE_MEMORY_PREFIX "0").len;
}
