/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU limits as containers give them: cgroup v2 and v1 files in a made-up root.
 */
#include "server/cores.h"

#include "base/assert.h"

#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static int make_root(void **state)
{
    (void)state;
    memcpy(root, "/tmp/weir-cores-XXXXXX", 23);
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root, with its directories. */
static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static uint32_t affinity(void)
{
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    return (uint32_t)CPU_COUNT(&set);
}

static uint32_t at_most(uint32_t limit)
{
    return affinity() < limit ? affinity() : limit;
}

static void no_cgroup_leaves_the_affinity(void **state)
{
    (void)state;
    assert_int_equal(cores_allowed(root), affinity());
}

static void v2_quota_of_the_own_group(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/kubepods/pod1\n");
    put("/sys/fs/cgroup/kubepods/pod1/cpu.max", "100000 100000\n");
    assert_int_equal(cores_allowed(root), 1);
    /* One and a half cores keep two threads busy. */
    put("/sys/fs/cgroup/kubepods/pod1/cpu.max", "150000 100000\n");
    assert_int_equal(cores_allowed(root), at_most(2));
    put("/sys/fs/cgroup/kubepods/pod1/cpu.max", "max 100000\n");
    assert_int_equal(cores_allowed(root), affinity());
}

static void v2_quota_at_the_root_of_a_namespace(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_int_equal(cores_allowed(root), 1);
}

static void v1_quota(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "12:memory:/x\n4:cpu,cpuacct:/docker/abc\n");
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cores_allowed(root), 1);
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(cores_allowed(root), affinity());
}

static void nonsense_is_no_limit(void **state)
{
    (void)state;
    static const char *const texts[] = {"",           "x",           "100000",     "0 100000\n",
                                        "100000 0\n", "-5 100000\n", "1 2 3 4\n\n"};
    put("/proc/self/cgroup", "nonsense\n::\n0::/\n");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        put("/sys/fs/cgroup/cpu.max", texts[i]);
        assert_true(cores_allowed(root) >= 1);
        assert_true(cores_allowed(root) <= affinity());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_cgroup_leaves_the_affinity, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v2_quota_of_the_own_group, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v2_quota_at_the_root_of_a_namespace, make_root, remove_root),
        cmocka_unit_test_setup_teardown(v1_quota, make_root, remove_root),
        cmocka_unit_test_setup_teardown(nonsense_is_no_limit, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
