/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How late a looping call is stopped, reckoned with a clock of our own: what the watcher adds to a limit, and
 * what it costs calls that do not loop. No thread runs and nothing sleeps, so no machine is too busy for it.
 */
#include "proxywasm/engine/deadline.h"
#include "proxywasm/engine/engine_impl.h"
#include "proxywasm/host_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
/* The promise: a call ends this long after its limit, or earlier. */
#define GRACE_NS (5 * MS)
/* A cycle is a nanosecond here. The library measures that anew with each reading; so long ago is the
 * beginning that what a reading is off by is nothing. */
#define AGO      (UINT64_C(1) << 60)
#define START_NS (UINT64_C(1) << 50)

struct simulation {
    struct pw_host host;
    struct pw_engine engine;
    uint64_t looks; /* how often guests were stopped for a look */
};

static uint64_t cycles(void *host)
{
    return host_cycles(host);
}

static void simulation_init(struct simulation *s)
{
    memset(s, 0, sizeof(*s));
    s->host.ops.monotonic_ns = cycles;
    s->host.ctx = &s->host;
    s->host.start_ns = s->host.start_cycles = -AGO;
    s->engine.host = &s->host;
    list_init(&s->engine.deadlines);
    pthread_mutex_init(&s->engine.lock, NULL);
}

/* A watcher that is late by `late_ns` at each look begins at `phase_ns` to watch a call that has just begun
 * and never ends, beside `other`, whose calls are always 5 us old. When the call was stopped. */
static uint64_t stopped_after_ns(struct simulation *s, struct deadline *looping, struct deadline *other,
                                 uint64_t limit_ns, uint64_t phase_ns, uint64_t late_ns)
{
    uint64_t now_ns = phase_ns;

    deadline_enter(looping, limit_ns, START_NS);
    for (;;) {
        enum deadline_verdict verdict = DEADLINE_GO_ON;
        uint64_t away_ns;
        bool look;

        deadline_enter(other, limit_ns, START_NS + now_ns - 5 * US);
        look = deadline_scan(&s->engine, START_NS + now_ns, &away_ns);
        if (look) { /* both workers' guests meet the epoch */
            s->looks++;
            verdict = deadline_verdict(looping);
            assert_int_equal(deadline_verdict(other), DEADLINE_GO_ON);
        }
        deadline_leave(other);
        if (verdict == DEADLINE_OVERDUE)
            break;
        assert_int_equal(verdict, DEADLINE_GO_ON);
        now_ns += away_ns + late_ns;
    }
    deadline_leave(looping);
    return now_ns;
}

static void check_limit(uint64_t limit_ns, uint64_t late_ns)
{
    struct simulation s;
    struct deadline looping = {0};
    struct deadline other = {0};

    simulation_init(&s);
    deadline_register(&s.engine, &looping, limit_ns);
    deadline_register(&s.engine, &other, limit_ns);
    for (uint64_t i = 0; i < 100; i++) {
        /* The watcher stays away for half the shortest limit at most, 1 to 10 ms. */
        uint64_t away_max_ns = limit_ns / 2 < MS ? MS : limit_ns / 2 > 10 * MS ? 10 * MS : limit_ns / 2;
        uint64_t looks = s.looks;
        uint64_t took_ns = stopped_after_ns(&s, &looping, &other, limit_ns, away_max_ns * i / 100, late_ns);

        if (took_ns < limit_ns || took_ns > limit_ns + GRACE_NS)
            fail_msg("a limit of %lu us, watcher at %lu %% and late by %lu us: stopped after %lu us",
                     (unsigned long)(limit_ns / US), (unsigned long)i, (unsigned long)(late_ns / US),
                     (unsigned long)(took_ns / US));
        /* Each look interrupts the guests of all workers, for as long as a branch takes. */
        assert_true(s.looks - looks <= DEADLINE_LOOKS_LATE);
    }
    deadline_unregister(&s.engine, &looping);
    deadline_unregister(&s.engine, &other);
    pthread_mutex_destroy(&s.engine.lock);
}

static void a_loop_ends_within_its_limit_and_the_grace(void **state)
{
    static const uint64_t limits_ns[] = {1 * MS, 2 * MS, 5 * MS, 20 * MS, 50 * MS, 1000 * MS, 30000 * MS};

    (void)state;
    for (size_t i = 0; i < sizeof(limits_ns) / sizeof(limits_ns[0]); i++) {
        check_limit(limits_ns[i], 0);
        check_limit(limits_ns[i], 100 * US);
        check_limit(limits_ns[i], 500 * US);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_ends_within_its_limit_and_the_grace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
