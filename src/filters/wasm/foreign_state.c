/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set_envoy_filter_state and declare_property: what plugins do to filter state beyond proxy_set_property.
 * Declarations belong to one root context and die with it.
 */
#include "base/assert.h"
#include "filters/wasm/foreign.h"
#include "filters/wasm/wasm_target.h"
#include "net/address.h"

#include <stdlib.h>

/* LifeSpan of the message; unknown numbers mean the shortest, as in Envoy. */
static enum filter_state_span span_of(uint64_t number)
{
    return number <= FILTER_STATE_CONNECTION ? (enum filter_state_span)number : FILTER_STATE_STREAM;
}

/* --- set_envoy_filter_state --- */

static bool any_value(struct slice value)
{
    (void)value;
    return true;
}
static bool decimal(struct slice value)
{
    uint64_t number;
    return slice_parse_u64(value, &number);
}
static bool number32(struct slice value)
{
    uint64_t number;
    return slice_parse_u64(value, &number) && number <= UINT32_MAX;
}
static bool boolean(struct slice value)
{
    static const char *const words[] = {"true", "t", "yes", "y", "1", "false", "f", "no", "n", "0"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(words); i++) {
        if (slice_eq_nocase(value, slice_str(words[i])))
            return true;
    }
    return false;
}
static bool ip(struct slice value)
{
    struct address address;
    return address_parse_ip(value, 0, &address);
}
static bool ip_and_port(struct slice value)
{
    size_t at = value.len;
    while (at > 0 && value.ptr[at - 1] != ':')
        at--;
    struct slice host = at > 1 ? slice_take(value, at - 1) : SLICE_EMPTY;
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_take(slice_skip(host, 1), host.len - 2);
    uint64_t port;
    return host.len > 0 && slice_parse_u64(slice_skip(value, at), &port) && port <= UINT16_MAX && ip(host);
}

/* The objects that a plugin may make, by key: Envoy's own names. Which of them act is in docs/abi.md. */
static const struct {
    struct slice key;
    bool (*valid)(struct slice value);
} objects[] = {
    {{"envoy.tcp_proxy.cluster", sizeof("envoy.tcp_proxy.cluster") - 1}, any_value},
    {{"envoy.network.upstream_server_name", sizeof("envoy.network.upstream_server_name") - 1}, any_value},
    {{"envoy.network.upstream_subject_alt_names", sizeof("envoy.network.upstream_subject_alt_names") - 1},
     any_value},
    {{"envoy.network.application_protocols", sizeof("envoy.network.application_protocols") - 1}, any_value},
    {{"envoy.string", sizeof("envoy.string") - 1}, any_value},
    {{"envoy.hashable_string", sizeof("envoy.hashable_string") - 1}, any_value},
    {{"envoy.bool", sizeof("envoy.bool") - 1}, boolean},
    {{"envoy.network.ip", sizeof("envoy.network.ip") - 1}, ip},
    {{"envoy.network.transport_socket.original_dst_address",
      sizeof("envoy.network.transport_socket.original_dst_address") - 1},
     ip_and_port},
    {{"envoy.filters.listener.original_dst.local_ip",
      sizeof("envoy.filters.listener.original_dst.local_ip") - 1},
     ip_and_port},
    {{"envoy.filters.listener.original_dst.remote_ip",
      sizeof("envoy.filters.listener.original_dst.remote_ip") - 1},
     ip_and_port},
    {{"envoy.tcp_proxy.disable_tunneling", sizeof("envoy.tcp_proxy.disable_tunneling") - 1}, boolean},
    {{"envoy.ratelimit.hits_addend", sizeof("envoy.ratelimit.hits_addend") - 1}, decimal},
    {{"envoy.tcp_proxy.per_connection_idle_timeout_ms",
      sizeof("envoy.tcp_proxy.per_connection_idle_timeout_ms") - 1},
     decimal},
    {{"envoy.upstream.dynamic_host", sizeof("envoy.upstream.dynamic_host") - 1}, any_value},
    {{"envoy.upstream.dynamic_port", sizeof("envoy.upstream.dynamic_port") - 1}, number32},
};

static enum pw_status status_of(enum filter_state_result result)
{
    switch (result) {
    case FILTER_STATE_OK:
        return PW_STATUS_OK;
    case FILTER_STATE_READ_ONLY:
        return PW_STATUS_BAD_ARGUMENT;
    case FILTER_STATE_FULL:
        break;
    }
    return PW_STATUS_INTERNAL_FAILURE;
}

/* As proxy_set_property: what is hidden is not written. Nor does a connection go to a hidden cluster. */
static bool hidden(const struct wasm_policy *policy, struct slice key, struct slice value)
{
    return wasm_policy_hides_state(policy, key) ||
           (slice_eq(key, SLICE_LIT("envoy.tcp_proxy.cluster")) && wasm_policy_hides_cluster(policy, value));
}

enum pw_status foreign_set_filter_state(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    (void)ctx;
    struct slice path = SLICE_EMPTY, value = SLICE_EMPTY;
    uint64_t span = 0;
    const struct foreign_field fields[] = {
        {1, true, NULL, &path}, {2, true, NULL, &value}, {3, false, &span, NULL}};
    if (!foreign_parse(slice_of(arguments.ptr, arguments.len), fields, WEIR_ARRAY_LEN(fields)))
        return PW_STATUS_BAD_ARGUMENT;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(objects); i++) {
        if (!slice_eq(objects[i].key, path))
            continue;
        if (!objects[i].valid(value))
            return PW_STATUS_BAD_ARGUMENT;
        struct wasm_target *target = wasm_target_of(call);
        if (target && target->policy && hidden(target->policy, path, value))
            return PW_STATUS_OK;
        const struct filter_state_prototype prototype = {.type = FILTER_STATE_OBJECT, .span = span_of(span)};
        return target ? status_of(filter_state_set(target->state, path, value, &prototype))
                      : PW_STATUS_NOT_FOUND;
    }
    return PW_STATUS_NOT_FOUND;
}

/* --- declare_property --- */

/* Of one root context: declarations are a handful, written once. */
#define DECLARED_MAX       1024u
#define DECLARED_BYTES_MAX (1u << 20)

struct declared {
    struct declared *next;
    struct slice name;
    struct filter_state_prototype prototype;
};

struct declarations {
    struct arena arena;
    struct declared *first;
    size_t count;
};

static void declarations_destroy(void *data)
{
    struct declarations *d = data;
    arena_fini(&d->arena);
    free(d);
}

static struct declarations *declarations_of(struct pw_root *root)
{
    struct declarations *d = pw_root_data(root);
    if (d)
        return d;
    d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    arena_init(&d->arena, DECLARED_BYTES_MAX, NULL);
    pw_root_set_data(root, d, declarations_destroy);
    return d;
}

static const struct declared *find(const struct declarations *d, struct slice name)
{
    for (const struct declared *e = d ? d->first : NULL; e; e = e->next) {
        if (slice_eq(e->name, name))
            return e;
    }
    return NULL;
}

const struct filter_state_prototype *foreign_declared(const struct pw_root *root, struct slice name)
{
    const struct declared *e = find(pw_root_data(root), name);
    return e ? &e->prototype : NULL;
}

static enum pw_status declare(struct pw_root *root, struct slice name,
                              const struct filter_state_prototype *prototype)
{
    struct declarations *d = declarations_of(root);
    if (!d)
        return PW_STATUS_INTERNAL_FAILURE;
    if (find(d, name))
        return PW_STATUS_BAD_ARGUMENT; /* values may have been made by it */
    struct declared *e = d->count < DECLARED_MAX ? ARENA_NEW(&d->arena, struct declared) : NULL;
    if (!e)
        return PW_STATUS_INTERNAL_FAILURE;
    *e = (struct declared){.next = d->first, .name = arena_dup(&d->arena, name), .prototype = *prototype};
    e->prototype.schema = arena_dup(&d->arena, prototype->schema);
    if (!e->name.ptr || !e->prototype.schema.ptr)
        return PW_STATUS_INTERNAL_FAILURE;
    d->first = e;
    d->count++;
    return PW_STATUS_OK;
}

enum pw_status foreign_declare_property(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    (void)ctx;
    struct slice name = SLICE_EMPTY, schema = SLICE_LIT("");
    uint64_t read_only = 0, type = 0, span = 0;
    const struct foreign_field fields[] = {{1, true, NULL, &name},
                                           {2, false, &read_only, NULL},
                                           {3, false, &type, NULL},
                                           {4, false, NULL, &schema},
                                           {5, false, &span, NULL}};
    if (!foreign_parse(slice_of(arguments.ptr, arguments.len), fields, WEIR_ARRAY_LEN(fields)))
        return PW_STATUS_BAD_ARGUMENT;
    const struct filter_state_prototype prototype = {
        .schema = schema,
        .type = type <= FILTER_STATE_PROTOBUF ? (enum filter_state_type)type : FILTER_STATE_BYTES,
        .span = span_of(span),
        .read_only = read_only != 0,
    };
    /* From a stream it is accepted and has no effect, as in Envoy: declarations are the root's. */
    return pw_foreign_stream(call) ? PW_STATUS_OK : declare(pw_foreign_root(call), name, &prototype);
}
