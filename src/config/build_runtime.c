/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runtime keys of static layers: the last layer that has a key wins. Only the keys that somebody asks for
 * here exist; everything else has its configured default.
 */
#include "config/builder.h"

#include <google/protobuf/struct.pb-c.h>

typedef Google__Protobuf__Struct struct_message;
typedef Google__Protobuf__Value value_message;

/* Keys may be written whole, or as structs within structs, parted at any dot. */
static const value_message *find_key(const struct_message *in, struct slice key)
{
    for (size_t i = 0; in && i < in->n_fields; i++) {
        struct slice name = slice_str(in->fields[i]->key);
        const value_message *v = in->fields[i]->value;
        if (!v || !slice_starts_with(key, name))
            continue;
        if (key.len == name.len)
            return v;
        if (key.ptr[name.len] != '.' || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
            continue;
        const value_message *found = find_key(v->struct_value, slice_skip(key, name.len + 1));
        if (found)
            return found;
    }
    return NULL;
}

bool builder_runtime_u64(struct builder *b, const char *key, uint64_t *out)
{
    const Envoy__Config__Bootstrap__V3__LayeredRuntime *runtime = config_bootstrap(b->doc)->layered_runtime;
    for (size_t i = runtime ? runtime->n_layers : 0; i-- > 0;) {
        const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer = runtime->layers[i];
        if (layer->layer_specifier_case !=
            ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_STATIC_LAYER)
            continue;
        const value_message *v = find_key(layer->static_layer, slice_str(key));
        if (!v)
            continue;
        bool number = v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE && v->number_value >= 0 &&
                      v->number_value < 9e15;
        if (number)
            *out = (uint64_t)v->number_value;
        else
            builder_error(b, layer, "static_layer", "has no whole number for %s", key);
        return number;
    }
    return false;
}
