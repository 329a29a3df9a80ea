/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pairs.c: read and write serialised header maps. What the host gave is not trusted to be well formed:
 * reading stops at the first length that does not fit.
 */
#include "pairs.h"
#include "vm.h"

static uint32_t get_u32(const char *at)
{
    uint32_t number;
    memcpy(&number, at, sizeof(number));
    return number;
}

static char *put_u32(char *at, size_t number)
{
    uint32_t narrow = (uint32_t)number;
    memcpy(at, &narrow, sizeof(narrow));
    return at + sizeof(narrow);
}

static char *put_text(char *at, struct wsdk_bytes text)
{
    if (text.len != 0)
        memcpy(at, text.data, text.len);
    at[text.len] = '\0';
    return at + text.len + 1;
}

enum wsdk_status wsdk_pairs_write(struct wsdk_context *ctx, const struct wsdk_header *list, size_t count,
                                  struct wsdk_bytes *raw)
{
    size_t bytes = sizeof(uint32_t);
    *raw = WSDK_NONE;
    if (count == 0)
        return WSDK_OK;
    for (size_t i = 0; i < count; i++)
        bytes += 2 * sizeof(uint32_t) + list[i].name.len + list[i].value.len + 2;
    char *data = wsdk_temp(ctx, bytes);
    if (data == NULL)
        return WSDK_INTERNAL_FAILURE;
    char *at = put_u32(data, count);
    for (size_t i = 0; i < count; i++)
        at = put_u32(put_u32(at, list[i].name.len), list[i].value.len);
    for (size_t i = 0; i < count; i++)
        at = put_text(put_text(at, list[i].name), list[i].value);
    *raw = (struct wsdk_bytes){data, bytes};
    return WSDK_OK;
}

void wsdk_pairs_open(struct wsdk_headers *headers, struct wsdk_bytes raw)
{
    *headers = (struct wsdk_headers){.raw = raw};
    if (raw.len < sizeof(uint32_t))
        return;
    size_t count = get_u32(raw.data);
    if (count > (raw.len - sizeof(uint32_t)) / (2 * sizeof(uint32_t)))
        return;
    headers->count = count;
    headers->at = sizeof(uint32_t) * (1 + 2 * count);
}

bool wsdk_headers_next(struct wsdk_headers *headers, struct wsdk_bytes *name, struct wsdk_bytes *value)
{
    if (headers->next >= headers->count)
        return false;
    const char *lengths = headers->raw.data + sizeof(uint32_t) * (1 + 2 * headers->next);
    uint64_t name_len = get_u32(lengths), value_len = get_u32(lengths + sizeof(uint32_t));
    if (name_len + value_len + 2 > headers->raw.len - headers->at)
        return false;
    *name = (struct wsdk_bytes){headers->raw.data + headers->at, (size_t)name_len};
    *value = (struct wsdk_bytes){name->data + name_len + 1, (size_t)value_len};
    headers->at += (size_t)(name_len + value_len + 2);
    headers->next++;
    return true;
}
