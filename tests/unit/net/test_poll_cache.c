/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Polls of closed sockets are used by the next ones with the same number: the new socket's events come, the
 * old one's do not, and numbers above the cache are polled all the same. And how many connections an event of
 * a listening socket takes.
 */
#include "net/acceptor.h"
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop loop;
static unsigned told;

static int setup(void **state)
{
    (void)state;
    told = 0;
    return loop_init(&loop);
}

static int teardown(void **state)
{
    (void)state;
    loop_fini(&loop);
    return 0;
}

static void readable(uv_poll_t *poll, int status, int events)
{
    assert_int_equal(status, 0);
    assert_int_equal(events, UV_READABLE);
    assert_ptr_equal(poll->data, &told);
    told++;
    loop_stop(&loop);
}

static void expect_told(int far, uv_poll_t *poll)
{
    unsigned before = told;
    char byte;
    poll->data = &told;
    assert_int_equal(uv_poll_start(poll, UV_READABLE, readable), 0);
    assert_int_equal(write(far, "x", 1), 1);
    loop.stopping = false;
    loop_run(&loop);
    assert_true(told > before);
    uv_os_fd_t fd;
    assert_int_equal(uv_fileno((uv_handle_t *)poll, &fd), 0);
    assert_int_equal(read(fd, &byte, 1), 1);
}

static void pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void the_next_socket_has_it(void **state)
{
    (void)state;
    int first[2], second[2], third[2];
    pair(first);
    uv_poll_t *poll = poll_take(&loop, first[0]);
    assert_non_null(poll);
    expect_told(first[1], poll);
    uv_poll_t *was = poll;
    assert_int_equal(write(first[1], "unread", 6), 6);
    poll_give(&loop, &poll, first[0]); /* while it is active */
    assert_null(poll);
    assert_null(was->data);
    int number = first[0];
    close(first[0]);
    close(first[1]);

    pair(second);
    assert_int_equal(second[0], number);
    poll = poll_take(&loop, number);
    assert_ptr_equal(poll, was);
    pair(third);
    uv_poll_t *other = poll_take(&loop, third[0]);
    assert_ptr_not_equal(other, was);
    expect_told(third[1], other); /* and not about the second, which is not polled yet */
    expect_told(second[1], poll);
    poll_give(&loop, &poll, second[0]);
    poll_give(&loop, &other, third[0]);
    for (int i = 0; i < 2; i++) {
        close(second[i]);
        close(third[i]);
    }
}

static void not_a_socket(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_null(poll_take(&loop, fd)); /* epoll does not take it */
    close(fd);
}

static void above_the_cache(void **state)
{
    (void)state;
    struct rlimit limit;
    int fds[2], high;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur <= NET_IDLE_POLLS_MAX + 16)
        skip();
    pair(fds);
    high = fcntl(fds[0], F_DUPFD_CLOEXEC, NET_IDLE_POLLS_MAX + 8);
    assert_true(high > (int)NET_IDLE_POLLS_MAX);
    close(fds[0]);
    for (int i = 0; i < 2; i++) {
        uv_poll_t *poll = poll_take(&loop, high);
        assert_non_null(poll);
        expect_told(fds[1], poll);
        poll_give(&loop, &poll, high);
    }
    close(high);
    close(fds[1]);
}

/* --- accepting --- */

#define CLIENTS 40u

static unsigned accepted_now, accepted_all, most_in_an_event, events;
static uint64_t last_turn;

static void accepted(struct acceptor *a, int fd, const struct address *remote)
{
    (void)remote;
    if (events == 0 || a->loop->turns != last_turn) {
        last_turn = a->loop->turns;
        accepted_now = 0;
        events++;
    }
    if (++accepted_now > most_in_an_event)
        most_in_an_event = accepted_now;
    if (++accepted_all == CLIENTS)
        loop_stop(a->loop);
    close(fd);
}

/* All are waiting already: 1, 2, 4, 8, 8, 8, 8, 1. */
static void a_crowd_is_taken_in_growing_steps(void **state)
{
    (void)state;
    struct address at;
    struct acceptor acceptor;
    int clients[CLIENTS];
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), 0, &at));
    int fd = listen_socket_open(&at, &(struct listen_options){.backlog = 2 * CLIENTS});
    assert_true(fd >= 0 && listen_socket_address(fd, &at));
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(clients[i] >= 0);
        assert_int_equal(connect(clients[i], &at.sa, at.len), 0);
    }
    assert_int_equal(acceptor_start(&acceptor, &loop, fd, 8, accepted, NULL), 0);
    loop_run(&loop);
    assert_int_equal(accepted_all, CLIENTS);
    assert_int_equal(most_in_an_event, 8); /* never more than it may */
    assert_int_equal(events, 8);
    acceptor_stop(&acceptor);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_next_socket_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(not_a_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(above_the_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crowd_is_taken_in_growing_steps, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
