/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics (ABI 3.13): ids are per VM with the type in their low two bits; what they count lives with the
 * embedder, or in the library's store when the embedder has none.
 */
#include "proxywasm/abi/hostcalls.h"
#include "proxywasm/guest.h"
#include "proxywasm/host_impl.h"

#include <stdlib.h>

#define METRIC_TYPE_BITS 2
#define METRIC_TYPE_MASK 3u

static void *define(const struct pw_host *host, enum pw_metric_type type, struct slice name)
{
    if (host->ops.metric_define)
        return host->ops.metric_define(host->ctx, type, slice_to_pw(name));
    return metric_store_define((struct metric_store *)&host->metrics, type, name);
}

static void metric_add(const struct pw_host *host, void *metric, int64_t delta)
{
    if (host->ops.metric_add)
        host->ops.metric_add(host->ctx, metric, delta);
    else
        metric_store_add(metric, delta);
}

static void metric_record(const struct pw_host *host, void *metric, uint64_t value)
{
    if (host->ops.metric_record)
        host->ops.metric_record(host->ctx, metric, value);
    else
        metric_store_record(metric, value);
}

static uint64_t metric_get(const struct pw_host *host, void *metric)
{
    return host->ops.metric_get ? host->ops.metric_get(host->ctx, metric) : metric_store_get(metric);
}

/* Index of a live id of a known type, or NULL. */
static void *find(const struct pw_vm *vm, uint32_t id, uint32_t type)
{
    WEIR_ASSERT(type <= PW_METRIC_HISTOGRAM);
    uint32_t number = id >> METRIC_TYPE_BITS;
    if (number == 0 || number > vm->metrics.count[type])
        return NULL;
    return vm->metrics.handles[type][number - 1];
}

/* Room for one more of this type. */
static bool reserve(struct vm_metrics *m, uint32_t type)
{
    if (m->count[type] < m->cap[type])
        return true;
    uint32_t cap = m->cap[type] ? m->cap[type] * 2 : 8;
    void **handles = realloc(m->handles[type], cap * sizeof(*handles));
    if (!handles)
        return false;
    m->handles[type] = handles;
    m->cap[type] = cap;
    return true;
}

uint32_t hostcall_proxy_define_metric(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t type = arg_u32(args[0]);
    struct slice name;
    if (type > PW_METRIC_HISTOGRAM)
        return PW_STATUS_BAD_ARGUMENT;
    if (!guest_slice(vm, args[1], args[2], &name))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    if (!guest_put_u32(vm, args[3], 0))
        return PW_STATUS_INVALID_MEMORY_ACCESS;
    if (name.len > vm->limits.metric_name_bytes_max)
        return vm_limit_passed(vm, PW_LIMIT_metric_name_bytes_max);
    if (vm->metrics_count >= vm->limits.metrics_max)
        return vm_limit_passed(vm, PW_LIMIT_metrics_max);
    if (!reserve(&vm->metrics, type))
        return PW_STATUS_INTERNAL_FAILURE;
    void *handle = define(vm->host, type, name);
    if (!handle)
        return PW_STATUS_INTERNAL_FAILURE;
    uint32_t number = vm->metrics.count[type]++;
    vm->metrics.handles[type][number] = handle;
    vm->metrics_count++;
    guest_put_u32(vm, args[3], (number + 1) << METRIC_TYPE_BITS | type); /* was writable above */
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_increment_metric(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t id = arg_u32(args[0]);
    uint32_t type = id & METRIC_TYPE_MASK;
    int64_t delta = (int64_t)args[1];
    if (type > PW_METRIC_GAUGE)
        return PW_STATUS_BAD_ARGUMENT;
    void *metric = find(vm, id, type);
    if (!metric)
        return PW_STATUS_NOT_FOUND;
    if (type == PW_METRIC_COUNTER && delta <= 0)
        return PW_STATUS_BAD_ARGUMENT;
    if (delta != 0)
        metric_add(vm->host, metric, delta);
    return PW_STATUS_OK;
}

/* A counter adds what is recorded; the embedder's counter takes signed steps. */
static void counter_record(const struct pw_host *host, void *metric, uint64_t value)
{
    if (value > INT64_MAX) {
        metric_add(host, metric, INT64_MAX);
        value -= INT64_MAX;
    }
    if (value > INT64_MAX) {
        metric_add(host, metric, INT64_MAX);
        value -= INT64_MAX;
    }
    if (value > 0)
        metric_add(host, metric, (int64_t)value);
}

uint32_t hostcall_proxy_record_metric(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t id = arg_u32(args[0]);
    uint32_t type = id & METRIC_TYPE_MASK;
    void *metric = type <= PW_METRIC_HISTOGRAM ? find(vm, id, type) : NULL;
    if (!metric)
        return PW_STATUS_NOT_FOUND;
    if (type == PW_METRIC_COUNTER)
        counter_record(vm->host, metric, args[1]);
    else
        metric_record(vm->host, metric, args[1]);
    return PW_STATUS_OK;
}

uint32_t hostcall_proxy_get_metric(struct pw_vm *vm, const uint64_t *args)
{
    uint32_t id = arg_u32(args[0]);
    uint32_t type = id & METRIC_TYPE_MASK;
    if (type > PW_METRIC_GAUGE)
        return PW_STATUS_BAD_ARGUMENT;
    void *metric = find(vm, id, type);
    if (!metric)
        return PW_STATUS_NOT_FOUND;
    return guest_put_u64(vm, args[1], metric_get(vm->host, metric)) ? PW_STATUS_OK
                                                                    : PW_STATUS_INVALID_MEMORY_ACCESS;
}
