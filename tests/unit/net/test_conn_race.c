/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to one of several addresses: their order, who wins, what failure is told, and that no socket is
 * left behind.
 */
#include "net/acceptor.h"
#include "net/address_list.h"
#include "net/conn.h"
#include "net/conn_options.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { REFUSES, BLACK, OPEN, PEERS };

static struct loop loop;
static struct timer watchdog;
static struct address at[PEERS]; /* of one port */
static int fds[PEERS];
static int fillers[4];
static struct conn *conn;
static unsigned connected, closed, data;
static enum conn_close why;
static int error;
static unsigned bind_failures;
static unsigned descriptors;

static void ev_connected(struct conn *c)
{
    assert_ptr_equal(c, conn);
    connected++;
    loop_stop(&loop);
}
static void ev_data(struct conn *c)
{
    data += (unsigned)c->in.bytes;
    chain_clear(&c->in);
    loop_stop(&loop);
}
static void ev_none(struct conn *c)
{
    (void)c;
}
static void ev_closed(struct conn *c, enum conn_close reason)
{
    closed++;
    why = reason;
    error = c->error;
    bind_failures = c->bind_failures;
    conn = NULL;
    loop_stop(&loop);
}

static const struct conn_events events = {.connected = ev_connected,
                                          .data = ev_data,
                                          .eof = ev_none,
                                          .write_high = ev_none,
                                          .write_low = ev_none,
                                          .closed = ev_closed};

static void watchdog_fires(struct timer *t)
{
    (void)t;
    fail_msg("the loop waited for 30 s");
}

static void run(void)
{
    loop.stopping = false;
    loop_run(&loop);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* One port on three addresses: bound only, listening with a full queue, and listening. */
static bool take_port(void)
{
    static const char *const ips[PEERS] = {"127.0.0.2", "127.0.0.3", "127.0.0.4"};
    uint16_t port = 0;
    for (int i = 0; i < PEERS; i++) {
        address_parse_ip(slice_str(ips[i]), port, &at[i]);
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
        if (bind(fds[i], &at[i].sa, at[i].len) != 0) {
            while (i >= 0)
                close(fds[i--]);
            return false;
        }
        assert_true(listen_socket_address(fds[i], &at[i]));
        port = address_port(&at[i]);
    }
    return true;
}

static int setup(void **state)
{
    (void)state;
    connected = closed = data = 0;
    while (!take_port())
        continue;
    assert_int_equal(listen(fds[OPEN], 8), 0);
    assert_int_equal(listen(fds[BLACK], 0), 0);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fillers[i] >= 0);
        (void)connect(fillers[i], &at[BLACK].sa, at[BLACK].len);
    }
    assert_int_equal(loop_init(&loop), 0);
    timer_init(&watchdog, watchdog_fires);
    timer_set(&loop, &watchdog, 30000);
    descriptors = open_descriptors();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (conn) {
        conn_close(conn, CONN_CLOSE_NOW, 0);
        run();
    }
    assert_int_equal(open_descriptors(), descriptors);
    timer_stop(&loop, &watchdog);
    loop_fini(&loop);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(fillers); i++)
        close(fillers[i]);
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    return 0;
}

static void start(const int *peers, size_t count, uint64_t timeout_ms, const struct conn_options *options)
{
    struct address list[8];
    for (size_t i = 0; i < count; i++)
        list[i] = at[peers[i]];
    struct address_list *any = address_list_create(list, count, &(struct address_order){0});
    assert_non_null(any);
    const struct conn_target to = {.address = &list[0], .any = any, .options = options};
    conn = conn_connect_to(&loop, &to, timeout_ms, &events, NULL, 65536);
    assert_non_null(conn);
    address_list_unref(&any); /* the conn has its own */
    assert_int_equal(connected + closed, 0);
}

#define START(timeout_ms, ...)                                                                               \
    start((const int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}) / sizeof(int), timeout_ms, NULL)

static void the_next_one_after_a_refusal(void **state)
{
    (void)state;
    START(20000, REFUSES, REFUSES, OPEN);
    run();
    assert_int_equal(connected, 1);
    assert_int_equal(conn->attempts, 3);
    assert_true(address_eq(&conn->remote, &at[OPEN]));
    assert_true(address_is_loopback(&conn->local));
    int peer = accept(fds[OPEN], NULL, NULL);
    assert_true(peer >= 0);
    assert_int_equal(write(peer, "hello", 5), 5);
    run();
    assert_int_equal(data, 5);
    close(peer);
}

static void the_next_one_after_a_while(void **state)
{
    (void)state;
    uint64_t before = uv_hrtime();
    START(20000, BLACK, OPEN, REFUSES);
    run();
    assert_int_equal(connected, 1);
    assert_true(uv_hrtime() - before >= 290 * UINT64_C(1000000));
    assert_true(conn->attempts >= 2);
    assert_true(address_eq(&conn->remote, &at[OPEN]));
}

static void the_first_one_alone_when_it_answers(void **state)
{
    (void)state;
    START(20000, OPEN, BLACK);
    run();
    assert_int_equal(connected, 1);
    assert_true(address_eq(&conn->remote, &at[OPEN]));
    conn_close(conn, CONN_CLOSE_NOW, 0);
    run();
    assert_int_equal(why, CONN_CLOSE_LOCAL);
}

static void all_refuse(void **state)
{
    (void)state;
    START(20000, REFUSES, REFUSES, REFUSES);
    run();
    assert_int_equal(connected, 0);
    assert_int_equal(closed, 1);
    assert_int_equal(why, CONN_CLOSE_CONNECT_FAILED);
    assert_int_equal(error, ECONNREFUSED);
}

/* A refusal does not end what is under way; the timeout holds for the whole. */
static void nobody_answers(void **state)
{
    (void)state;
    uint64_t before = uv_hrtime();
    START(700, REFUSES, BLACK, REFUSES, BLACK);
    run();
    assert_int_equal(closed, 1);
    assert_int_equal(why, CONN_CLOSE_CONNECT_TIMEOUT);
    assert_true(uv_hrtime() - before >= 690 * UINT64_C(1000000));
}

static void given_up(void **state)
{
    (void)state;
    START(20000, BLACK, BLACK, OPEN);
    conn_close(conn, CONN_CLOSE_RESET, 0);
    run();
    assert_int_equal(connected, 0);
    assert_int_equal(why, CONN_CLOSE_LOCAL);
}

static void a_source_that_is_not_ours(void **state)
{
    (void)state;
    struct conn_source nowhere = {.options = {0}};
    /* RFC 5737: nobody has it */
    assert_true(address_parse_ip(SLICE_LIT("198.51.100.1"), 0, &nowhere.address));
    const struct conn_options options = {.sources = &nowhere, .sources_count = 1};
    start((const int[]){OPEN, OPEN}, 2, 20000, &options);
    run();
    assert_int_equal(why, CONN_CLOSE_BIND_FAILED);
    assert_int_equal(error, EADDRNOTAVAIL);
    assert_int_equal(bind_failures, 2);
}

/* --- the order --- */

static void order(const char *in, const char *out, sa_family_t first, uint32_t count)
{
    struct address list[16] = {0};
    size_t n = strlen(in);
    for (size_t i = 0; i < n; i++) /* a letter is an address: lower case of IPv4, upper case of IPv6 */
        assert_true(address_parse_ip(in[i] >= 'a' ? SLICE_LIT("127.0.0.1") : SLICE_LIT("::1"),
                                     (uint16_t)in[i], &list[i]));
    struct address_list *l =
        address_list_create(list, n, &(struct address_order){.first = first, .first_count = count});
    assert_non_null(l);
    assert_int_equal(l->count, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(address_port(&l->at[i]), out[i]);
    address_list_unref(&l);
}

static void families_take_turns(void **state)
{
    (void)state;
    order("a", "a", 0, 0);
    order("abc", "abc", 0, 1);
    order("abAB", "aAbB", 0, 0);
    order("ABab", "AaBb", 0, 0);
    order("abAB", "AaBb", AF_INET6, 1);
    order("abcABC", "abAcBC", 0, 2);
    order("abcdA", "Aabcd", AF_INET6, 3);
    order("abc", "abc", AF_INET6, 1);
    order("aABCDE", "ABCaDE", AF_INET6, 3);
}

static void lists_are_equal_in_order(void **state)
{
    (void)state;
    struct address list[2];
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 1, &list[0]));
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.2"), 1, &list[1]));
    const struct address turned[2] = {list[1], list[0]};
    const struct address_order plain = {0};
    struct address_list *a = address_list_create(list, 2, &plain), *b = address_list_create(list, 2, &plain),
                        *c = address_list_create(turned, 2, &plain),
                        *d = address_list_create(list, 1, &plain);
    assert_true(address_list_eq(a, b));
    assert_false(address_list_eq(a, c));
    assert_false(address_list_eq(a, d));
    assert_false(address_list_eq(a, NULL));
    assert_false(address_list_eq(NULL, a));
    assert_true(address_list_eq(NULL, NULL));
    address_list_unref(&a);
    address_list_unref(&b);
    address_list_unref(&c);
    address_list_unref(&d);
}

int main(void)
{
#define RACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        RACE(the_next_one_after_a_refusal),
        RACE(the_next_one_after_a_while),
        RACE(the_first_one_alone_when_it_answers),
        RACE(all_refuse),
        RACE(nobody_answers),
        RACE(given_up),
        RACE(a_source_that_is_not_ours),
        cmocka_unit_test(families_take_turns),
        cmocka_unit_test(lists_are_equal_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
