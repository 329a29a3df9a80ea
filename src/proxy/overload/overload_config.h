/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overload manager's configuration: what is measured, and what each point does about it. Plain C in its
 * own arena; immutable once built.
 */
#ifndef WEIR_PROXY_OVERLOAD_CONFIG_H
#define WEIR_PROXY_OVERLOAD_CONFIG_H

#include "base/arena.h"
#include "proxy/overload/overload.h"

enum overload_monitor {
    OVERLOAD_FIXED_HEAP,
    OVERLOAD_CONNECTIONS,
    OVERLOAD_INJECTED,
    OVERLOAD_CGROUP_MEMORY,
    OVERLOAD_CPU,
};

struct overload_resource {
    struct slice name;
    enum overload_monitor monitor;
    uint64_t max;         /* bytes, connections; cgroup: 0: the cgroup's own limit counts */
    bool container;       /* cpu: of the cgroup's share, not of the machine */
    const char *filename; /* injected: a number from 0 to 1 stands in it */
};

/* threshold: from == to. */
struct overload_trigger {
    size_t resource;
    double from; /* the state is 0 below (and at, when from < to), and grows evenly */
    double to;   /* up to 1 here */
};

struct overload_action {
    enum overload_point point;
    const struct overload_trigger *triggers;
    size_t triggers_count;
};

struct overload_floor {
    enum overload_timer timer;
    uint64_t min_ms;
    uint32_t min_share; /* of 65536; 0: min_ms counts */
};

#define OVERLOAD_CONFIG_BYTES_MAX (1u << 20) /* 1 MiB: a handful of names */

struct overload_config {
    struct arena arena;
    uint64_t refresh_ms;         /* default 1 s */
    uint32_t track_streams_from; /* power of two, bytes; 0: streams are not tracked */
    const struct overload_resource *resources;
    size_t resources_count;
    const struct overload_action *actions; /* and load shed points */
    size_t actions_count;
    const struct overload_floor *floors;
    size_t floors_count;
};

#endif
