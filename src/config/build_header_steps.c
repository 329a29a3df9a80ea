/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HeaderMutation messages: of the header_mutation filter and what routes say to it, of early mutations and of
 * mirrors.
 */
#include "config/builder.h"

#include "filters/header_mutation/mutation_filter.h"

#include <envoy/extensions/filters/http/header_mutation/v3/header_mutation.pb-c.h>
#include <envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.pb-c.h>

typedef Envoy__Config__Common__MutationRules__V3__HeaderMutation step_message;
typedef Envoy__Config__Core__V3__KeyValueMutation query_message;
typedef Envoy__Extensions__Filters__Http__HeaderMutation__V3__HeaderMutation filter_message;
typedef Envoy__Extensions__Filters__Http__HeaderMutation__V3__HeaderMutationPerRoute route_message;
typedef Envoy__Extensions__Filters__Http__HeaderMutation__V3__Mutations mutations_message;
typedef Envoy__Extensions__Http__EarlyHeaderMutation__HeaderMutation__V3__HeaderMutation early_message;

#define EARLY_TYPE                                                                                           \
    &envoy__extensions__http__early_header_mutation__header_mutation__v3__header_mutation__descriptor

#define STEP(name) ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_##name

static void step(struct builder *b, struct arena *arena, const step_message *in, struct header_step *out)
{
    switch (in->action_case) {
    case STEP(APPEND):
        out->kind = HEADER_STEP_ADD;
        builder_header_add(b, arena, in->append, &out->add);
        return;
    case STEP(REMOVE):
        out->kind = HEADER_STEP_REMOVE;
        out->name = builder_text(b, arena, in->remove);
        return;
    case STEP(REMOVE_ON_MATCH):
        out->kind = HEADER_STEP_REMOVE_MATCHING;
        if (in->remove_on_match->key_matcher)
            builder_string_matcher(b, arena, in->remove_on_match->key_matcher, &out->matcher);
        return;
    default:
        return; /* the API requires one: reported already */
    }
}

void builder_header_steps(struct builder *b, struct arena *arena, const ProtobufCMessage *owner,
                          const char *field, step_message *const *in, size_t count, struct header_steps *out)
{
    uint32_t before = b->diag->errors_total;
    out->items = builder_array(b, arena, count, sizeof *out->items);
    out->count = out->items ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < out->count; i++)
        step(b, arena, in[i], &out->items[i]);
    struct builder_finish finish;
    builder_finish_init(&finish, b, owner);
    if (b->diag->errors_total == before)
        header_steps_finish(out, arena, field, &finish.errors);
}

/* --- the filter --- */

static void query_append(struct builder *b, struct arena *arena,
                         const Envoy__Config__Core__V3__KeyValueAppend *in, struct query_step *out)
{
    const Envoy__Config__Core__V3__KeyValuePair *record = in->record;
    if (!record || !record->value || record->value->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) {
        builder_error(b, in, "record", "is required, with a text as its value");
        return;
    }
    Envoy__Config__Core__V3__HeaderValue value = ENVOY__CONFIG__CORE__V3__HEADER_VALUE__INIT;
    value.value = record->value->string_value;
    out->name = builder_text(b, arena, record->key);
    out->action = (enum header_append)in->action; /* same numbers */
    out->format = builder_value_format(b, arena, &value, &out->value);
}

static void query(struct builder *b, struct arena *arena, query_message *const *in, size_t count,
                  struct query_steps *out)
{
    out->items = builder_array(b, arena, count, sizeof *out->items);
    out->count = out->items ? (uint32_t)count : 0;
    for (uint32_t i = 0; i < out->count; i++) {
        out->items[i].remove = in[i]->remove[0] != '\0';
        if (out->items[i].remove == (in[i]->append != NULL))
            builder_error(b, in[i], NULL, "needs either append or remove");
        else if (in[i]->append)
            query_append(b, arena, in[i]->append, &out->items[i]);
        else
            out->items[i].name = builder_text(b, arena, in[i]->remove);
    }
}

#define STEPS(b, c, in, field, to)                                                                           \
    builder_header_steps((b), &(c)->arena, &(in)->base, #field, (in)->field, (in)->n_##field, &(c)->to)

/* NULL after an error. */
static struct mutation_config *config(struct builder *b, const ProtobufCMessage *owner,
                                      const mutations_message *in)
{
    uint32_t before = b->diag->errors_total;
    struct mutation_config *c = mutation_config_create();
    if (!c) {
        config_error_at(b->doc, b->diag, owner, NULL, -1, "out of memory");
        return NULL;
    }
    if (in) {
        STEPS(b, c, in, request_mutations, request);
        STEPS(b, c, in, response_mutations, response);
        STEPS(b, c, in, request_trailers_mutations, request_trailers);
        STEPS(b, c, in, response_trailers_mutations, response_trailers);
        query(b, &c->arena, in->query_parameter_mutations, in->n_query_parameter_mutations, &c->query);
    }
    if (b->diag->errors_total == before)
        return c;
    mutation_config_destroy(c);
    return NULL;
}

bool builder_is_mutation(const ProtobufCMessage *msg)
{
    return msg->descriptor ==
           &envoy__extensions__filters__http__header_mutation__v3__header_mutation__descriptor;
}

bool builder_mutation_filter(struct builder *b, const ProtobufCMessage *msg, struct filter_config *out)
{
    const filter_message *in = (const filter_message *)msg;
    struct mutation_config *c = config(b, msg, in->mutations);
    if (!c)
        return false;
    c->specific_last = in->most_specific_header_mutations_wins;
    out->ops = &mutation_filter_ops;
    out->config = c;
    out->destroy = mutation_config_destroy;
    return true;
}

bool builder_mutation_route(struct builder *b, const ProtobufCMessage *msg, struct filter_override *o)
{
    const route_message *in = (const route_message *)msg;
    if (msg->descriptor !=
        &envoy__extensions__filters__http__header_mutation__v3__header_mutation_per_route__descriptor)
        return false;
    if (builder_filter_is(b, o->filter_name, builder_is_mutation))
        o->config = config(b, msg, in->mutations);
    else
        builder_error(b, in, NULL, "the filter \"%.*s\" changes no headers", SLICE_ARG(o->filter_name));
    o->destroy = mutation_config_destroy;
    return true;
}

/* --- early mutations --- */

void builder_early_steps(struct builder *b, const hcm_message *in, struct hcm_config *h)
{
    size_t count = in->n_early_header_mutation_extensions;
    struct header_steps *lists = builder_array(b, &h->arena, count, sizeof *lists);
    h->early_steps = lists;
    for (size_t i = 0; lists && i < count; i++) {
        const Envoy__Config__Core__V3__TypedExtensionConfig *e = in->early_header_mutation_extensions[i];
        const early_message *inside = (const early_message *)builder_typed(b, e, "which extension this is");
        if (inside && inside->base.descriptor != EARLY_TYPE)
            builder_error(b, e, "typed_config", "%s changes no headers", inside->base.descriptor->name);
        else if (inside)
            builder_header_steps(b, &h->arena, &inside->base, "mutations", inside->mutations,
                                 inside->n_mutations, &lists[h->early_steps_count++]);
    }
}
