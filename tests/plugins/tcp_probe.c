/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_probe.c: a plugin over TCP connections that logs every callback and does what the bytes say. Data that
 * begin with a word in capitals (TRAP, LOOP, SPIN, CLOSE, GONE, HOLD, LINE, UPPER, WRAP, DROP) are treated
 * so, in either direction; all else passes. Its configuration is a list of words: quiet, hold-new, keep-new,
 * trap-new, trap-close, trap-done, to=CLUSTER. Tests only.
 */
#include <wsdk.h>

#define TICK_MS  20
#define HELD_MAX 4096
#define SHOWN    64

struct root_state {
    struct wsdk_bytes to; /* envoy.tcp_proxy.cluster for each connection */
    bool quiet, hold_new, keep_new, trap_new, trap_close, trap_done;
    uint32_t held[HELD_MAX]; /* context << 2 | what the tick does */
    size_t held_count;
};

enum { LATER_DOWNSTREAM, LATER_UPSTREAM, LATER_CLOSE };

static struct root_state *root_of(struct wsdk_context *ctx)
{
    return wsdk_root_state(ctx);
}

static void later(struct wsdk_context *ctx, uint32_t what)
{
    struct root_state *r = root_of(ctx);
    if (r->held_count < HELD_MAX)
        r->held[r->held_count++] = wsdk_id(ctx) << 2 | what;
}

static bool on_configure(struct wsdk_context *root, size_t bytes)
{
    struct root_state *r = root_of(root);
    struct wsdk_bytes text;
    if (wsdk_configuration(root, bytes, &text) != WSDK_OK)
        return false;
    while (text.len > 0) {
        struct wsdk_bytes word = wsdk_before(text, " ");
        r->quiet |= wsdk_equal(word, WSDK_STR("quiet"));
        r->hold_new |= wsdk_equal(word, WSDK_STR("hold-new"));
        r->keep_new |= wsdk_equal(word, WSDK_STR("keep-new"));
        r->trap_new |= wsdk_equal(word, WSDK_STR("trap-new"));
        r->trap_close |= wsdk_equal(word, WSDK_STR("trap-close"));
        r->trap_done |= wsdk_equal(word, WSDK_STR("trap-done"));
        if (word.len > 3 && wsdk_equal((struct wsdk_bytes){word.data, 3}, WSDK_STR("to=")))
            r->to = wsdk_keep(root, (struct wsdk_bytes){word.data + 3, word.len - 3});
        size_t used = word.len < text.len ? word.len + 1 : word.len;
        text = (struct wsdk_bytes){text.data + used, text.len - used};
    }
    return wsdk_tick_ms(root, TICK_MS) == WSDK_OK;
}

static void on_tick(struct wsdk_context *root)
{
    struct root_state *r = root_of(root);
    size_t count = r->held_count;
    r->held_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct wsdk_context *ctx = wsdk_find(root, r->held[i] >> 2);
        if (ctx == NULL)
            continue;
        wsdk_effective(root, ctx);
        uint32_t what = r->held[i] & 3;
        enum wsdk_status status =
            what == LATER_CLOSE
                ? wsdk_close(ctx, WSDK_DOWNSTREAM)
                : wsdk_continue(ctx, what == LATER_UPSTREAM ? WSDK_UPSTREAM : WSDK_DOWNSTREAM);
        if (!r->quiet)
            wsdk_log(root, WSDK_INFO, "later %u: %d", what, (int)status);
    }
}

static void tell(struct wsdk_context *ctx, const char *what, size_t number, bool end)
{
    if (!root_of(ctx)->quiet)
        wsdk_log(ctx, WSDK_INFO, "%s %zu%s", what, number, end ? " end" : "");
}

static void on_context_create(struct wsdk_context *ctx)
{
    if (!wsdk_is_root(ctx))
        tell(ctx, "create", 0, false);
}

/* {path, value} of envoy.source.extensions.common.wasm.SetEnvoyFilterStateArguments. */
static void route_to(struct wsdk_context *ctx, struct wsdk_bytes cluster)
{
    static const char key[] = "\x0a\x17"
                              "envoy.tcp_proxy.cluster";
    char message[256];
    struct wsdk_bytes result;
    size_t n =
        wsdk_format(message, sizeof(message), "%s\x12%c%.*s", key, (int)cluster.len, WSDK_FMT(cluster));
    enum wsdk_status status =
        wsdk_foreign(ctx, WSDK_STR("set_envoy_filter_state"), (struct wsdk_bytes){message, n}, &result);
    tell(ctx, "routed", (size_t)status, false);
}

static enum wsdk_action on_new_connection(struct wsdk_context *ctx)
{
    tell(ctx, "new", 0, false);
    if (root_of(ctx)->trap_new)
        wsdk_trap(ctx, "asked to");
    if (root_of(ctx)->to.len > 0)
        route_to(ctx, root_of(ctx)->to);
    if (root_of(ctx)->keep_new)
        return WSDK_PAUSE;
    if (!root_of(ctx)->hold_new)
        return WSDK_CONTINUE;
    later(ctx, LATER_DOWNSTREAM);
    return WSDK_PAUSE;
}

static void upper(struct wsdk_context *ctx, enum wsdk_buffer buffer, struct wsdk_bytes data)
{
    char *copy = wsdk_temp(ctx, data.len);
    if (copy == NULL)
        return;
    for (size_t i = 0; i < data.len; i++)
        copy[i] = data.data[i] >= 'a' && data.data[i] <= 'z' ? (char)(data.data[i] - 32) : data.data[i];
    wsdk_buffer_replace(ctx, buffer, (struct wsdk_bytes){copy, data.len});
}

static void loop_for_ever(void)
{
    volatile uint32_t n = 0;
    for (;;)
        n++;
}

/* 8 ms, less than a callback may take. */
static void spin(struct wsdk_context *ctx)
{
    uint64_t began = 0, now = 0;
    wsdk_now_ns(ctx, &began);
    do
        wsdk_now_ns(ctx, &now);
    while (now - began < 8 * 1000 * 1000);
}

static enum wsdk_action obey(struct wsdk_context *ctx, enum wsdk_buffer buffer, size_t bytes)
{
    bool down = buffer == WSDK_DOWNSTREAM_DATA;
    struct wsdk_bytes data = WSDK_NONE, word;
    if (wsdk_buffer_get(ctx, buffer, 0, bytes < SHOWN ? bytes : SHOWN, &data) != WSDK_OK)
        return WSDK_CONTINUE;
    word = wsdk_before(data, " \n");
    if (wsdk_equal(word, WSDK_STR("TRAP")))
        wsdk_trap(ctx, "asked to");
    if (wsdk_equal(word, WSDK_STR("LOOP")))
        loop_for_ever();
    if (wsdk_equal(word, WSDK_STR("SPIN")))
        spin(ctx);
    if (wsdk_equal(word, WSDK_STR("CLOSE")))
        wsdk_close(ctx, down ? WSDK_DOWNSTREAM : WSDK_UPSTREAM);
    if (wsdk_equal(word, WSDK_STR("GONE")))
        later(ctx, LATER_CLOSE);
    if (wsdk_equal(word, WSDK_STR("HOLD"))) {
        later(ctx, down ? LATER_DOWNSTREAM : LATER_UPSTREAM);
        return WSDK_PAUSE;
    }
    if (wsdk_equal(word, WSDK_STR("LINE"))) {
        wsdk_buffer_get(ctx, buffer, 0, bytes, &data);
        return wsdk_before(data, "\n").len == data.len ? WSDK_PAUSE : WSDK_CONTINUE;
    }
    if (wsdk_equal(word, WSDK_STR("UPPER"))) {
        wsdk_buffer_get(ctx, buffer, 0, bytes, &data);
        upper(ctx, buffer, data);
    }
    if (wsdk_equal(word, WSDK_STR("WRAP"))) {
        wsdk_buffer_prepend(ctx, buffer, WSDK_STR("<"));
        wsdk_buffer_append(ctx, buffer, WSDK_STR(">"));
    }
    if (wsdk_equal(word, WSDK_STR("DROP")))
        wsdk_buffer_replace(ctx, buffer, WSDK_NONE);
    return WSDK_CONTINUE;
}

static enum wsdk_action on_downstream_data(struct wsdk_context *ctx, size_t bytes, bool end)
{
    tell(ctx, "downstream", bytes, end);
    return obey(ctx, WSDK_DOWNSTREAM_DATA, bytes);
}

static enum wsdk_action on_upstream_data(struct wsdk_context *ctx, size_t bytes, bool end)
{
    tell(ctx, "upstream", bytes, end);
    return obey(ctx, WSDK_UPSTREAM_DATA, bytes);
}

static void on_downstream_connection_close(struct wsdk_context *ctx, enum wsdk_peer peer)
{
    tell(ctx, "downstream close", peer, false);
    if (root_of(ctx)->trap_close)
        wsdk_trap(ctx, "asked to");
}

static void on_upstream_connection_close(struct wsdk_context *ctx, enum wsdk_peer peer)
{
    tell(ctx, "upstream close", peer, false);
}

static bool on_done(struct wsdk_context *ctx)
{
    if (wsdk_is_root(ctx))
        return true;
    tell(ctx, "done", 0, false);
    if (root_of(ctx)->trap_done)
        wsdk_trap(ctx, "asked to");
    return true;
}

static void on_log(struct wsdk_context *ctx)
{
    struct wsdk_bytes upstream = WSDK_NONE, source = WSDK_NONE;
    uint64_t id = 0;
    wsdk_property_get(ctx, WSDK_STR("upstream\0address"), &upstream);
    wsdk_property_get(ctx, WSDK_STR("source\0address"), &source);
    wsdk_property_u64(ctx, WSDK_STR("connection\0id"), &id);
    wsdk_property_set(ctx, WSDK_STR("seen"), WSDK_STR("by tcp_probe"));
    if (!root_of(ctx)->quiet)
        wsdk_log(ctx, WSDK_INFO, "log upstream=%.*s source=%.*s id=%s", WSDK_FMT(upstream), WSDK_FMT(source),
                 id != 0 ? "set" : "none");
}

static void on_delete(struct wsdk_context *ctx)
{
    if (!wsdk_is_root(ctx))
        tell(ctx, "delete", 0, false);
}

#define CALLBACKS(X)                                                                                         \
    X(on_context_create, on_context_create)                                                                  \
    X(on_configure, on_configure)                                                                            \
    X(on_tick, on_tick)                                                                                      \
    X(on_new_connection, on_new_connection)                                                                  \
    X(on_downstream_data, on_downstream_data)                                                                \
    X(on_upstream_data, on_upstream_data)                                                                    \
    X(on_downstream_connection_close, on_downstream_connection_close)                                        \
    X(on_upstream_connection_close, on_upstream_connection_close)                                            \
    X(on_done, on_done)                                                                                      \
    X(on_log, on_log)                                                                                        \
    X(on_delete, on_delete)

WSDK_PLUGIN("tcp_probe", sizeof(struct root_state), 1, CALLBACKS);
