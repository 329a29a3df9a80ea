/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes as plugins read them (ABI 2.3, Envoy's attributes), for HTTP streams, connections and root
 * contexts alike: a scope says what there is, and an attribute of what there is not is NOT_FOUND. Nothing
 * here changes a stream. Private to this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_ATTRIBUTES_H
#define WEIR_FILTERS_WASM_WASM_ATTRIBUTES_H

#include "filters/wasm/wasm_plugin.h"
#include "proxy/filter_state.h"
#include "proxy/stream.h"
#include "upstream/typed_value.h"

/* Everything borrowed for the call. All but `plugin` may be NULL. */
struct wasm_scope {
    const struct wasm_plugin *plugin;
    const struct stream *stream;         /* HTTP only */
    struct header_map *response_headers; /* as whoever asks sees them */
    struct header_map *response_trailers;
    const struct stream_info *info; /* of the stream, or of the connection (TCP) */
    const struct filter_state *state;
    struct worker *worker; /* to look at clusters */
    struct slice filter_chain_name;
};

/* What a step of a path arrives at, before it is serialised. */
enum wasm_found {
    WASM_FOUND_NOTHING,
    WASM_FOUND_VALUE,   /* in `out`; has no members */
    WASM_FOUND_TREE,    /* `tree` */
    WASM_FOUND_HEADERS, /* `headers`; NULL is an empty map */
    WASM_FOUND_OPAQUE,  /* a map that cannot be listed: without a further step SERIALIZATION_FAILURE */
};

struct wasm_attribute {
    const struct wasm_scope *scope;
    struct pw_value *out;
    const struct typed_value *tree;
    struct header_map *headers;
};

typedef enum wasm_found (*wasm_attribute_fn)(struct wasm_attribute *a);

/* One attribute below a group ("request", "xds", ...). Tables end with an empty name. */
struct wasm_attribute_row {
    struct slice name;
    wasm_attribute_fn get;
};
#define WASM_ATTRIBUTE(text, fn)                                                                             \
    {                                                                                                        \
        {text, sizeof(text) - 1}, fn                                                                         \
    }

/* wasm_attributes_http.c */
extern const struct wasm_attribute_row wasm_request_attributes[];
extern const struct wasm_attribute_row wasm_response_attributes[];
/* wasm_attributes_connection.c */
extern const struct wasm_attribute_row wasm_connection_attributes[];
extern const struct wasm_attribute_row wasm_upstream_attributes[];
extern const struct wasm_attribute_row wasm_source_attributes[];
extern const struct wasm_attribute_row wasm_destination_attributes[];
/* wasm_attributes_xds.c */
extern const struct wasm_attribute_row wasm_xds_attributes[];

/* `path`: segments separated by NUL, none at the end. OK, NOT_FOUND, SERIALIZATION_FAILURE,
 * INTERNAL_FAILURE. */
enum pw_status wasm_attribute_get(const struct wasm_scope *scope, struct slice path, struct pw_value *out);
/* Stores under "wasm." + path in `state`; what the plugin declared by `root` holds. */
enum pw_status wasm_attribute_set(struct filter_state *state, const struct pw_root *root, struct slice path,
                                  struct slice value);

/* wasm_attributes_metadata.c: the bytes of Envoy's Metadata with namespaces of both kinds. Ends with
 * strbuf_fini. */
bool wasm_metadata_message(const struct typed_value *spaces, const struct typed_value *typed,
                           struct strbuf *out);

/* Where the stream or connection goes, by name; empty: nowhere yet. */
struct slice wasm_scope_cluster_name(const struct wasm_scope *scope);
/* Where the stream or connection goes; NULL: nowhere, or the cluster is gone. */
struct worker_cluster;
struct worker_cluster *wasm_scope_cluster(const struct wasm_scope *scope);

/* --- for the tables --- */

static inline enum wasm_found wasm_found_slice(struct wasm_attribute *a, struct slice value)
{
    if (!value.ptr)
        return WASM_FOUND_NOTHING;
    pw_value_bytes(a->out, (struct pw_slice){value.ptr, value.len});
    return WASM_FOUND_VALUE;
}
/* Empty is "there is none". */
static inline enum wasm_found wasm_found_text(struct wasm_attribute *a, struct slice value)
{
    return value.len ? wasm_found_slice(a, value) : WASM_FOUND_NOTHING;
}
static inline enum wasm_found wasm_found_i64(struct wasm_attribute *a, int64_t value)
{
    pw_value_i64(a->out, value);
    return WASM_FOUND_VALUE;
}
static inline enum wasm_found wasm_found_tree(struct wasm_attribute *a, const struct typed_value *tree)
{
    a->tree = tree;
    return tree ? WASM_FOUND_TREE : WASM_FOUND_NOTHING;
}
/* A duration; 0 is "did not happen". */
static inline enum wasm_found wasm_found_time(struct wasm_attribute *a, uint64_t from_ns, uint64_t to_ns)
{
    return from_ns && to_ns >= from_ns ? wasm_found_i64(a, (int64_t)(to_ns - from_ns)) : WASM_FOUND_NOTHING;
}
/* What Envoy gives for metadata that nobody configured: a message without fields. */
extern const struct typed_value wasm_no_metadata;

#endif
