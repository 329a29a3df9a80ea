/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a property path: the group, the attribute in it, then steps into maps, messages and lists; and the
 * serialised form of what is found there (ABI 2.3).
 */
#include "filters/wasm/wasm_attributes.h"

#include "base/assert.h"
#include "filters/wasm/foreign.h"
#include "proxy/connection_facts.h"
#include "proxy/dynamic_metadata.h"

#include <endian.h>

/* proxy_set_property keys live under this prefix in the filter state, as in Envoy. */
#define SET_PREFIX     "wasm."
#define PATH_BYTES_MAX 1024u
/* A serialised value: the largest that the pairs format of a guest takes back. */
#define VALUE_BYTES_MAX (1u << 20)

static const struct typed_member no_metadata_members[] = {
    {{"filter_metadata", 15}, {.kind = TYPED_MAP}},
    {{"typed_filter_metadata", 21}, {.kind = TYPED_MAP}},
};
const struct typed_value wasm_no_metadata = {
    .kind = TYPED_MESSAGE, .bytes = {"", 0}, .members = no_metadata_members, .members_count = 2};

/* --- the serialised forms --- */

static bool put_u32(struct strbuf *b, size_t n)
{
    uint32_t le = htole32((uint32_t)n);
    return strbuf_append(b, slice_of(&le, sizeof(le)));
}

static bool put_u64(struct strbuf *b, uint64_t n)
{
    n = htole64(n);
    return strbuf_append(b, slice_of(&n, sizeof(n)));
}

static bool serialise(const struct typed_value *v, struct strbuf *b);

/* The pairs format: keys with values, or a list's items as keys with empty values. */
static bool serialise_members(const struct typed_value *v, struct strbuf *b)
{
    bool list = v->kind == TYPED_LIST, ok = true;
    struct strbuf text;
    strbuf_init(&text, VALUE_BYTES_MAX);
    put_u32(b, v->members_count);
    for (size_t i = 0; ok && i < v->members_count; i++) {
        size_t start = text.len, middle;
        if (!list)
            strbuf_append(&text, v->members[i].name);
        else
            ok = serialise(&v->members[i].value, &text);
        middle = text.len;
        strbuf_append_char(&text, '\0');
        if (!list)
            ok = serialise(&v->members[i].value, &text);
        size_t end = text.len;
        strbuf_append_char(&text, '\0');
        put_u32(b, middle - start);
        put_u32(b, list ? 0 : end - middle - 1);
    }
    ok = ok && !text.failed && strbuf_append(b, strbuf_slice(&text));
    strbuf_fini(&text);
    return ok;
}

/* False: it has no form (null), or is too large. */
static bool serialise(const struct typed_value *v, struct strbuf *b)
{
    uint64_t bits;
    switch (v->kind) {
    case TYPED_NULL:
        return false;
    case TYPED_BOOL:
        return strbuf_append_char(b, v->boolean ? 1 : 0);
    case TYPED_INT:
        return put_u64(b, (uint64_t)v->i);
    case TYPED_UINT:
        return put_u64(b, v->u);
    case TYPED_DOUBLE:
        memcpy(&bits, &v->d, sizeof(bits));
        return put_u64(b, bits);
    case TYPED_STRING:
    case TYPED_BYTES:
    case TYPED_MESSAGE:
        return v->bytes.len == 0 || strbuf_append(b, v->bytes);
    case TYPED_LIST:
    case TYPED_MAP:
        return serialise_members(v, b);
    }
    return false;
}

static enum pw_status give_tree(const struct typed_value *v, struct pw_value *out)
{
    if (v->kind == TYPED_STRING || v->kind == TYPED_BYTES || v->kind == TYPED_MESSAGE) {
        pw_value_bytes(out, (struct pw_slice){v->bytes.ptr, v->bytes.len});
        return PW_STATUS_OK;
    }
    struct strbuf b;
    strbuf_init(&b, VALUE_BYTES_MAX);
    bool ok = serialise(v, &b) && !b.failed;
    if (ok)
        pw_value_copy(out, (struct pw_slice){strbuf_cstr(&b), b.len});
    strbuf_fini(&b);
    return ok ? PW_STATUS_OK : PW_STATUS_SERIALIZATION_FAILURE;
}

/* --- header maps --- */

static size_t joined_bytes(const struct header_map *m, const struct header *first)
{
    size_t len = first->value.len;
    for (const struct header *h = first; (h = header_map_find_next(m, first->name, h)) != NULL;)
        len += 1 + h->value.len;
    return len;
}

/* Envoy joins the values of a repeated header with ','. */
static bool join(const struct header_map *m, const struct header *first, struct strbuf *b)
{
    strbuf_append(b, first->value);
    for (const struct header *h = first; (h = header_map_find_next(m, first->name, h)) != NULL;) {
        strbuf_append_char(b, ',');
        strbuf_append(b, h->value);
    }
    return !b->failed;
}

static enum pw_status give_header(const struct header_map *m, struct slice name, struct pw_value *out)
{
    const struct header *first = m ? header_map_find(m, name) : NULL;
    if (!first && m && slice_eq(name, SLICE_LIT("host")))
        first = header_map_find(m, SLICE_LIT(":authority")); /* one and the same in Envoy */
    if (!first)
        return PW_STATUS_NOT_FOUND;
    if (!header_map_find_next(m, first->name, first)) {
        pw_value_bytes(out, (struct pw_slice){first->value.ptr, first->value.len});
        return PW_STATUS_OK;
    }
    struct strbuf b;
    strbuf_init(&b, VALUE_BYTES_MAX);
    bool ok = join(m, first, &b);
    pw_value_copy(out, (struct pw_slice){strbuf_cstr(&b), b.len});
    strbuf_fini(&b);
    return ok ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}

/* Each name once. */
static enum pw_status give_headers(const struct header_map *m, struct pw_value *out)
{
    struct strbuf lengths, text;
    size_t count = 0;
    strbuf_init(&lengths, VALUE_BYTES_MAX);
    strbuf_init(&text, VALUE_BYTES_MAX);
    put_u32(&lengths, 0);
    uint32_t cursor = 0;
    for (const struct header *h; m && (h = header_map_next(m, &cursor)) != NULL;) {
        if (header_map_find(m, h->name) != h)
            continue;
        count++;
        put_u32(&lengths, h->name.len);
        put_u32(&lengths, joined_bytes(m, h));
        strbuf_append(&text, h->name);
        strbuf_append_char(&text, '\0');
        join(m, h, &text);
        strbuf_append_char(&text, '\0');
    }
    bool ok =
        !text.failed && (text.len == 0 || strbuf_append(&lengths, strbuf_slice(&text))) && !lengths.failed;
    if (ok) {
        uint32_t le = htole32((uint32_t)count);
        memcpy(lengths.ptr, &le, sizeof(le));
        pw_value_copy(out, (struct pw_slice){lengths.ptr, lengths.len});
    }
    strbuf_fini(&lengths);
    strbuf_fini(&text);
    return ok ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}

/* --- paths --- */

static enum pw_status walk_tree(const struct typed_value *v, struct slice rest, struct pw_value *out)
{
    struct slice step;
    while (v && slice_split(&rest, '\0', &step))
        v = typed_value_member(v, step);
    return v ? give_tree(v, out) : PW_STATUS_NOT_FOUND;
}

/* The rest of the path from what was found; `rest.ptr` NULL: this is it. */
static enum pw_status finish(struct wasm_attribute *a, enum wasm_found found, struct slice rest)
{
    struct slice name;
    switch (found) {
    case WASM_FOUND_NOTHING:
        return PW_STATUS_NOT_FOUND;
    case WASM_FOUND_VALUE:
        return rest.ptr ? PW_STATUS_NOT_FOUND : PW_STATUS_OK;
    case WASM_FOUND_TREE:
        return walk_tree(a->tree, rest, a->out);
    case WASM_FOUND_HEADERS:
        if (!slice_split(&rest, '\0', &name))
            return give_headers(a->headers, a->out);
        return rest.ptr ? PW_STATUS_NOT_FOUND : give_header(a->headers, name, a->out);
    case WASM_FOUND_OPAQUE:
        return rest.ptr ? PW_STATUS_NOT_FOUND : PW_STATUS_SERIALIZATION_FAILURE;
    }
    return PW_STATUS_NOT_FOUND;
}

static enum pw_status in_group(struct wasm_attribute *a, const struct wasm_attribute_row *rows,
                               struct slice rest)
{
    struct slice name;
    if (!slice_split(&rest, '\0', &name))
        return PW_STATUS_SERIALIZATION_FAILURE; /* the group itself */
    for (; rows->name.ptr; rows++) {
        if (slice_eq(rows->name, name))
            return finish(a, rows->get(a), rest);
    }
    return PW_STATUS_NOT_FOUND;
}

static enum pw_status one_of(struct wasm_attribute *a, const struct wasm_attribute_row *rows,
                             struct slice name, struct slice rest, bool *known)
{
    *known = false;
    for (; rows->name.ptr; rows++) {
        if (!slice_eq(rows->name, name))
            continue;
        *known = true;
        return finish(a, rows->get(a), rest);
    }
    return PW_STATUS_NOT_FOUND;
}

/* --- filter state --- */

static enum pw_status give_entry(const struct filter_state_entry *e, struct slice rest, struct pw_value *out)
{
    if (!e || rest.ptr)
        return PW_STATUS_NOT_FOUND;
    pw_value_bytes(out, (struct pw_slice){e->value.ptr, e->value.len});
    return PW_STATUS_OK;
}

static struct slice stored_key(char *dst, struct slice path)
{
    WEIR_ASSERT(path.len <= PATH_BYTES_MAX);
    memcpy(dst, SET_PREFIX, sizeof(SET_PREFIX) - 1);
    if (path.len)
        memcpy(dst + sizeof(SET_PREFIX) - 1, path.ptr, path.len);
    return slice_of(dst, path.len + sizeof(SET_PREFIX) - 1);
}

/* What proxy_set_property stored. Beyond Envoy, a path of several segments is found as it was written. */
static enum pw_status stored(const struct wasm_scope *scope, struct slice first, struct slice path,
                             struct slice rest, struct pw_value *out)
{
    char key[PATH_BYTES_MAX + sizeof(SET_PREFIX)];
    const struct filter_state_entry *e = filter_state_get(scope->state, stored_key(key, first));
    if (e)
        return give_entry(e, rest, out);
    return give_entry(filter_state_get(scope->state, stored_key(key, path)), SLICE_EMPTY, out);
}

enum pw_status wasm_attribute_set(struct filter_state *state, const struct pw_root *root, struct slice path,
                                  struct slice value)
{
    char key[PATH_BYTES_MAX + sizeof(SET_PREFIX)];
    if (path.len == 0 || path.len > PATH_BYTES_MAX)
        return PW_STATUS_BAD_ARGUMENT;
    switch (filter_state_set(state, stored_key(key, path), value, foreign_declared(root, path))) {
    case FILTER_STATE_OK:
        return PW_STATUS_OK;
    case FILTER_STATE_READ_ONLY:
        return PW_STATUS_BAD_ARGUMENT;
    case FILTER_STATE_FULL:
        break;
    }
    return PW_STATUS_INTERNAL_FAILURE;
}

/* --- groups --- */

/* Whose subject must be there for the group to be. */
enum group_need { NEED_NOTHING, NEED_INFO };

static const struct group {
    struct slice name;
    const struct wasm_attribute_row *rows;
    enum group_need need;
} groups[] = {
    {{"request", 7}, wasm_request_attributes, NEED_INFO},
    {{"response", 8}, wasm_response_attributes, NEED_INFO},
    {{"connection", 10}, wasm_connection_attributes, NEED_INFO},
    {{"upstream", 8}, wasm_upstream_attributes, NEED_INFO},
    {{"source", 6}, wasm_source_attributes, NEED_INFO},
    {{"destination", 11}, wasm_destination_attributes, NEED_INFO},
    {{"xds", 3}, wasm_xds_attributes, NEED_NOTHING},
};

static bool there(const struct wasm_scope *scope, enum group_need need)
{
    return need == NEED_NOTHING || scope->info;
}

/* Only listener filters note messages. */
static enum pw_status metadata(const struct wasm_scope *scope, struct slice rest, struct pw_value *out)
{
    static const struct typed_value none = {.kind = TYPED_MAP};
    const struct connection_facts *facts = scope->info ? scope->info->facts : NULL;
    const struct typed_value *spaces = scope->info ? dynamic_metadata(scope->info) : NULL;
    if (!scope->info)
        return PW_STATUS_NOT_FOUND;
    if (!spaces)
        return walk_tree(&wasm_no_metadata, rest, out);
    const struct typed_value *typed = facts && facts->typed_metadata ? facts->typed_metadata : &none;
    const struct typed_member members[] = {{{"filter_metadata", 15}, *spaces},
                                           {{"typed_filter_metadata", 21}, *typed}};
    struct typed_value whole = {.kind = TYPED_MESSAGE, .members = members, .members_count = 2};
    struct strbuf message;
    if (rest.ptr)
        return walk_tree(&whole, rest, out);
    bool ok = wasm_metadata_message(spaces, typed, &message);
    if (ok)
        pw_value_copy(out, (struct pw_slice){message.ptr, message.len});
    strbuf_fini(&message);
    return ok ? PW_STATUS_OK : PW_STATUS_INTERNAL_FAILURE;
}

/* Filters write none; it is there as soon as an upstream is. */
static enum wasm_found upstream_state(struct wasm_attribute *a)
{
    const struct stream_info *info = a->scope->info;
    return info && info->upstream_remote.len ? WASM_FOUND_OPAQUE : WASM_FOUND_NOTHING;
}

static enum wasm_found connection_id(struct wasm_attribute *a)
{
    return a->scope->info ? wasm_found_i64(a, (int64_t)a->scope->info->connection_id) : WASM_FOUND_NOTHING;
}

static const struct wasm_attribute_row singles[] = {WASM_ATTRIBUTE("upstream_filter_state", upstream_state),
                                                    WASM_ATTRIBUTE("connection_id", connection_id),
                                                    {{0}, NULL}};

/* "filter_state" with a key: any filter's state, not only plugins'. */
static enum pw_status any_state(const struct wasm_scope *scope, struct slice rest, struct pw_value *out)
{
    struct slice key;
    if (!scope->state)
        return PW_STATUS_NOT_FOUND;
    if (!slice_split(&rest, '\0', &key))
        return PW_STATUS_SERIALIZATION_FAILURE;
    return give_entry(filter_state_get(scope->state, key), rest, out);
}

enum pw_status wasm_attribute_get(const struct wasm_scope *scope, struct slice path, struct pw_value *out)
{
    struct wasm_attribute a = {.scope = scope, .out = out};
    struct slice rest = path, first;
    bool known;
    if (path.len == 0 || path.len > PATH_BYTES_MAX || !slice_split(&rest, '\0', &first))
        return PW_STATUS_NOT_FOUND;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(groups); i++) {
        if (slice_eq(groups[i].name, first))
            return there(scope, groups[i].need) ? in_group(&a, groups[i].rows, rest) : PW_STATUS_NOT_FOUND;
    }
    enum pw_status status = one_of(&a, singles, first, rest, &known);
    if (known)
        return status;
    if (slice_eq(first, SLICE_LIT("metadata")))
        return metadata(scope, rest, out);
    if (slice_eq(first, SLICE_LIT("filter_state")))
        return any_state(scope, rest, out);
    if (scope->state) {
        status = stored(scope, first, path, rest, out);
        if (status != PW_STATUS_NOT_FOUND)
            return status;
    }
    /* The names that Envoy had before 1.33 without "xds."; old plugins still ask for them. */
    return one_of(&a, wasm_xds_attributes, first, rest, &known);
}
