/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measuring, as Envoy's monitors of the same names do it: cgroup files of version 2 if they are there, else
 * of version 1; processors by the share of their time since the last look, smoothed.
 */
#include "server/overload_meter.h"

#include "base/clock.h"
#include "server/small_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CPU_WEIGHT_OF_NEW      0.05   /* Envoy's dampening */
#define MILLICORES_PER_CORE    1000.0 /* Envoy's unit of cpu.shares */
#define CGROUP_UNLIMITED_BYTES (UINT64_C(1) << 62)

/* A number and at most the end of its line. */
static bool read_number(const char *root, const char *path, double *out)
{
    char text[64], *end;
    if (!small_file_read(root, path, text, sizeof(text)))
        return false;
    *out = strtod(text, &end);
    while (*end == '\n' || *end == ' ')
        end++;
    return end != text && *end == '\0' && *out >= 0; /* NaN is not */
}

/* --- memory --- */

/* Memory that is ours alone: the heap, stacks, and what plugins have. Files that are mapped do not count. */
static bool private_bytes(const char *root, double *out)
{
    char text[128];
    unsigned long size, resident, shared;
    if (!small_file_read(root, "/proc/self/statm", text, sizeof(text)) ||
        sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3 || resident < shared)
        return false;
    *out = (double)(resident - shared) * (double)sysconf(_SC_PAGESIZE);
    return true;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* Without any limit there is no pressure. */
static bool cgroup_memory(const struct overload_meter *m, double *out)
{
    double used, limit, wanted = m->resource->max ? (double)m->resource->max : (double)CGROUP_UNLIMITED_BYTES;
    char text[64];
    if (read_number(m->root, "/sys/fs/cgroup/memory.current", &used)) {
        if (!small_file_read(m->root, "/sys/fs/cgroup/memory.max", text, sizeof(text)))
            return false;
        limit = strncmp(text, "max", 3) == 0 ? (double)CGROUP_UNLIMITED_BYTES : strtod(text, NULL);
    } else if (!read_number(m->root, "/sys/fs/cgroup/memory/memory.usage_in_bytes", &used) ||
               !read_number(m->root, "/sys/fs/cgroup/memory/memory.limit_in_bytes", &limit)) {
        return false;
    }
    limit = least(limit, wanted);
    *out = limit > 0 && limit < (double)CGROUP_UNLIMITED_BYTES ? used / limit : 0;
    return true;
}

/* --- processors --- */

/* Of all processors, in ticks: user, nice and system, beside these and idle. */
static bool host_cpu(const char *root, double *work, double *total)
{
    char text[512];
    unsigned long long user, nice, system, idle;
    if (!small_file_read(root, "/proc/stat", text, sizeof(text)) ||
        sscanf(text, "cpu %llu %llu %llu %llu", &user, &nice, &system, &idle) != 4)
        return false;
    *work = (double)user + (double)nice + (double)system;
    *total = *work + (double)idle;
    return true;
}

/* "0-3,8": how many are named. */
static double count_cpus(const char *list)
{
    double count = 0;
    for (const char *at = list; *at >= '0' && *at <= '9';) {
        char *end;
        unsigned long first = strtoul(at, &end, 10), last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
        count += last >= first ? (double)(last - first) + 1 : 0;
        at = *end == ',' ? end + 1 : end;
    }
    return count;
}

/* Version 2: processors that the cgroup may use at a time. */
static bool cgroup_cores(const char *root, double *out)
{
    char text[256];
    double quota, period;
    if (!small_file_read(root, "/sys/fs/cgroup/cpuset.cpus.effective", text, sizeof(text)))
        return false;
    *out = count_cpus(text);
    if (!small_file_read(root, "/sys/fs/cgroup/cpu.max", text, sizeof(text)))
        return false;
    if (sscanf(text, "%lf %lf", &quota, &period) == 2 && period > 0)
        *out = least(*out, quota / period);
    return *out > 0;
}

static bool container_cpu(const char *root, double *work, double *total)
{
    char text[512];
    unsigned long long usage_us;
    double usage_ns, shares, cores;
    *total = (double)monotonic_ns();
    if (small_file_read(root, "/sys/fs/cgroup/cpu.stat", text, sizeof(text)) &&
        sscanf(text, "usage_usec %llu", &usage_us) == 1) {
        if (!cgroup_cores(root, &cores))
            return false;
        *work = (double)usage_us * 1000 / cores;
        return true;
    }
    if (!read_number(root, "/sys/fs/cgroup/cpuacct/cpuacct.usage", &usage_ns) ||
        !read_number(root, "/sys/fs/cgroup/cpu/cpu.shares", &shares) || shares <= 0)
        return false;
    *work = usage_ns * MILLICORES_PER_CORE / shares;
    return true;
}

static bool look_at_cpu(struct overload_meter *m, double *work, double *total)
{
    return m->resource->container ? container_cpu(m->root, work, total) : host_cpu(m->root, work, total);
}

static bool cpu_utilization(struct overload_meter *m, double *out)
{
    double work, total;
    if (!look_at_cpu(m, &work, &total))
        return false;
    double worked = work - m->work, passed = total - m->total;
    /* Also of what is not to be believed: a cgroup that got more processors has worked less. */
    if (passed != 0) {
        m->work = work;
        m->total = total;
    }
    if (passed <= 0 || worked < 0)
        return false;
    m->utilization += CPU_WEIGHT_OF_NEW * (least(worked / passed, 1) - m->utilization);
    *out = m->utilization;
    return true;
}

void overload_meter_init(struct overload_meter *m, const struct overload_resource *r, const char *root)
{
    *m = (struct overload_meter){.resource = r, .root = root};
    if (r->monitor == OVERLOAD_CPU)
        (void)look_at_cpu(m, &m->work, &m->total); /* else the first look says so */
}

bool overload_meter_read(struct overload_meter *m, double *pressure)
{
    const struct overload_resource *r = m->resource;
    double value;
    switch (r->monitor) {
    case OVERLOAD_FIXED_HEAP:
        if (!private_bytes(m->root, &value))
            return false;
        *pressure = value / (double)r->max;
        return true;
    case OVERLOAD_CONNECTIONS:
        *pressure = overload_connections_pressure();
        return true;
    case OVERLOAD_INJECTED:
        if (!read_number("", r->filename, &value) || value > 1)
            return false;
        *pressure = value;
        return true;
    case OVERLOAD_CGROUP_MEMORY:
        return cgroup_memory(m, pressure);
    case OVERLOAD_CPU:
        return cpu_utilization(m, pressure);
    }
    return false;
}
