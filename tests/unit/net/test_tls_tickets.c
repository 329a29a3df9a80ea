/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session ticket keys: which one seals, which ones still open, and when ours are replaced.
 */
#include "net/tls_tickets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void given_keys_open_and_the_first_seals(void **state)
{
    (void)state;
    char bytes[2][TLS_TICKET_KEY_BYTES];
    memset(bytes[0], 'a', sizeof(bytes[0]));
    memset(bytes[1], 'b', sizeof(bytes[1]));
    struct slice keys[] = {slice_of(bytes[0], sizeof(bytes[0])), slice_of(bytes[1], sizeof(bytes[1]))};
    struct tls_tickets *t = tls_tickets_create_fixed(keys, 2);
    struct tls_ticket_key key;
    bool renew;
    assert_true(tls_tickets_current(t, 0, &key));
    assert_memory_equal(&key, bytes[0], sizeof(bytes[0]));
    assert_true(tls_tickets_find(t, 1000000, (const uint8_t *)bytes[0], &key, &renew));
    assert_false(renew);
    assert_true(tls_tickets_find(t, 1000000, (const uint8_t *)bytes[1], &key, &renew));
    assert_true(renew); /* the client gets a ticket of the first */
    assert_memory_equal(&key, bytes[1], sizeof(bytes[1]));
    assert_false(tls_tickets_find(t, 0, (const uint8_t *)"0123456789abcdef", &key, &renew));
    tls_tickets_unref(&t);
    assert_null(t);
}

static void our_keys_are_replaced(void **state)
{
    (void)state;
    struct tls_tickets *t = tls_tickets_create(100);
    struct tls_ticket_key first, second, third, key;
    bool renew;
    assert_true(tls_tickets_current(t, 1000, &first));
    assert_true(tls_tickets_current(t, 1099, &key));
    assert_memory_equal(&key, &first, sizeof(key));
    assert_true(tls_tickets_current(t, 1100, &second));
    assert_memory_not_equal(&second, &first, sizeof(key));
    assert_true(tls_tickets_find(t, 1199, first.name, &key, &renew) && renew);
    assert_true(tls_tickets_find(t, 1199, second.name, &key, &renew) && !renew);
    assert_true(tls_tickets_current(t, 1200, &third));
    assert_false(tls_tickets_find(t, 1200, first.name, &key, &renew));
    assert_true(tls_tickets_find(t, 1200, second.name, &key, &renew) && renew);
    tls_tickets_unref(&t);
}

/* Nobody asked for long: what is older than its time opens nothing. */
static void old_keys_end_also_when_nobody_asks(void **state)
{
    (void)state;
    struct tls_tickets *t = tls_tickets_create(100);
    struct tls_ticket_key first, key;
    bool renew;
    assert_true(tls_tickets_current(t, 1000, &first));
    assert_false(tls_tickets_find(t, 1200, first.name, &key, &renew));
    struct tls_tickets *more = tls_tickets_ref(t);
    tls_tickets_unref(&t);
    assert_true(tls_tickets_current(more, 1250, &key));
    tls_tickets_unref(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(given_keys_open_and_the_first_seals),
        cmocka_unit_test(our_keys_are_replaced),
        cmocka_unit_test(old_keys_end_also_when_nobody_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
