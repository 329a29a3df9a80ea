/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the overload manager measures, from the kernel's files in a made-up root: both versions of cgroups,
 * processors, and files that say nothing useful.
 */
#include "server/overload_meter.h"

#include "fake_root.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define NOTHING (-1.0)

/* What a fresh look measures; NOTHING: it cannot. */
static double look(struct overload_meter *m)
{
    double pressure = NOTHING;
    return overload_meter_read(m, &pressure) ? pressure : NOTHING;
}

static double memory(uint64_t max)
{
    const struct overload_resource r = {.monitor = OVERLOAD_CGROUP_MEMORY, .max = max};
    struct overload_meter m;
    overload_meter_init(&m, &r, fake_root);
    return look(&m);
}

static void near(double value, double expected)
{
    if (fabs(value - expected) > 1e-9)
        fail_msg("%f, expected %f", value, expected);
}

static void memory_of_a_cgroup(void **state)
{
    (void)state;
    near(memory(0), NOTHING);
    fake_root_put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "3000\n");
    near(memory(0), NOTHING);
    fake_root_put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* v1: none */
    near(memory(0), 0);
    near(memory(4000), 0.75);
    fake_root_put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "6000\n");
    near(memory(0), 0.5);
    near(memory(4000), 0.75);
    fake_root_put("/sys/fs/cgroup/memory.current", "100\n"); /* version 2 goes first */
    near(memory(0), NOTHING);
    fake_root_put("/sys/fs/cgroup/memory.max", "max\n");
    near(memory(0), 0);
    near(memory(1000), 0.1);
    fake_root_put("/sys/fs/cgroup/memory.max", "200\n");
    near(memory(0), 0.5);
    near(memory(1000), 0.5);
    fake_root_put("/sys/fs/cgroup/memory.max", "0\n"); /* nothing can be said of it */
    near(memory(0), 0);
}

static void processors_of_the_machine(void **state)
{
    (void)state;
    const struct overload_resource r = {.monitor = OVERLOAD_CPU};
    struct overload_meter m;
    fake_root_put("/proc/stat", "cpu  100 0 100 800 7 7 7\ncpu0 1 1 1 1\n");
    overload_meter_init(&m, &r, fake_root);
    near(look(&m), NOTHING); /* no time has passed */
    fake_root_put("/proc/stat", "cpu  150 20 130 900 9 9 9\n");
    near(look(&m), 0.05 * 0.5); /* a new value weighs a twentieth */
    fake_root_put("/proc/stat", "cpu  250 20 130 900\n");
    near(look(&m), 0.05 + 0.95 * 0.05 * 0.5);
    fake_root_put("/proc/stat", "cpu  1 20 130 2000\n"); /* less work than before: not to be believed */
    near(look(&m), NOTHING);
    fake_root_put("/proc/stat", "nonsense");
    near(look(&m), NOTHING);
}

/* One look that shows all work of a second: time is real, so only bounds hold. */
static double busy_container(const char *before, const char *after, const char *path)
{
    const struct overload_resource r = {.monitor = OVERLOAD_CPU, .container = true};
    struct overload_meter m;
    fake_root_put(path, before);
    overload_meter_init(&m, &r, fake_root);
    usleep(2000);
    fake_root_put(path, after);
    return look(&m);
}

static void processors_of_a_container(void **state)
{
    (void)state;
    const char *v1 = "/sys/fs/cgroup/cpuacct/cpuacct.usage", *v2 = "/sys/fs/cgroup/cpu.stat";
    near(busy_container("0\n", "900000000000\n", v1), NOTHING);
    fake_root_put("/sys/fs/cgroup/cpu/cpu.shares", "1000\n");
    near(busy_container("0\n", "900000000000\n", v1), 0.05); /* never more than all */
    near(busy_container("5\n", "5\n", v1), 0);
    near(busy_container("usage_usec 0\nuser_usec 0\n", "usage_usec 900000000\n", v2), NOTHING);
    fake_root_put("/sys/fs/cgroup/cpuset.cpus.effective", "0-1,4\n");
    near(busy_container("usage_usec 0\n", "usage_usec 900000000\n", v2), NOTHING);
    fake_root_put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    near(busy_container("usage_usec 0\n", "usage_usec 900000000\n", v2), 0.05);
    near(busy_container("usage_usec 1\n", "usage_usec 1\n", v2), 0);
    fake_root_put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    double part = busy_container("usage_usec 0\n", "usage_usec 1000\n", v2);
    assert_true(part > 0 && part < 0.05); /* 1 ms of one and a half cores, in 2 ms or more */
}

/* The same work is a smaller share of more processors: the next look counts from there. */
static void a_container_that_gets_more_processors(void **state)
{
    (void)state;
    const struct overload_resource r = {.monitor = OVERLOAD_CPU, .container = true};
    struct overload_meter m;
    fake_root_put("/sys/fs/cgroup/cpuset.cpus.effective", "0-3\n");
    fake_root_put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    fake_root_put("/sys/fs/cgroup/cpu.stat", "usage_usec 900000000\n");
    overload_meter_init(&m, &r, fake_root);
    usleep(2000);
    fake_root_put("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    near(look(&m), NOTHING);
    usleep(2000);
    near(look(&m), 0);
    fake_root_put("/sys/fs/cgroup/cpu.stat", "usage_usec 990000000\n");
    usleep(2000);
    near(look(&m), 0.05);
}

static void numbers_in_files(void **state)
{
    (void)state;
    char path[128];
    struct overload_meter m;
    struct overload_resource r = {.monitor = OVERLOAD_INJECTED, .filename = path};
    snprintf(path, sizeof(path), "%s/pressure", fake_root);
    overload_meter_init(&m, &r, "");
    near(look(&m), NOTHING);
    const char *const bad[] = {"", "x", "1.5", "-0.1", "0.5 0.6", "nan"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        fake_root_put("/pressure", bad[i]);
        near(look(&m), NOTHING);
    }
    fake_root_put("/pressure", "0.25\n");
    near(look(&m), 0.25);
    r = (struct overload_resource){.monitor = OVERLOAD_FIXED_HEAP, .max = 1 << 20};
    overload_meter_init(&m, &r, fake_root);
    fake_root_put("/proc/self/statm", "1000 3 5 7\n"); /* less resident than shared */
    near(look(&m), NOTHING);
    fake_root_put("/proc/self/statm", "1000 261 5 7\n");
    near(look(&m), 256 * (double)sysconf(_SC_PAGESIZE) / (1 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_of_a_cgroup, fake_root_make, fake_root_remove),
        cmocka_unit_test_setup_teardown(processors_of_the_machine, fake_root_make, fake_root_remove),
        cmocka_unit_test_setup_teardown(processors_of_a_container, fake_root_make, fake_root_remove),
        cmocka_unit_test_setup_teardown(a_container_that_gets_more_processors, fake_root_make,
                                        fake_root_remove),
        cmocka_unit_test_setup_teardown(numbers_in_files, fake_root_make, fake_root_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
