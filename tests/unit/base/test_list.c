/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The intrusive ring: order, removing twice, removing while stepping, splicing.
 */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list node;
};

static void check(struct list *head, const char *digits)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, head)
    {
        assert_int_equal('0' + list_entry(node, struct item, node)->number, *digits);
        digits++;
        assert_ptr_equal(node->next->prev, node);
        assert_ptr_equal(node->prev->next, node);
    }
    assert_int_equal(*digits, '\0');
}

static void order(void **state)
{
    struct list head;
    struct item items[5];
    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_init(&items[i].node);
        if (i % 2)
            list_push_front(&head, &items[i].node);
        else
            list_push_back(&head, &items[i].node);
    }
    check(&head, "31024");
    assert_int_equal(list_first(&head, struct item, node)->number, 3);
    assert_int_equal(list_last(&head, struct item, node)->number, 4);
    list_remove(&items[0].node);
    list_remove(&items[0].node);
    check(&head, "3124");
    struct list *node, *tmp;
    list_for_each(node, tmp, &head)
    {
        if (list_entry(node, struct item, node)->number % 2)
            list_remove(node);
    }
    check(&head, "24");
    list_remove(&items[2].node);
    list_remove(&items[4].node);
    assert_true(list_empty(&head));
}

static void splicing(void **state)
{
    struct list a, b;
    struct item items[4];
    (void)state;
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        list_push_back(i < 2 ? &a : &b, &items[i].node);
    }
    list_splice_back(&a, &b);
    check(&a, "0123");
    assert_true(list_empty(&b));
    list_splice_back(&a, &b);
    check(&a, "0123");
    list_splice_back(&b, &a);
    check(&b, "0123");
    check(&a, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(order), cmocka_unit_test(splicing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
