/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of filter chains: a node per step and set of chains that are still possible there, with the keys
 * sorted; steps in which no chain of the set has a key are left out. Looking up allocates nothing.
 */
#include "proxy/listener/filter_chain_match.h"

#include "base/assert.h"

#include <stdlib.h>

enum chain_level {
    LEVEL_DESTINATION_PORT,
    LEVEL_DESTINATION,
    LEVEL_SERVER_NAME,
    LEVEL_TRANSPORT,
    LEVEL_ALPN,
    LEVEL_DIRECT_SOURCE,
    LEVEL_SOURCE_TYPE,
    LEVEL_SOURCE,
    LEVEL_SOURCE_PORT,
    LEVEL_CHAIN, /* a leaf */
};

/* A key of any step. Ranges have `bits` over the 16 bytes of `ip`. */
struct chain_key {
    bool any;
    uint8_t bits;
    uint16_t number;
    uint8_t ip[16];
    struct slice text;
};

struct chain_node {
    enum chain_level level;
    uint32_t index; /* LEVEL_CHAIN: which match */
    uint32_t count; /* keys, sorted; ranges: the longest first */
    const struct chain_key *keys;
    const struct chain_node **children;
    const struct chain_node *any; /* of the chains that do not care; NULL: there are none */
};

/* --- building --- */

struct entry {
    struct chain_key key;
    uint32_t index;
};

struct entries {
    struct entry *items;
    size_t count;
    size_t cap;
    bool failed;
};

struct index_builder {
    const struct filter_chain_match *const *matches;
    struct arena *arena;
    enum filter_chain_index_result result;
};

static void add(struct entries *e, uint32_t index, struct chain_key key)
{
    if (e->count == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 64;
        struct entry *items = realloc(e->items, cap * sizeof(*items));
        if (!items) {
            e->failed = true;
            return;
        }
        e->items = items;
        e->cap = cap;
    }
    e->items[e->count++] = (struct entry){key, index};
}

static void add_any(struct entries *e, uint32_t index)
{
    add(e, index, (struct chain_key){.any = true});
}

static void add_number(struct entries *e, uint32_t index, uint16_t number)
{
    add(e, index, (struct chain_key){.number = number, .any = number == 0});
}

static void add_text(struct entries *e, uint32_t index, struct slice text)
{
    add(e, index, (struct chain_key){.text = text, .any = text.len == 0});
}

static void add_ranges(struct entries *e, uint32_t index, const struct cidr *ranges, size_t count)
{
    if (count == 0)
        add_any(e, index);
    for (size_t i = 0; i < count; i++) {
        struct chain_key key = {0};
        bool ip = address_ip_bytes(&ranges[i].base, key.ip);
        WEIR_ASSERT(ip);
        key.bits = (uint8_t)(ranges[i].prefix_bits + (ranges[i].base.sa.sa_family == AF_INET ? 96u : 0u));
        add(e, index, key);
    }
}

static void add_server_names(struct entries *e, uint32_t index, const struct filter_chain_match *m)
{
    if (m->server_names_count == 0)
        add_any(e, index);
    for (size_t i = 0; i < m->server_names_count; i++) {
        struct slice name = m->server_names[i];
        add_text(e, index, slice_starts_with(name, SLICE_LIT("*.")) ? slice_skip(name, 1) : name);
    }
}

static void add_keys(struct entries *e, uint32_t index, const struct filter_chain_match *m,
                     enum chain_level level)
{
    switch (level) {
    case LEVEL_DESTINATION_PORT:
        add_number(e, index, m->destination_port);
        return;
    case LEVEL_DESTINATION:
        add_ranges(e, index, m->destination_ranges, m->destination_ranges_count);
        return;
    case LEVEL_SERVER_NAME:
        add_server_names(e, index, m);
        return;
    case LEVEL_TRANSPORT:
        add_text(e, index, m->transport_protocol);
        return;
    case LEVEL_ALPN:
        if (m->application_protocols_count == 0)
            add_any(e, index);
        for (size_t i = 0; i < m->application_protocols_count; i++)
            add_text(e, index, m->application_protocols[i]);
        return;
    case LEVEL_DIRECT_SOURCE:
        add_ranges(e, index, m->direct_source_ranges, m->direct_source_ranges_count);
        return;
    case LEVEL_SOURCE_TYPE:
        add_number(e, index, (uint16_t)m->source_type);
        return;
    case LEVEL_SOURCE:
        add_ranges(e, index, m->source_ranges, m->source_ranges_count);
        return;
    case LEVEL_SOURCE_PORT:
        if (m->source_ports_count == 0)
            add_any(e, index);
        for (size_t i = 0; i < m->source_ports_count; i++)
            add_number(e, index, m->source_ports[i]);
        return;
    case LEVEL_CHAIN:
        break;
    }
}

static int compare_keys(const struct chain_key *a, const struct chain_key *b)
{
    if (a->any != b->any)
        return a->any ? -1 : 1;
    if (a->bits != b->bits)
        return a->bits > b->bits ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    int order = memcmp(a->ip, b->ip, sizeof(a->ip));
    return order ? order : slice_cmp(a->text, b->text);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = compare_keys(&x->key, &y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static const struct chain_node *fail(struct index_builder *b, enum filter_chain_index_result result)
{
    if (b->result == FILTER_CHAIN_INDEX_OK)
        b->result = result;
    return NULL;
}

static const struct chain_node *build(struct index_builder *b, enum chain_level level, const uint32_t *set,
                                      size_t count);

static const struct chain_node *leaf(struct index_builder *b, const uint32_t *set, size_t count)
{
    if (count > 1)
        return fail(b, FILTER_CHAIN_INDEX_OVERLAP);
    struct chain_node *node = ARENA_NEW(b->arena, struct chain_node);
    if (!node)
        return fail(b, FILTER_CHAIN_INDEX_NO_MEMORY);
    node->level = LEVEL_CHAIN;
    node->index = set[0];
    return node;
}

/* The child for entries [from, to), which have one key; `set` has room for them. */
static const struct chain_node *child(struct index_builder *b, enum chain_level level,
                                      const struct entries *e, size_t from, size_t to, uint32_t *set)
{
    for (size_t i = from; i < to; i++)
        set[i - from] = e->items[i].index;
    return build(b, level + 1, set, to - from);
}

static size_t distinct_keys(const struct entries *e)
{
    size_t n = 0;
    for (size_t i = 0; i < e->count; i++)
        n += !e->items[i].key.any && (i == 0 || compare_keys(&e->items[i - 1].key, &e->items[i].key) != 0);
    return n;
}

static const struct chain_node *branch(struct index_builder *b, enum chain_level level,
                                       const struct entries *e, uint32_t *set)
{
    size_t n = distinct_keys(e);
    struct chain_node *node = ARENA_NEW(b->arena, struct chain_node);
    struct chain_key *keys = arena_alloc(b->arena, n * sizeof(*keys));
    const struct chain_node **children = arena_alloc(b->arena, n * sizeof(const struct chain_node *));
    if (!node || !keys || !children)
        return fail(b, FILTER_CHAIN_INDEX_NO_MEMORY);
    *node = (struct chain_node){.level = level, .keys = keys, .children = children};
    for (size_t from = 0, to; from < e->count && b->result == FILTER_CHAIN_INDEX_OK; from = to) {
        for (to = from + 1; to < e->count && compare_keys(&e->items[from].key, &e->items[to].key) == 0;)
            to++;
        const struct chain_node *made = child(b, level, e, from, to, set);
        if (e->items[from].key.any) {
            node->any = made;
        } else {
            keys[node->count] = e->items[from].key;
            children[node->count++] = made;
        }
    }
    return node;
}

static const struct chain_node *build(struct index_builder *b, enum chain_level level, const uint32_t *set,
                                      size_t count)
{
    struct entries e = {0};
    for (; level < LEVEL_CHAIN; level++) {
        e.count = 0;
        for (size_t i = 0; i < count; i++)
            add_keys(&e, set[i], b->matches[set[i]], level);
        if (e.failed)
            break;
        qsort(e.items, e.count, sizeof(*e.items), compare_entries);
        if (distinct_keys(&e) > 0)
            break;
    }
    const struct chain_node *node;
    if (e.failed) {
        node = fail(b, FILTER_CHAIN_INDEX_NO_MEMORY);
    } else if (level == LEVEL_CHAIN) {
        node = leaf(b, set, count);
    } else {
        uint32_t *own = malloc(e.count * sizeof(*own));
        node = own ? branch(b, level, &e, own) : fail(b, FILTER_CHAIN_INDEX_NO_MEMORY);
        free(own);
    }
    free(e.items);
    return node;
}

enum filter_chain_index_result filter_chain_index(const struct filter_chain_match *const *matches,
                                                  size_t count, struct arena *arena,
                                                  const struct chain_node **out)
{
    struct index_builder b = {.matches = matches, .arena = arena};
    *out = NULL;
    if (count == 0)
        return FILTER_CHAIN_INDEX_OK;
    uint32_t *all = malloc(count * sizeof(*all));
    if (!all)
        return FILTER_CHAIN_INDEX_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        all[i] = (uint32_t)i;
    *out = build(&b, LEVEL_DESTINATION_PORT, all, count);
    free(all);
    return b.result;
}

/* --- looking up --- */

static const struct chain_node *find_key(const struct chain_node *node, uint32_t from, uint32_t to,
                                         const struct chain_key *key)
{
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int order = compare_keys(&node->keys[middle], key);
        if (order == 0)
            return node->children[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

static const struct chain_node *find_text(const struct chain_node *node, struct slice text)
{
    const struct chain_key key = {.text = text};
    return text.len ? find_key(node, 0, node->count, &key) : NULL;
}

static const struct chain_node *find_number(const struct chain_node *node, uint16_t number)
{
    const struct chain_key key = {.number = number};
    return find_key(node, 0, node->count, &key);
}

/* What Envoy takes for the IP of an address that has none: 255.255.255.255. */
static void ip_of(const struct address *a, uint8_t ip[16])
{
    if (!address_ip_bytes(a, ip)) {
        memset(ip, 0, 10);
        memset(ip + 10, 0xff, 6);
    }
}

static bool is_v4(const uint8_t ip[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(ip, mapped, sizeof(mapped)) == 0;
}

static const struct chain_node *find_range(const struct chain_node *node, const struct address *a)
{
    uint8_t ip[16];
    ip_of(a, ip);
    for (uint32_t from = 0, to; from < node->count; from = to) {
        struct chain_key key = {.bits = node->keys[from].bits};
        for (to = from + 1; to < node->count && node->keys[to].bits == key.bits;)
            to++;
        if (key.bits < 96 && is_v4(ip))
            return NULL; /* IPv6 ranges hold no IPv4 address */
        memcpy(key.ip, ip, sizeof(ip));
        address_mask_bytes(key.ip, sizeof(key.ip), key.bits);
        const struct chain_node *found = find_key(node, from, to, &key);
        if (found)
            return found;
    }
    return NULL;
}

/* The name itself, then each domain that it is below. */
static const struct chain_node *find_server_name(const struct chain_node *node, struct slice name)
{
    const struct chain_node *found = find_text(node, name);
    for (size_t i = 1; !found && i + 1 < name.len; i++) {
        if (name.ptr[i] == '.')
            found = find_text(node, slice_skip(name, i));
    }
    return found;
}

static const struct chain_node *find_alpn(const struct chain_node *node, const struct filter_chain_facts *f)
{
    const struct chain_node *found = NULL;
    for (size_t i = 0; !found && i < f->application_protocols_count; i++)
        found = find_text(node, f->application_protocols[i]);
    return found;
}

bool filter_chain_source_is_local(const struct address *remote, const struct address *local)
{
    return address_is_loopback(remote) || address_eq_ip(remote, local) ||
           (remote->len && remote->sa.sa_family == AF_UNIX);
}

static const struct chain_node *find_source_type(const struct chain_node *node,
                                                 const struct filter_chain_facts *f)
{
    return find_number(node, filter_chain_source_is_local(f->remote, f->local) ? SOURCE_SAME_IP_OR_LOOPBACK
                                                                               : SOURCE_EXTERNAL);
}

static const struct chain_node *find_step(const struct chain_node *node, const struct filter_chain_facts *f)
{
    switch (node->level) {
    case LEVEL_DESTINATION_PORT:
        return find_number(node, address_port(f->local));
    case LEVEL_DESTINATION:
        return find_range(node, f->local);
    case LEVEL_SERVER_NAME:
        return find_server_name(node, f->server_name);
    case LEVEL_TRANSPORT:
        return find_text(node, f->transport_protocol);
    case LEVEL_ALPN:
        return find_alpn(node, f);
    case LEVEL_DIRECT_SOURCE:
        return find_range(node, f->direct_remote);
    case LEVEL_SOURCE_TYPE:
        return find_source_type(node, f);
    case LEVEL_SOURCE:
        return find_range(node, f->remote);
    case LEVEL_SOURCE_PORT:
        return find_number(node, address_port(f->remote));
    case LEVEL_CHAIN:
        break;
    }
    return NULL;
}

ptrdiff_t filter_chain_find(const struct chain_node *root, const struct filter_chain_facts *facts)
{
    const struct chain_node *node = root;
    while (node && node->level != LEVEL_CHAIN) {
        const struct chain_node *next = find_step(node, facts);
        node = next ? next : node->any;
    }
    return node ? (ptrdiff_t)node->index : -1;
}
