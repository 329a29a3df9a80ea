/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing a filter chain for a connection: the most specific match per step, in Envoy's order, without going
 * back. There is no TLS here, so chains that ask for a server name or ALPN are never taken.
 */
#include "proxy/listener.h"

/* How well a chain fits in one step: 0 not at all, 1 it does not care, more: the more specific. */
typedef unsigned fit_fn(const struct filter_chain_match *m, const struct address *remote,
                        const struct address *local);

static unsigned fit_ranges(const struct cidr *ranges, size_t count, const struct address *a)
{
    unsigned best = count == 0 ? 1 : 0;
    for (size_t i = 0; i < count; i++) {
        if (cidr_contains(&ranges[i], a) && ranges[i].prefix_bits + 2u > best)
            best = ranges[i].prefix_bits + 2u;
    }
    return best;
}

static unsigned fit_destination_port(const struct filter_chain_match *m, const struct address *remote,
                                     const struct address *local)
{
    (void)remote;
    if (m->destination_port == 0)
        return 1;
    return m->destination_port == address_port(local) ? 2 : 0;
}

static unsigned fit_destination(const struct filter_chain_match *m, const struct address *remote,
                                const struct address *local)
{
    (void)remote;
    return fit_ranges(m->destination_ranges, m->destination_ranges_count, local);
}

static unsigned fit_server_name(const struct filter_chain_match *m, const struct address *remote,
                                const struct address *local)
{
    (void)remote;
    (void)local;
    return m->server_names_count == 0;
}

static unsigned fit_transport(const struct filter_chain_match *m, const struct address *remote,
                              const struct address *local)
{
    (void)remote;
    (void)local;
    if (m->transport_protocol.len == 0)
        return 1;
    return slice_eq(m->transport_protocol, SLICE_LIT("raw_buffer")) ? 2 : 0;
}

static unsigned fit_alpn(const struct filter_chain_match *m, const struct address *remote,
                         const struct address *local)
{
    (void)remote;
    (void)local;
    return m->application_protocols_count == 0;
}

static unsigned fit_direct_source(const struct filter_chain_match *m, const struct address *remote,
                                  const struct address *local)
{
    (void)local;
    return fit_ranges(m->direct_source_ranges, m->direct_source_ranges_count, remote);
}

static unsigned fit_source_type(const struct filter_chain_match *m, const struct address *remote,
                                const struct address *local)
{
    bool same = address_is_loopback(remote) || address_eq_ip(remote, local) ||
                (remote->len && remote->sa.sa_family == AF_UNIX);
    if (m->source_type == SOURCE_ANY)
        return 1;
    return same == (m->source_type == SOURCE_SAME_IP_OR_LOOPBACK) ? 2 : 0;
}

static unsigned fit_source(const struct filter_chain_match *m, const struct address *remote,
                           const struct address *local)
{
    (void)local;
    return fit_ranges(m->source_ranges, m->source_ranges_count, remote);
}

static unsigned fit_source_port(const struct filter_chain_match *m, const struct address *remote,
                                const struct address *local)
{
    (void)local;
    if (m->source_ports_count == 0)
        return 1;
    for (size_t i = 0; i < m->source_ports_count; i++) {
        if (m->source_ports[i] == address_port(remote))
            return 2;
    }
    return 0;
}

static fit_fn *const steps[] = {
    fit_destination_port, fit_destination, fit_server_name, fit_transport,   fit_alpn,
    fit_direct_source,    fit_source_type, fit_source,      fit_source_port,
};

/* Whether `a` beats `b` in the first step where they differ. */
static bool more_specific(const struct filter_chain_match *a, const struct filter_chain_match *b,
                          const struct address *remote, const struct address *local)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(steps); i++) {
        unsigned x = steps[i](a, remote, local), y = steps[i](b, remote, local);
        if (x != y)
            return x > y;
    }
    return false;
}

/* How many steps the chain survives. */
static size_t steps_passed(const struct filter_chain_match *m, const struct address *remote,
                           const struct address *local)
{
    size_t i = 0;
    while (i < WEIR_ARRAY_LEN(steps) && steps[i](m, remote, local) > 0)
        i++;
    return i;
}

const struct filter_chain *listener_find_chain(const struct listener_config *config,
                                               const struct address *remote, const struct address *local)
{
    /* Without going back: a chain that is the most specific in an early step and fails in a later one still
     * shuts out those that are less specific early. */
    const struct filter_chain *best = NULL;
    for (size_t i = 0; i < config->chains_count; i++) {
        const struct filter_chain *c = &config->chains[i];
        if (!best || more_specific(&c->match, &best->match, remote, local))
            best = c;
    }
    if (best && steps_passed(&best->match, remote, local) == WEIR_ARRAY_LEN(steps))
        return best;
    return config->default_chain;
}
