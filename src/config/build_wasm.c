/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Wasm filter's PluginConfig, and what the policy says about the plugin, to a wasm_spec. The module is
 * loaded by the wasm service; the trial configure comes later, for all plugins together.
 */
#include "config/builder.h"

#include "base/assert.h"
#include "config/dump.h"
#include "config/policy.h"
#include "filters/wasm/wasm_network_filter.h"
#include "filters/wasm/wasm_plugin.h"

#include <google/protobuf/wrappers.pb-c.h>
#include <stdlib.h>

typedef Envoy__Extensions__Wasm__V3__VmConfig vm_message;

/* The engine's C entry; there is no header for it outside libproxywasm. */
void weir_sha256(const void *data, size_t len, unsigned char *out);

/* Bytes of one module: the largest known are 30 MB. */
#define MODULE_BYTES_MAX  (256u << 20)
#define SHA256_BYTES      32
#define ENVIRONMENT_MAX   1024u
#define CONFIG_TEXT_BYTES (64u << 20)

struct plugin_builder {
    struct builder *b;
    const plugin_message *plugin;
    struct arena *arena; /* for the time of the build: the service copies */
    struct wasm_spec spec;
};

/* --- configuration bytes --- */

/* Struct becomes JSON text; StringValue and BytesValue are unwrapped; everything else is handed over packed.
 */
static struct slice any_bytes(struct builder *b, const plugin_message *plugin,
                              const Google__Protobuf__Any *any)
{
    const ProtobufCMessage *inside = config_any_message(b->doc, any);
    if (!any)
        return SLICE_LIT("");
    if (inside && inside->descriptor == &google__protobuf__string_value__descriptor)
        return slice_str(((const Google__Protobuf__StringValue *)inside)->value);
    if (inside && inside->descriptor == &google__protobuf__bytes_value__descriptor) {
        const ProtobufCBinaryData *v = &((const Google__Protobuf__BytesValue *)inside)->value;
        return slice_of(v->data, v->len);
    }
    if (inside && inside->descriptor == &google__protobuf__struct__descriptor) {
        struct strbuf json;
        strbuf_init(&json, CONFIG_TEXT_BYTES);
        bool ok = config_dump_struct((const Google__Protobuf__Struct *)inside, &json);
        struct slice copy = builder_bytes(b, &b->scratch, json.ptr, json.len);
        strbuf_fini(&json);
        if (!ok)
            builder_error(b, plugin, "configuration", "is too large as JSON");
        return copy;
    }
    return slice_of(any->value.data, any->value.len);
}

struct slice builder_plugin_configuration(struct builder *b, const plugin_message *in)
{
    return any_bytes(b, in, in->configuration);
}

/* --- environment --- */

static bool has_variable(const struct pw_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(slice_of(pairs[i].name.ptr, pairs[i].name.len), slice_str(name)))
            return true;
    }
    return false;
}

static struct pw_slice to_pw(struct slice s)
{
    return (struct pw_slice){s.ptr, s.len};
}

static void add_variable(struct plugin_builder *p, struct pw_pair *pairs, size_t *count, const char *name,
                         const char *value)
{
    const Envoy__Extensions__Wasm__V3__EnvironmentVariables *in = p->plugin->vm_config->environment_variables;
    if (has_variable(pairs, *count, name)) {
        builder_error(
            p->b, in, NULL,
            "Key %s is duplicated in envoy.extensions.wasm.v3.VmConfig.environment_variables for %s. All the "
            "keys must be unique.",
            name, p->plugin->name);
        return;
    }
    if (value)
        pairs[(*count)++] = (struct pw_pair){to_pw(slice_str(name)), to_pw(slice_str(value))};
}

static void environment(struct plugin_builder *p, bool is_null)
{
    const Envoy__Extensions__Wasm__V3__EnvironmentVariables *in = p->plugin->vm_config->environment_variables;
    if (!in)
        return;
    size_t count = in->n_host_env_keys + in->n_key_values;
    if (count > ENVIRONMENT_MAX || (is_null && in->n_key_values > 0)) {
        builder_error(p->b, in, in->n_key_values ? "key_values" : "host_env_keys",
                      count > ENVIRONMENT_MAX ? "has too many variables"
                                              : "must not be set for the null runtime");
        return;
    }
    struct pw_pair *pairs = builder_array(p->b, p->arena, count, sizeof *pairs);
    size_t used = 0;
    for (size_t i = 0; pairs && i < in->n_key_values; i++)
        add_variable(p, pairs, &used, in->key_values[i]->key, in->key_values[i]->value);
    /* A host variable that does not exist is left out without a word, as in Envoy. */
    for (size_t i = 0; pairs && i < in->n_host_env_keys; i++)
        add_variable(p, pairs, &used, in->host_env_keys[i], getenv(in->host_env_keys[i]));
    p->spec.environment = pairs;
    p->spec.environment_count = used;
}

static void capabilities(struct plugin_builder *p)
{
    const Envoy__Extensions__Wasm__V3__CapabilityRestrictionConfig *in =
        p->plugin->capability_restriction_config;
    size_t count = in ? in->n_allowed_capabilities : 0;
    struct pw_slice *names = builder_array(p->b, p->arena, count, sizeof *names);
    for (size_t i = 0; names && i < count; i++)
        names[i] = to_pw(slice_str(in->allowed_capabilities[i]->key));
    p->spec.capabilities = names;
    p->spec.capabilities_count = names ? count : 0;
}

/* --- failure policy and code --- */

static void failure_policy(struct plugin_builder *p)
{
    const plugin_message *in = p->plugin;
    if (in->fail_open && in->failure_policy != ENVOY__EXTENSIONS__WASM__V3__FAILURE_POLICY__UNSPECIFIED)
        builder_error(p->b, in, "fail_open", "stands beside failure_policy; keep failure_policy");
    switch (in->failure_policy) {
    case ENVOY__EXTENSIONS__WASM__V3__FAILURE_POLICY__FAIL_RELOAD:
        p->spec.failure_policy = WASM_FAIL_RELOAD;
        break;
    case ENVOY__EXTENSIONS__WASM__V3__FAILURE_POLICY__FAIL_OPEN:
        p->spec.failure_policy = WASM_FAIL_OPEN;
        break;
    default:
        p->spec.failure_policy = in->fail_open ? WASM_FAIL_OPEN : WASM_FAIL_CLOSED;
        break;
    }
    if (in->reload_config && in->reload_config->backoff) {
        p->spec.reload_backoff_ms = builder_ms(in->reload_config->backoff->base_interval, 0);
        if (p->spec.failure_policy != WASM_FAIL_RELOAD)
            builder_error(p->b, in, "reload_config", "has a meaning only with failure_policy: FAIL_RELOAD");
    }
}

static bool code(struct plugin_builder *p, const vm_message *vm, bool is_null)
{
    if (!vm->code ||
        vm->code->specifier_case != ENVOY__CONFIG__CORE__V3__ASYNC_DATA_SOURCE__SPECIFIER_LOCAL) {
        builder_error(p->b, vm, "code", "is required: write local.filename");
        return false;
    }
    const Envoy__Config__Core__V3__DataSource *local = vm->code->local;
    bool is_file = local->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME;
    if (is_null && is_file) {
        builder_error(p->b, local, "filename",
                      "the null runtime takes a plugin's name in inline_string, never a path");
        return false;
    }
    p->spec.code = builder_data_source(p->b, local, p->arena, MODULE_BYTES_MAX);
    p->spec.code_origin = is_file ? slice_str(local->filename) : SLICE_LIT("inline");
    if (p->spec.code.ptr && p->spec.code.len == 0)
        builder_error(p->b, local, NULL, "is empty: there is no module in it");
    return p->spec.code.len > 0;
}

static bool machine(struct plugin_builder *p)
{
    const vm_message *vm = p->plugin->vm_config;
    bool is_null = false;
    if (p->plugin->vm_case != ENVOY__EXTENSIONS__WASM__V3__PLUGIN_CONFIG__VM_VM_CONFIG || !vm) {
        builder_error(p->b, p->plugin, "vm_config", "is required: it says where the code is");
        return false;
    }
    if (!wasm_runtime_known(slice_str(vm->runtime), &is_null)) {
        builder_error(
            p->b, vm, "runtime",
            "\"%s\" is not known; write envoy.wasm.runtime.v8, .wasmtime or .wamr (all mean the sandbox), or "
            "envoy.wasm.runtime.null",
            vm->runtime);
        return false;
    }
    p->spec.vm_id = slice_str(vm->vm_id);
    p->spec.runtime = slice_str(vm->runtime);
    p->spec.vm_configuration = any_bytes(p->b, p->plugin, vm->configuration);
    environment(p, is_null);
    return code(p, vm, is_null);
}

/* --- policy --- */

static void hex_digest(struct slice code, char *out)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char hash[SHA256_BYTES];
    weir_sha256(code.ptr, code.len, hash);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
}

static enum wasm_sharing sharing_of(Weir__Policy__V1__Sharing sharing)
{
    switch (sharing) {
    case WEIR__POLICY__V1__SHARING__SHARED:
        return WASM_SHARE_VM_KEY;
    case WEIR__POLICY__V1__SHARING__STREAM:
        return WASM_SHARE_STREAM;
    default:
        return WASM_SHARE_PLUGIN;
    }
}

static void apply_policy(struct plugin_builder *p)
{
    if (!p->b->options->policy)
        return;
    char digest[2 * SHA256_BYTES];
    hex_digest(p->spec.code, digest);
    struct policy_subject who = {
        .plugin = p->spec.name,
        .module_sha256 = slice_of(digest, sizeof digest),
        .listener = p->spec.listener,
    };
    const Weir__Policy__V1__Rule *rule = policy_find(config_policy(p->b->options->policy), &who);
    p->spec.sharing = sharing_of(rule->sharing);
    p->spec.policy = policy_make(rule);
    if (!p->spec.policy)
        builder_error(p->b, p->plugin, NULL, "out of memory");
}

/* --- all --- */

static struct slice direction(const struct builder *b)
{
    switch (b->listener ? b->listener->traffic_direction : 0) {
    case ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__INBOUND:
        return SLICE_LIT("inbound");
    case ENVOY__CONFIG__CORE__V3__TRAFFIC_DIRECTION__OUTBOUND:
        return SLICE_LIT("outbound");
    default:
        return SLICE_EMPTY;
    }
}

static struct wasm_plugin *load(struct plugin_builder *p)
{
    struct pw_message why = {0};
    struct wasm_plugin *plugin = wasm_plugin_create(p->b->options->wasm, &p->spec, &why);
    if (!plugin)
        builder_error(p->b, p->plugin, NULL, "%.1800s", why.text);
    return plugin;
}

struct wasm_plugin *builder_wasm_plugin(struct builder *b, const ProtobufCMessage *owner,
                                        const plugin_message *in, bool singleton)
{
    if (!in) {
        config_error_at(b->doc, b->diag, owner, "config", -1, "is required; set it");
        return NULL;
    }
    struct arena_mark mark = arena_mark(&b->scratch);
    struct plugin_builder p = {.b = b, .plugin = in, .arena = &b->scratch};
    uint32_t before = b->diag->errors_total;
    p.spec.singleton = singleton;
    p.spec.name = slice_str(in->name);
    p.spec.root_id = slice_str(in->root_id);
    p.spec.allow_on_headers_stop_iteration = builder_bool(in->allow_on_headers_stop_iteration, false);
    p.spec.listener_direction = direction(b);
    if (b->listener) {
        p.spec.direction = (uint32_t)b->listener->traffic_direction;
        p.spec.listener_metadata = builder_value(b, p.arena, b->listener->metadata);
    }
    p.spec.node = builder_value(b, p.arena, config_bootstrap(b->doc)->node);
    p.spec.listener = b->listener ? slice_str(b->listener->name) : SLICE_EMPTY;
    p.spec.configuration = builder_plugin_configuration(b, in);
    failure_policy(&p);
    capabilities(&p);
    struct wasm_plugin *made = NULL;
    if (machine(&p) && b->diag->errors_total == before && b->options->wasm) {
        apply_policy(&p);
        made = load(&p);
        wasm_policy_unref(&p.spec.policy);
    }
    arena_reset_to(&b->scratch, mark);
    return made;
}

bool builder_wasm_filter(struct builder *b, const Envoy__Extensions__Filters__Http__Wasm__V3__Wasm *in,
                         struct slice filter_name, struct filter_config *out)
{
    struct wasm_plugin *plugin = builder_wasm_plugin(b, &in->base, in->config, false);
    if (plugin)
        wasm_filter_config_init(out, filter_name, plugin);
    return plugin != NULL;
}

bool builder_wasm_network_filter(struct builder *b,
                                 const Envoy__Extensions__Filters__Network__Wasm__V3__Wasm *in,
                                 struct slice filter_name, struct network_filter_config *out)
{
    struct wasm_plugin *plugin = builder_wasm_plugin(b, &in->base, in->config, false);
    if (plugin)
        wasm_network_filter_config_init(out, filter_name, plugin);
    return plugin != NULL;
}
