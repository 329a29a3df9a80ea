/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What VMs cost and hold: one budget for all, limits that change while a VM runs, costs in memory of the
 * embedder, and nothing left behind by ten thousand dead VMs.
 */
#include "engine_fixture.h"

#include <unistd.h>

#define PAGE UINT64_C(65536)

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

/* Each tick asks for one page more. */
static const char grows[] = WAT_HEAD WAT_BODY "(func (export \"proxy_on_tick\") (param i32) "
                                              "(drop (memory.grow (i32.const 1))))" WAT_TAIL;
static const char traps[] =
    WAT_HEAD WAT_BODY "(func (export \"proxy_on_tick\") (param i32) unreachable)" WAT_TAIL;

static uint64_t memory_of(const struct vm_fixture *v)
{
    struct pw_vm_stats stats;
    pw_vm_stats(v->vm, &stats);
    return stats.memory_bytes;
}

static uint64_t held(void)
{
    struct pw_host_stats stats;
    pw_host_stats(fixture.host, &stats);
    return stats.memory_bytes;
}

static void one_budget_for_all(void **state)
{
    struct pw_module *module = must_load(grows);
    struct vm_fixture a, b;
    uint64_t before = held();
    struct pw_costs costs = {0};

    (void)state;
    assert_int_equal(vm_open(&a, module, NULL), PW_OK);
    assert_int_equal(vm_open(&b, module, NULL), PW_OK);
    uint64_t first = memory_of(&a);
    assert_int_equal(held() - before, 2 * first);
    pw_root_set_costs(b.root, &costs);
    pw_host_set_memory_max(fixture.host, before + 2 * first + PAGE);
    pw_root_tick(a.root);
    assert_int_equal(memory_of(&a), first + PAGE);
    pw_root_tick(b.root);
    assert_int_equal(memory_of(&b), first); /* the other one has the last page */
    assert_int_equal(costs.limit_hits[PW_LIMIT_total_memory], 1);
    assert_false(pw_vm_failed(b.vm));
    vm_close(&a);
    pw_root_tick(b.root);
    assert_int_equal(memory_of(&b), first + PAGE);
    vm_close(&b);
    assert_int_equal(held(), before);

    /* No VM fits any more. */
    pw_host_set_memory_max(fixture.host, before + first - 1);
    assert_int_equal(vm_open(&a, module, NULL), PW_ERR_LIMIT);
    assert_int_equal(held(), before);
    pw_host_set_memory_max(fixture.host, UINT64_MAX);
    pw_module_unref(&module);
}

static void limits_change_while_it_runs(void **state)
{
    struct pw_module *module = must_load(grows);
    struct vm_fixture v;
    struct pw_costs costs = {0};

    (void)state;
    assert_int_equal(vm_open(&v, module, NULL), PW_OK);
    pw_root_set_costs(v.root, &costs);
    uint64_t first = memory_of(&v);
    struct pw_limits limits = {.memory_max_bytes = first};
    pw_vm_set_limits(v.vm, &limits);
    pw_root_tick(v.root);
    assert_int_equal(memory_of(&v), first);
    assert_int_equal(costs.limit_hits[PW_LIMIT_memory_max_bytes], 1);
    limits.memory_max_bytes = first + PAGE;
    pw_vm_set_limits(v.vm, &limits);
    pw_root_tick(v.root);
    assert_int_equal(memory_of(&v), first + PAGE);
    /* Below what it has: it keeps that. */
    limits.memory_max_bytes = PAGE;
    pw_vm_set_limits(v.vm, &limits);
    pw_root_tick(v.root);
    assert_int_equal(memory_of(&v), first + PAGE);
    assert_int_equal(costs.limit_hits[PW_LIMIT_memory_max_bytes], 2);
    vm_close(&v);
    pw_module_unref(&module);
}

static unsigned callback_number(const char *name)
{
    for (unsigned i = 0;; i++) {
        const char *known = pw_callback_name(i);
        assert_non_null(known);
        if (strcmp(known, name) == 0)
            return i;
    }
}

static void costs_outlive_the_vm(void **state)
{
    struct pw_module *module = must_load(traps);
    struct pw_costs costs = {0};
    const struct pw_cost *tick = &costs.callback[callback_number("on_tick")];

    (void)state;
    assert_null(pw_callback_name(1000));
    for (unsigned i = 1; i <= 3; i++) {
        struct vm_fixture v;
        assert_int_equal(vm_open(&v, module, NULL), PW_OK);
        pw_root_set_costs(v.root, &costs);
        pw_root_tick(v.root);
        assert_true(pw_vm_failed(v.vm));
        assert_int_equal(tick->calls, i);
        assert_int_equal(tick->failures, i);
        assert_true(tick->cycles > 0 && costs.cycles >= tick->cycles);
        vm_close(&v);
    }
    assert_true(pw_host_cycles_to_ns(fixture.host, costs.cycles) < 1000 * MS);
    assert_in_range(pw_host_cycles_to_ns(fixture.host, pw_host_ns_to_cycles(fixture.host, 1000 * MS)),
                    900 * MS, 1100 * MS);
    pw_module_unref(&module);
}

/* One call begins where the last one ended; after a failure, from its own beginning. */
static void calls_follow_each_other(void **state)
{
    struct pw_module *module = must_load(grows);
    struct vm_fixture a, b;
    struct pw_costs costs[2] = {{0}};
    uint64_t lap = PW_LAP_OFF;

    (void)state;
    assert_int_equal(vm_open(&a, module, NULL), PW_OK);
    assert_int_equal(vm_open(&b, module, NULL), PW_OK);
    pw_root_set_costs(a.root, &costs[0]);
    pw_root_set_costs(b.root, &costs[1]);
    pw_vm_set_lap(a.vm, &lap);
    pw_vm_set_lap(b.vm, &lap);
    pw_root_tick(a.root); /* the first call of a VM has its CPU time measured, which ends a lap */
    pw_root_tick(b.root);
    assert_int_equal(lap, PW_LAP_OFF);
    lap = PW_LAP_ON;
    pw_root_tick(a.root);
    assert_true(lap > PW_LAP_ON);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t last = lap, before = costs[i % 2].cycles;
        pw_root_tick(i % 2 ? b.root : a.root);
        assert_true(lap >= last);
        assert_int_equal(costs[i % 2].cycles - before, lap - last);
    }
    pw_vm_set_lap(b.vm, NULL);
    uint64_t last = lap;
    pw_root_tick(b.root);
    assert_int_equal(lap, last);
    vm_close(&a);
    vm_close(&b);
    pw_module_unref(&module);

    module = must_load(traps);
    assert_int_equal(vm_open(&a, module, NULL), PW_OK);
    pw_vm_set_lap(a.vm, &lap);
    pw_root_tick(a.root);
    assert_true(pw_vm_failed(a.vm));
    assert_int_equal(lap, PW_LAP_ON);
    vm_close(&a);
    pw_module_unref(&module);
}

static long resident_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size = 0, pages = 0;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &pages), 2);
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void ten_thousand_traps_leave_nothing(void **state)
{
    const unsigned rounds = UNDER_TSAN || UNDER_ASAN ? 500 : 10000;
    struct pw_module *module = must_load(traps);
    uint64_t before = held();
    long resident = 0;

    (void)state;
    for (unsigned i = 0; i < rounds; i++) {
        struct vm_fixture v;
        assert_int_equal(vm_open(&v, module, NULL), PW_OK);
        pw_root_tick(v.root);
        assert_true(pw_vm_failed(v.vm));
        vm_close(&v);
        if (i == rounds / 10)
            resident = resident_kb();
    }
    assert_int_equal(held(), before);
    if (!UNDER_TSAN && !UNDER_ASAN)
        assert_true(resident_kb() - resident < 1024);
    pw_module_unref(&module);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_budget_for_all),
        cmocka_unit_test(limits_change_while_it_runs),
        cmocka_unit_test(costs_outlive_the_vm),
        cmocka_unit_test(calls_follow_each_other),
        cmocka_unit_test(ten_thousand_traps_leave_nothing),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
