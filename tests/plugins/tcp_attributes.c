/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_attributes.c: logs what each property of its configuration (words, with dots between the segments)
 * reads in every callback of a TCP connection, and once in the root: "PHASE PATH: STATUS VALUE", the value
 * with what is not printable as hexadecimal numbers. Tests only.
 */
#include <wsdk.h>

#define SHOWN_MAX 512
#define PATH_MAX  128

struct root_state {
    struct wsdk_bytes paths;
};

static void show(char out[SHOWN_MAX], struct wsdk_bytes value)
{
    static const char digits[] = "0123456789abcdef";
    size_t len = 0;
    for (size_t i = 0; i < value.len && len + 5 < SHOWN_MAX; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c > ' ' && c < 0x7f) {
            out[len++] = (char)c;
            continue;
        }
        out[len++] = '\\';
        out[len++] = digits[c >> 4];
        out[len++] = digits[c & 15];
    }
    out[len] = '\0';
}

static void ask(struct wsdk_context *ctx, const char *phase, struct wsdk_bytes dotted)
{
    char path[PATH_MAX], text[SHOWN_MAX];
    struct wsdk_bytes value = WSDK_NONE;
    for (size_t i = 0; i < dotted.len; i++)
        path[i] = dotted.data[i] == '.' ? '\0' : dotted.data[i];
    enum wsdk_status status = wsdk_property_get(ctx, (struct wsdk_bytes){path, dotted.len}, &value);
    show(text, status == WSDK_OK ? value : WSDK_NONE);
    wsdk_log(ctx, WSDK_INFO, "%s %.*s: %d %s", phase, WSDK_FMT(dotted), (int)status, text);
}

static void ask_all(struct wsdk_context *ctx, const char *phase)
{
    const struct root_state *r = wsdk_root_state(ctx);
    struct wsdk_bytes rest = r->paths;
    while (rest.len > 0) {
        struct wsdk_bytes word = wsdk_before(rest, " ");
        if (word.len > 0 && word.len <= PATH_MAX)
            ask(ctx, phase, word);
        size_t used = word.len < rest.len ? word.len + 1 : word.len;
        rest = (struct wsdk_bytes){rest.data + used, rest.len - used};
    }
    wsdk_log(ctx, WSDK_INFO, "%s complete", phase);
}

static bool on_configure(struct wsdk_context *root, size_t bytes)
{
    struct root_state *r = wsdk_state(root);
    struct wsdk_bytes text;
    if (wsdk_configuration(root, bytes, &text) != WSDK_OK)
        return false;
    r->paths = wsdk_keep(root, text);
    return wsdk_tick_ms(root, 1) == WSDK_OK;
}

static void on_tick(struct wsdk_context *root)
{
    wsdk_tick_ms(root, 0);
    ask_all(root, "root");
}

static enum wsdk_action on_new_connection(struct wsdk_context *ctx)
{
    wsdk_property_set(ctx, WSDK_STR("mine"), WSDK_STR("set"));
    ask_all(ctx, "new");
    return WSDK_CONTINUE;
}

static enum wsdk_action on_downstream_data(struct wsdk_context *ctx, size_t bytes, bool end)
{
    (void)bytes;
    if (!end)
        ask_all(ctx, "downstream");
    return WSDK_CONTINUE;
}

static enum wsdk_action on_upstream_data(struct wsdk_context *ctx, size_t bytes, bool end)
{
    (void)bytes;
    if (!end)
        ask_all(ctx, "upstream");
    return WSDK_CONTINUE;
}

static void on_log(struct wsdk_context *ctx)
{
    ask_all(ctx, "log");
}

#define CALLBACKS(X)                                                                                         \
    X(on_configure, on_configure)                                                                            \
    X(on_tick, on_tick)                                                                                      \
    X(on_new_connection, on_new_connection)                                                                  \
    X(on_downstream_data, on_downstream_data)                                                                \
    X(on_upstream_data, on_upstream_data)                                                                    \
    X(on_log, on_log)

WSDK_PLUGIN("tcp_attributes", sizeof(struct root_state), 1, CALLBACKS);
