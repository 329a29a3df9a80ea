/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU limits of a container: a proxy with 64 workers on a quota of 2 cores is throttled all the time.
 */
#include "server/cores.h"

#include "base/slice.h"
#include "server/small_file.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#define PATH_BYTES 4096

/* The process's path in the cgroup hierarchy that `controller` names ("" for v2). "/" when it is not told. */
static void cgroup_path(const char *root, const char *controller, char *out, size_t size)
{
    char text[8192];
    snprintf(out, size, "/");
    if (!small_file_read(root, "/proc/self/cgroup", text, sizeof(text)))
        return;
    struct slice rest = slice_str(text);
    for (struct slice line; slice_split(&rest, '\n', &line);) {
        struct slice part, names;
        /* "4:cpu,cpuacct:/kubepods/x" or "0::/x" */
        if (!slice_split(&line, ':', &part) || !slice_split(&line, ':', &names) || !line.ptr)
            continue;
        bool hit = names.len == 0 && !controller[0];
        for (struct slice c; !hit && controller[0] && slice_split(&names, ',', &c);)
            hit = slice_eq(c, slice_str(controller));
        if (hit)
            snprintf(out, size, "%.*s", SLICE_ARG(line));
    }
}

/* Cores that quota/period allow, rounded up; 0: no limit. */
static uint32_t quota_cores(int64_t quota_us, int64_t period_us)
{
    if (quota_us <= 0 || period_us <= 0)
        return 0;
    int64_t cores = (quota_us + period_us - 1) / period_us;
    return cores > UINT32_MAX ? 0 : (uint32_t)cores;
}

static uint32_t cgroup_v2_cores(const char *root, const char *path)
{
    char name[PATH_BYTES * 2];
    char text[128];
    struct slice quota, period;
    int64_t quota_us, period_us;
    snprintf(name, sizeof(name), "/sys/fs/cgroup%s/cpu.max", path);
    if (!small_file_read(root, name, text, sizeof(text)))
        return 0;
    struct slice rest = slice_str(text); /* "max 100000" or "200000 100000" */
    struct slice line;
    if (!slice_split(&rest, '\n', &line) || !slice_split(&line, ' ', &quota) ||
        !slice_split(&line, ' ', &period))
        return 0;
    if (!slice_parse_i64(quota, &quota_us) || !slice_parse_i64(period, &period_us))
        return 0;
    return quota_cores(quota_us, period_us);
}

static bool read_number(const char *root, const char *path, const char *file, int64_t *out)
{
    char name[PATH_BYTES * 2];
    char text[64];
    struct slice line;
    snprintf(name, sizeof(name), "/sys/fs/cgroup/cpu%s/%s", path, file);
    if (!small_file_read(root, name, text, sizeof(text)))
        return false;
    struct slice rest = slice_str(text);
    return slice_split(&rest, '\n', &line) && slice_parse_i64(line, out);
}

static uint32_t cgroup_v1_cores(const char *root, const char *path)
{
    int64_t quota_us, period_us;
    if (!read_number(root, path, "cpu.cfs_quota_us", &quota_us) ||
        !read_number(root, path, "cpu.cfs_period_us", &period_us))
        return 0;
    return quota_cores(quota_us, period_us);
}

static uint32_t affinity_cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (uint32_t)count : 1;
}

static uint32_t smaller(uint32_t cores, uint32_t limit)
{
    return limit > 0 && limit < cores ? limit : cores;
}

uint32_t cores_allowed(const char *root)
{
    char path[PATH_BYTES];
    uint32_t cores = affinity_cores();
    /* In a container the namespace often hides the path: look at the root of the mount as well. */
    cgroup_path(root, "", path, sizeof(path));
    cores = smaller(cores, cgroup_v2_cores(root, path));
    cores = smaller(cores, cgroup_v2_cores(root, "/"));
    cgroup_path(root, "cpu", path, sizeof(path));
    cores = smaller(cores, cgroup_v1_cores(root, path));
    return smaller(cores, cgroup_v1_cores(root, "/"));
}
