/* SPDX-License-Identifier: Apache-2.0 */
/*
 * headers_to_add and headers_to_remove, of routes and of tunnels. What the names and values must be is
 * checked by header_mutation_finish.
 */
#include "config/builder.h"

typedef Envoy__Config__Core__V3__HeaderValueOption header_message;

/* `append` is the older form of append_action. */
static enum header_append append_action(struct builder *b, const header_message *in)
{
    if (!in->append)
        return (enum header_append)in->append_action;
    if (in->append_action !=
        ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD)
        builder_error(b, in, "append", "stands beside append_action; keep append_action");
    return in->append->value ? HEADER_APPEND_OR_ADD : HEADER_OVERWRITE_OR_ADD;
}

void builder_header_add(struct builder *b, struct arena *arena, const header_message *in,
                        struct header_add *out)
{
    const Envoy__Config__Core__V3__HeaderValue *h = in->header;
    if (!h)
        return;
    if (h->raw_value.len > 0)
        builder_error(b, h, "raw_value", "is not taken here; write value");
    out->name = builder_text(b, arena, h->key);
    out->action = append_action(b, in);
    out->keep_empty = in->keep_empty_value;
    struct slice plain;
    uint32_t errors = b->diag->errors_total;
    out->format = builder_value_format(b, arena, h, &plain);
    /* The table checks texts without a format again; one error is enough. */
    out->value = b->diag->errors_total == errors ? builder_text(b, arena, h->value) : SLICE_LIT("x");
}

void builder_mutation(struct builder *b, struct arena *arena, header_message *const *add, size_t add_count,
                      char *const *remove, size_t remove_count, struct header_mutation *out)
{
    out->add = builder_array(b, arena, add_count, sizeof *out->add);
    out->add_count = out->add ? (uint32_t)add_count : 0;
    for (size_t i = 0; i < out->add_count; i++)
        builder_header_add(b, arena, add[i], &out->add[i]);
    out->remove = builder_texts(b, arena, remove, remove_count);
    out->remove_count = out->remove ? (uint32_t)remove_count : 0;
}
