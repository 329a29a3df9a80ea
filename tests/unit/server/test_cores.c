/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU limits as containers give them: cgroup v2 and v1 files in a made-up root.
 */
#include "server/cores.h"

#include "base/assert.h"
#include "fake_root.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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
    assert_int_equal(cores_allowed(fake_root), affinity());
}

static void v2_quota_of_the_own_group(void **state)
{
    (void)state;
    fake_root_put("/proc/self/cgroup", "0::/kubepods/pod1\n");
    fake_root_put("/sys/fs/cgroup/kubepods/pod1/cpu.max", "100000 100000\n");
    assert_int_equal(cores_allowed(fake_root), 1);
    /* One and a half cores keep two threads busy. */
    fake_root_put("/sys/fs/cgroup/kubepods/pod1/cpu.max", "150000 100000\n");
    assert_int_equal(cores_allowed(fake_root), at_most(2));
    fake_root_put("/sys/fs/cgroup/kubepods/pod1/cpu.max", "max 100000\n");
    assert_int_equal(cores_allowed(fake_root), affinity());
}

static void v2_quota_at_the_root_of_a_namespace(void **state)
{
    (void)state;
    fake_root_put("/proc/self/cgroup", "0::/\n");
    fake_root_put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_int_equal(cores_allowed(fake_root), 1);
}

static void v1_quota(void **state)
{
    (void)state;
    fake_root_put("/proc/self/cgroup", "12:memory:/x\n4:cpu,cpuacct:/docker/abc\n");
    fake_root_put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "100000\n");
    fake_root_put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cores_allowed(fake_root), 1);
    fake_root_put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(cores_allowed(fake_root), affinity());
}

static void nonsense_is_no_limit(void **state)
{
    (void)state;
    static const char *const texts[] = {"",           "x",           "100000",     "0 100000\n",
                                        "100000 0\n", "-5 100000\n", "1 2 3 4\n\n"};
    fake_root_put("/proc/self/cgroup", "nonsense\n::\n0::/\n");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(texts); i++) {
        fake_root_put("/sys/fs/cgroup/cpu.max", texts[i]);
        assert_true(cores_allowed(fake_root) >= 1);
        assert_true(cores_allowed(fake_root) <= affinity());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_cgroup_leaves_the_affinity, fake_root_make, fake_root_remove),
        cmocka_unit_test_setup_teardown(v2_quota_of_the_own_group, fake_root_make, fake_root_remove),
        cmocka_unit_test_setup_teardown(v2_quota_at_the_root_of_a_namespace, fake_root_make,
                                        fake_root_remove),
        cmocka_unit_test_setup_teardown(v1_quota, fake_root_make, fake_root_remove),
        cmocka_unit_test_setup_teardown(nonsense_is_no_limit, fake_root_make, fake_root_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
