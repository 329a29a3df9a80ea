/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners that drain and stop with their worker while connections are in every state; ids of requests.
 */
#include "rig.h"

static void request_ids(void **state)
{
    (void)state;
    char id[REQUEST_ID_BYTES];
    request_id_make(UINT64_C(0xffffffffffffffff), UINT64_C(0), id);
    assert_memory_equal(id, "ffffffff-ffff-4fff-8000-000000000000", REQUEST_ID_BYTES);
    request_id_make(UINT64_C(0x0123456789abcdef), UINT64_C(0x0123456789abcdef), id);
    assert_memory_equal(id, "01234567-89ab-4def-8123-456789abcdef", REQUEST_ID_BYTES);
}

static atomic_uint drained;
static void on_drained(struct worker *w, void *arg)
{
    (void)w;
    (void)arg;
    drained++;
}

static enum filter_headers_status never(struct filter *f, struct header_map *headers, bool end)
{
    (void)f;
    (void)headers;
    (void)end;
    return FILTER_HEADERS_STOP;
}
static const struct filter_ops never_ops = {.name = "test.never", .request_headers = never};

static void drain_without_connections(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_filter(&rig, &never_ops, NULL);
    rig_start(&rig);
    drained = 0;
    worker_drain(rig.worker, on_drained, NULL);
    RIG_AWAIT(atomic_load(&drained) == 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &rig.bound.sa, rig.bound.len), -1);
    close(fd);
    rig_stop(&rig);
}

/* A connection that asks nothing leaves a draining worker after a second; one that hangs holds until stop. */
static void stop_with_connections(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_filter(&rig, &never_ops, NULL);
    rig_start(&rig);
    struct client *silent = client_open(&rig), *partial = client_open(&rig), *hanging = client_open(&rig);
    client_send(partial, "GET / HT");
    client_send(hanging, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    RIG_AWAIT(stat_value(rig.hcm->stats.downstream_rq_active) == 2);
    RIG_AWAIT(stat_value(rig.hcm->stats.downstream_cx_active) == 3);
    drained = 0;
    worker_drain(rig.worker, on_drained, NULL);
    assert_string_equal(client_rest(silent), "");
    assert_int_equal(drained, 0);
    stat_id active = rig.hcm->stats.downstream_rq_active;
    rig_stop(&rig);
    assert_int_equal(stat_value(active), 0);
    assert_string_equal(client_rest(hanging), "");
    client_close(silent);
    client_close(partial);
    client_close(hanging);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_ids),
        cmocka_unit_test(drain_without_connections),
        cmocka_unit_test(stop_with_connections),
    };
    forwarded_init();
    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
