/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver against a fake server: answers, failures, families, the hosts file, cancelling, and
 * destruction with questions open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/assert.h"
#include "net/dns.h"
#include "net/dns_families.h"
#include "net/loop.h"
#include "support/fake_dns.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop loop;
static struct fake_dns server;
static struct dns_resolver *resolver;

static int setup(void **state)
{
    struct address a;
    (void)state;
    assert_int_equal(loop_init(&loop), 0);
    fake_dns_start(&server);
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), server.port, &a));
    resolver = dns_resolver_create(&loop, &(struct dns_options){.servers = &a, .servers_count = 1});
    assert_non_null(resolver);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dns_resolver_destroy(&resolver);
    loop_fini(&loop);
    fake_dns_stop(&server);
    return 0;
}

struct result {
    unsigned calls;
    unsigned stop_after; /* answers that end the loop */
    struct dns_answer answer;
    struct address addresses[8];
};

static void keep(void *arg, const struct dns_answer *answer)
{
    struct result *r = arg;
    r->calls++;
    r->answer = *answer;
    assert_true(answer->count <= WEIR_ARRAY_LEN(r->addresses));
    if (answer->count)
        memcpy(r->addresses, answer->addresses, answer->count * sizeof(r->addresses[0]));
    if (r->calls >= r->stop_after)
        loop_stop(&loop);
}

static void too_late(struct timer *t)
{
    (void)t;
    print_error("no answer\n");
    loop_stop(&loop);
}

static void run_until_answered(void)
{
    struct timer deadline;
    timer_init(&deadline, too_late);
    timer_set(&loop, &deadline, 20000);
    loop_run(&loop);
    timer_stop(&loop, &deadline);
}

static void ask(const char *name, enum dns_lookup lookup, struct result *r)
{
    *r = (struct result){.stop_after = 1};
    assert_non_null(dns_resolve(resolver, slice_str(name), 8080, lookup, keep, r));
    assert_int_equal(r->calls, 0); /* never inline */
    run_until_answered();
    assert_int_equal(r->calls, 1);
}

static void servfail_is_a_failure(void **state)
{
    struct result r;
    (void)state;
    fake_dns_set(&server, FAKE_DNS_SERVFAIL, "", 0, NULL, 0);
    ask("a.test", DNS_LOOKUP_V4, &r);
    assert_true(r.answer.failed);
    assert_true(strlen(r.answer.error) > 0);
    assert_int_equal(r.answer.count, 0);
}

static void unknown_name_is_no_failure(void **state)
{
    struct result r;
    (void)state;
    ask("a.test", DNS_LOOKUP_V4, &r);
    assert_false(r.answer.failed);
    assert_int_equal(r.answer.count, 0);
}

static void addresses_port_and_ttl(void **state)
{
    static const uint32_t ips[] = {0x0a000001, 0x0a000002};
    char text[ADDRESS_TEXT_MAX];
    struct result r;
    (void)state;
    fake_dns_set(&server, FAKE_DNS_ANSWER, "a.test", 2, ips, 77);
    ask("a.test", DNS_LOOKUP_V4, &r);
    assert_false(r.answer.failed);
    assert_int_equal(r.answer.count, 2);
    assert_int_equal(r.answer.ttl_seconds, 77);
    assert_string_equal(address_format(&r.addresses[0], text), "10.0.0.1:8080");
    assert_string_equal(address_format(&r.addresses[1], text), "10.0.0.2:8080");
}

/* A loop runs once: each question has a fixture of its own. Returns how many questions the server got. */
static unsigned questions_for(enum dns_lookup lookup, size_t addresses)
{
    static const uint32_t ips[] = {0x0a000001};
    struct result r;
    void *state = NULL;
    setup(&state);
    fake_dns_set(&server, FAKE_DNS_ANSWER, "a.test", 1, ips, 5);
    ask("a.test", lookup, &r);
    assert_int_equal(r.answer.count, addresses);
    teardown(&state);
    return server.questions;
}

static void second_family_is_asked(void **state)
{
    (void)state;
    assert_int_equal(questions_for(DNS_LOOKUP_V6_THEN_V4, 1), 2);
    assert_int_equal(questions_for(DNS_LOOKUP_V4_THEN_V6, 1), 1);
    assert_int_equal(questions_for(DNS_LOOKUP_V6, 0), 1);
    assert_int_equal(questions_for(DNS_LOOKUP_BOTH, 1), 2);
}

/* c-ares may answer this from inside the question. */
static void hosts_file(void **state)
{
    struct result r;
    (void)state;
    ask("localhost", DNS_LOOKUP_V4, &r);
    assert_true(r.answer.count >= 1);
    assert_true(address_is_loopback(&r.addresses[0]));
    assert_int_equal(server.questions, 0);
}

static void cancelled(void **state)
{
    static const uint32_t ips[] = {0x0a000001};
    struct result gone = {.stop_after = 1}, r = {.stop_after = 1};
    (void)state;
    fake_dns_set(&server, FAKE_DNS_ANSWER, "a.test", 1, ips, 5);
    struct dns_query *q = dns_resolve(resolver, SLICE_LIT("a.test"), 80, DNS_LOOKUP_V4, keep, &gone);
    struct dns_query *local = dns_resolve(resolver, SLICE_LIT("localhost"), 80, DNS_LOOKUP_V4, keep, &gone);
    dns_cancel(&q);
    dns_cancel(&local);
    assert_null(q);
    dns_cancel(&q);
    assert_non_null(dns_resolve(resolver, SLICE_LIT("a.test"), 80, DNS_LOOKUP_V4, keep, &r));
    run_until_answered();
    assert_int_equal(r.calls, 1);
    assert_int_equal(gone.calls, 0);
}

static void destroyed_with_open_questions(void **state)
{
    struct result r = {.stop_after = 1};
    (void)state;
    fake_dns_set(&server, FAKE_DNS_SILENT, "", 0, NULL, 0);
    for (int i = 0; i < 10; i++)
        assert_non_null(dns_resolve(resolver, SLICE_LIT("a.test"), 80, DNS_LOOKUP_BOTH, keep, &r));
    assert_non_null(dns_resolve(resolver, SLICE_LIT("localhost"), 80, DNS_LOOKUP_V4, keep, &r));
    dns_resolver_destroy(&resolver);
    assert_int_equal(r.calls, 0);
}

static void bad_names(void **state)
{
    struct result r = {.stop_after = 1};
    char long_name[400];
    (void)state;
    memset(long_name, 'a', sizeof(long_name));
    assert_null(dns_resolve(resolver, slice_of(long_name, sizeof(long_name)), 80, DNS_LOOKUP_V4, keep, &r));
    ask("bad..name", DNS_LOOKUP_V4, &r);
    assert_int_equal(r.answer.count, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Only addresses of families that this machine has beside the loopback. */
static void unroutable_families_are_left_out(void **state)
{
    static const uint32_t ips[] = {0x0a000001, 0x0a000002};
    struct result r;
    struct address a;
    (void)state;
    dns_resolver_destroy(&resolver);
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), server.port, &a));
    resolver = dns_resolver_create(
        &loop, &(struct dns_options){.servers = &a, .servers_count = 1, .routable = true});
    assert_non_null(resolver);
    fake_dns_set(&server, FAKE_DNS_ANSWER, "a.test", 2, ips, 77);
    ask("a.test", DNS_LOOKUP_V4, &r);
    assert_false(r.answer.failed);
    assert_int_equal(r.answer.count, dns_families_now().v4 ? 2 : 0);
}

#define NOT_ALLOWED 100

/* How many addresses a process gets that sees `text` for /etc/resolv.conf; NOT_ALLOWED: it may not be made.
 */
static int answers_with(const char *text)
{
    char path[] = "/tmp/weir-resolv-XXXXXX";
    struct address a;
    struct result r;
    int fd = mkstemp(path), status = 0;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    assert_true(address_parse_ip(SLICE_LIT("127.0.0.1"), server.port, &a));
    const struct dns_options options = {
        .servers = &a, .servers_count = 1, .fallback = true, .tries = 1, .timeout_ms = 500};
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
            mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) != 0)
            _exit(NOT_ALLOWED);
        assert_int_equal(loop_init(&loop), 0); /* its own */
        resolver = dns_resolver_create(&loop, &options);
        ask("a.test", DNS_LOOKUP_V4, &r);
        _exit((int)r.answer.count);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    unlink(path);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void servers_for_systems_without(void **state)
{
    static const uint32_t ips[] = {0x0a000001};
    (void)state;
    fake_dns_set(&server, FAKE_DNS_ANSWER, "a.test", 1, ips, 77);
    int without = answers_with("# nothing\n");
    if (without == NOT_ALLOWED)
        skip();
    assert_int_equal(without, 1);
    assert_int_equal(answers_with("nameserver 127.0.0.99\n"), 0); /* nobody is there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(bad_names),
        T(servfail_is_a_failure),
        T(unknown_name_is_no_failure),
        T(destroyed_with_open_questions),
        T(cancelled),
        T(hosts_file),
        T(addresses_port_and_ttl),
        T(unroutable_families_are_left_out),
        T(servers_for_systems_without),
        cmocka_unit_test(second_family_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
