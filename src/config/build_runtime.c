/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runtime keys of static layers: the last layer that has a key wins. A key counts when somebody asks for it
 * here: Envoy's own (docs/runtime.md), and those that a runtime_key names. All others are reported, or an
 * operator would believe in a limit that nobody keeps.
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

/* The value of the last layer that has the key, and that layer; NULL: none has it. */
static const value_message *runtime_value(struct builder *b, const char *key,
                                          const Envoy__Config__Bootstrap__V3__RuntimeLayer **from)
{
    const Envoy__Config__Bootstrap__V3__LayeredRuntime *runtime = config_bootstrap(b->doc)->layered_runtime;
    for (size_t i = runtime && key && key[0] ? runtime->n_layers : 0; i-- > 0;) {
        const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer = runtime->layers[i];
        if (layer->layer_specifier_case !=
            ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_STATIC_LAYER)
            continue;
        const value_message *v = find_key(layer->static_layer, slice_str(key));
        if (!v)
            continue;
        map_put(&b->runtime_read, slice_str(key), b); /* not noted for want of memory: reported in vain */
        *from = layer;
        return v;
    }
    return NULL;
}

static bool is_number(const value_message *v)
{
    return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
}

static bool whole_number(const value_message *v, uint64_t *out)
{
    bool yes = is_number(v) && v->number_value >= 0 && v->number_value < 9e15;
    if (yes)
        *out = (uint64_t)v->number_value;
    return yes;
}

bool builder_runtime_u64(struct builder *b, const char *key, uint64_t *out)
{
    const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer;
    const value_message *v = runtime_value(b, key, &layer);
    bool number = v && whole_number(v, out);
    if (v && !number)
        builder_error(b, layer, "static_layer", "has no whole number for %s", key);
    return number;
}

bool builder_runtime_limit(struct builder *b, uint32_t *limit, const char *key)
{
    uint64_t value;
    bool there = builder_runtime_u64(b, key, &value);
    if (there)
        *limit = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
    return there;
}

void builder_runtime_percent(struct builder *b, uint32_t *percent, const char *key)
{
    builder_runtime_limit(b, percent, key);
    if (*percent > 100)
        *percent = 100;
}

uint32_t builder_runtime_u32(struct builder *b, const Envoy__Config__Core__V3__RuntimeUInt32 *in)
{
    uint32_t value = in ? in->default_value : 0;
    if (in)
        builder_runtime_limit(b, &value, in->runtime_key);
    return value;
}

bool builder_runtime_number(struct builder *b, const char *key, double *out)
{
    const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer;
    const value_message *v = runtime_value(b, key, &layer);
    if (is_number(v))
        *out = v->number_value;
    else if (v)
        builder_error(b, layer, "static_layer", "has no number for %s", key);
    return is_number(v);
}

double builder_runtime_double(struct builder *b, const Envoy__Config__Core__V3__RuntimeDouble *in)
{
    double value = in->default_value;
    builder_runtime_number(b, in->runtime_key, &value);
    return value;
}

bool builder_runtime_flag(struct builder *b, const Envoy__Config__Core__V3__RuntimeFeatureFlag *in)
{
    const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer;
    const value_message *v = runtime_value(b, in->runtime_key, &layer);
    if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE)
        return v->bool_value;
    if (v)
        builder_error(b, layer, "static_layer", "has neither true nor false for %s", in->runtime_key);
    return builder_bool(in->default_value, true);
}

static const value_message *field(const struct_message *in, const char *name)
{
    for (size_t i = 0; i < in->n_fields; i++) {
        if (slice_eq(slice_str(in->fields[i]->key), slice_str(name)))
            return in->fields[i]->value;
    }
    return NULL;
}

/* {numerator: 5, denominator: TEN_THOUSAND}; false: it is something else. */
static bool fraction_of(const struct_message *in, Envoy__Type__V3__FractionalPercent *out)
{
    static const char *const names[] = {"HUNDRED", "TEN_THOUSAND", "MILLION"};
    const value_message *numerator = field(in, "numerator"), *denominator = field(in, "denominator");
    uint64_t n = 0, d = 0;
    if ((numerator && !whole_number(numerator, &n)) || n > UINT32_MAX)
        return false;
    if (denominator && denominator->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) {
        while (d < WEIR_ARRAY_LEN(names) && strcmp(names[d], denominator->string_value) != 0)
            d++;
    } else if (denominator && !whole_number(denominator, &d)) {
        return false;
    }
    out->numerator = (uint32_t)n;
    out->denominator = (Envoy__Type__V3__FractionalPercent__DenominatorType)d;
    return d < WEIR_ARRAY_LEN(names);
}

/* The same, or a number of percents, of which 100 is the most. */
static bool percent_of(const value_message *v, Envoy__Type__V3__FractionalPercent *out)
{
    uint64_t whole;
    if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        return fraction_of(v->struct_value, out);
    if (!whole_number(v, &whole))
        return false;
    out->numerator = whole < 100 ? (uint32_t)whole : 100;
    return true;
}

bool builder_runtime_fraction(struct builder *b, const Envoy__Config__Core__V3__RuntimeFractionalPercent *in,
                              uint32_t *numerator, uint32_t *denominator)
{
    const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer;
    Envoy__Type__V3__FractionalPercent percent = ENVOY__TYPE__V3__FRACTIONAL_PERCENT__INIT;
    const value_message *v = in ? runtime_value(b, in->runtime_key, &layer) : NULL;
    builder_fraction(in ? in->default_value : NULL, numerator, denominator);
    if (!v)
        return false;
    if (percent_of(v, &percent))
        builder_fraction(&percent, numerator, denominator);
    else
        builder_error(b, layer, "static_layer",
                      "has neither a whole number of percents nor a numerator and a denominator for %s",
                      in->runtime_key);
    return true;
}

static void each_key(struct builder *b, const struct_message *in, const char *way, struct slice prefix,
                     void (*each)(void *arg, const char *key), void *arg)
{
    for (size_t i = 0; in && i < in->n_fields; i++) {
        const value_message *v = in->fields[i]->value;
        const char *key = arena_printf(&b->scratch, "%s%s%s", way, way[0] ? "." : "", in->fields[i]->key);
        if (!key)
            continue;
        if (slice_starts_with(slice_str(key), prefix))
            each(arg, key);
        if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
            each_key(b, v->struct_value, key, prefix, each, arg);
    }
}

void builder_runtime_each(struct builder *b, const char *prefix, void (*each)(void *arg, const char *key),
                          void *arg)
{
    const Envoy__Config__Bootstrap__V3__LayeredRuntime *runtime = config_bootstrap(b->doc)->layered_runtime;
    struct arena_mark mark = arena_mark(&b->scratch);
    for (size_t i = 0; runtime && i < runtime->n_layers; i++) {
        const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer = runtime->layers[i];
        if (layer->layer_specifier_case ==
            ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_STATIC_LAYER)
            each_key(b, layer->static_layer, "", slice_str(prefix), each, arg);
    }
    arena_reset_to(&b->scratch, mark);
}

/* --- keys that nobody asked for --- */

static bool was_read(const struct builder *b, struct slice key)
{
    return map_has(&b->runtime_read, key);
}

/* Also counts the keys: `seen` has those of earlier layers. `key` is the way to here. */
static void report_unread(struct builder *b, struct config_pos pos, const struct_message *in, const char *key,
                          struct map *seen)
{
    for (size_t i = 0; in && i < in->n_fields; i++) {
        const value_message *v = in->fields[i]->value;
        const char *name = arena_printf(&b->scratch, "%s%s%s", key, key[0] ? "." : "", in->fields[i]->key);
        if (!name)
            continue;
        bool read = was_read(b, slice_str(name));
        if (!read && v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE) {
            report_unread(b, pos, v->struct_value, name, seen);
            continue;
        }
        map_put(seen, slice_str(name), b);
        if (read)
            continue;
        const char *path = arena_printf(&b->scratch, "layered_runtime.layers[].static_layer{\"%s\"}", name);
        if (path)
            config_diag_note(b->diag, pos, path, "nothing in this configuration has this runtime key", false);
    }
}

void builder_runtime_report_unread(struct builder *b)
{
    const Envoy__Config__Bootstrap__V3__LayeredRuntime *runtime = config_bootstrap(b->doc)->layered_runtime;
    struct map seen;
    map_init(&seen);
    for (size_t i = 0; runtime && i < runtime->n_layers; i++) {
        const Envoy__Config__Bootstrap__V3__RuntimeLayer *layer = runtime->layers[i];
        if (layer->layer_specifier_case ==
            ENVOY__CONFIG__BOOTSTRAP__V3__RUNTIME_LAYER__LAYER_SPECIFIER_STATIC_LAYER)
            report_unread(b, config_pos(b->doc, &layer->base, "static_layer"), layer->static_layer, "",
                          &seen);
    }
    stat_set(stat_shared_gauge("runtime.num_keys"), seen.count);
    stat_set(stat_shared_gauge("runtime.num_layers"), runtime ? runtime->n_layers : 0);
    map_fini(&seen);
}
