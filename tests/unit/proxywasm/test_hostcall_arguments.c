/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every pointer and length of every host function, wrong in every way, in every callback: the answer is
 * INVALID_MEMORY_ACCESS, or what the call would have answered anyway, and nothing is written. And the two
 * engines answer alike to good and to empty arguments.
 */
#include "guest.h"
#include "proxywasm/abi/hostcalls.h"

/* 's' and the 'l' behind it: bytes; 'o', 'O': out-parameters; 'r': one that may be 0; 'n': a number. */
static const struct row {
    const char *function;
    const char *kinds;
    uint64_t numbers[4];
    const char *text;
} rows[] = {
    {"proxy_log", "nsl", {2}, "text"},
    {"proxy_get_log_level", "o", {0}, NULL},
    {"proxy_get_current_time_nanoseconds", "O", {0}, NULL},
    {"proxy_get_status", "ooo", {0}, NULL},
    {"proxy_get_property", "sloo", {0}, "copied"},
    {"proxy_set_property", "slsl", {0}, "copied"},
    {"proxy_get_buffer_bytes", "nnnoo", {0, 0, 100}, NULL},
    {"proxy_get_buffer_status", "noo", {0}, NULL},
    {"proxy_set_buffer_bytes", "nnnsl", {0, 0, 0}, "bytes"},
    {"proxy_get_header_map_size", "no", {0}, NULL},
    {"proxy_get_header_map_pairs", "noo", {0}, NULL},
    {"proxy_set_header_map_pairs", "nsl", {0}, "no pairs"},
    {"proxy_get_header_map_value", "nsloo", {0}, ":path"},
    {"proxy_add_header_map_value", "nslsl", {0}, "x-a"},
    {"proxy_replace_header_map_value", "nslsl", {0}, "x-a"},
    {"proxy_remove_header_map_value", "nsl", {0}, "x-a"},
    {"proxy_send_local_response", "nslslsln", {200, UINT32_MAX}, "text"},
    {"proxy_http_call", "slslslslno", {1000}, "cluster"},
    {"proxy_grpc_call", "slslslslslno", {1000}, "cluster"},
    {"proxy_grpc_stream", "slslslslo", {0}, "cluster"},
    {"proxy_grpc_send", "nsln", {6, 0}, "message"},
    {"proxy_get_shared_data", "slooo", {0}, "key"},
    {"proxy_set_shared_data", "slsln", {0}, "key"},
    {"proxy_register_shared_queue", "slo", {0}, "queue"},
    {"proxy_resolve_shared_queue", "slslo", {0}, "queue"},
    {"proxy_enqueue_shared_queue", "nsl", {1}, "item"},
    {"proxy_dequeue_shared_queue", "noo", {1}, NULL},
    {"proxy_define_metric", "nslo", {0}, "metric"},
    {"proxy_get_metric", "nO", {4}, NULL},
    {"proxy_call_foreign_function", "slslrr", {0}, "clear_route_cache"},
};

static const enum guest_function phases[] = {IN_HEADERS, IN_BODY, IN_TRAILERS, IN_RESPONSE, IN_LOG, IN_TICK};

struct arguments {
    uint64_t values[12];
    size_t count;
};

/* Everything right; with `empty` all bytes are (0, 0). */
static struct arguments good(struct guest *g, const struct row *row, bool empty)
{
    struct arguments a = {.count = strlen(row->kinds)};
    size_t number = 0;
    for (size_t i = 0; i < a.count; i++) {
        switch (row->kinds[i]) {
        case 'n':
            a.values[i] = row->numbers[number++];
            break;
        case 's':
            a.values[i] = empty ? 0 : guest_text(g, row->text);
            break;
        case 'l':
            a.values[i] = empty ? 0 : strlen(row->text);
            break;
        default:
            a.values[i] = guest_slot(g);
        }
    }
    return a;
}

static uint32_t call(struct guest *g, enum guest_function phase, const struct row *row,
                     const struct arguments *a)
{
    g->next_data = 0; /* nothing of earlier calls is needed any more */
    return guest_do(g, phase, row->function, a->values, a->count);
}

static void expect(uint32_t got, uint32_t right, const struct row *row, size_t argument, const char *what)
{
    /* A function that answers otherwise before it looks at memory may go on to do so. */
    if (got == PW_STATUS_INVALID_MEMORY_ACCESS || (right != PW_STATUS_OK && got == right))
        return;
    fail_msg("%s, argument %zu %s: status %u (%u with good arguments)", row->function, argument, what, got,
             right);
}

static void bad_pointers(void **state)
{
    (void)state;
    for (size_t p = 0; p < WEIR_ARRAY_LEN(phases); p++) {
        struct guest g;
        guest_open(&g, &(struct guest_options){.engine = ON_WASM});
        g.callouts.answer = PW_STATUS_INTERNAL_FAILURE; /* it has no room for hundreds of calls */
        for (size_t r = 0; r < WEIR_ARRAY_LEN(rows); r++) {
            const struct row *row = &rows[r];
            for (size_t i = 0; row->kinds[i]; i++) {
                struct arguments a = good(&g, row, false);
                uint32_t right = call(&g, phases[p], row, &a);
                char kind = row->kinds[i];
                if (kind == 'n')
                    continue;
                a = good(&g, row, false);
                uint64_t was = a.values[i];
                a.values[i] = kind == 'l' ? UINT32_MAX : guest_bad(&g);
                expect(call(&g, phases[p], row, &a), right, row, i, "far outside");
                a = good(&g, row, false);
                a.values[i] = kind == 'l' ? GUEST_BYTES_MAX : GUEST_BYTES - 1;
                if (kind != 's' || a.values[i + 1] > 1)
                    expect(call(&g, phases[p], row, &a), right, row, i, "across the end");
                if (kind == 's') { /* even of no bytes */
                    a = good(&g, row, true);
                    right = call(&g, phases[p], row, &a);
                    a = good(&g, row, true);
                    a.values[i] = 0x7fffffff;
                    expect(call(&g, phases[p], row, &a), right, row, i, "outside, of no bytes");
                }
                (void)was;
            }
        }
        guest_close(&g);
    }
}

static void engines_agree(void **state)
{
    (void)state;
    for (size_t p = 0; p < WEIR_ARRAY_LEN(phases); p++) {
        struct guest g[2];
        for (int e = 0; e < 2; e++)
            guest_open(&g[e], &(struct guest_options){.engine = e ? ON_NULL : ON_WASM,
                                                      .vm_id = e ? "native" : "sandbox"});
        for (size_t r = 0; r < WEIR_ARRAY_LEN(rows); r++) {
            for (int empty = 0; empty < 2; empty++) {
                uint32_t status[2];
                for (int e = 0; e < 2; e++) {
                    struct arguments a = good(&g[e], &rows[r], empty);
                    status[e] = call(&g[e], phases[p], &rows[r], &a);
                }
                if (status[0] != status[1])
                    fail_msg("%s, %s arguments: %u in the sandbox, %u native", rows[r].function,
                             empty ? "empty" : "good", status[0], status[1]);
            }
        }
        for (int e = 0; e < 2; e++)
            guest_close(&g[e]);
    }
}

/* A function that is not in the table above has no pointer, or is only in ABI 0.1.0. */
static void every_function_is_here(void **state)
{
    (void)state;
    for (size_t i = 0; i < host_functions_count; i++) {
        const struct host_function *fn = &host_functions[i];
        if (strncmp(fn->name, "proxy_", 6) != 0)
            continue;
        bool found = false;
        for (size_t r = 0; r < WEIR_ARRAY_LEN(rows); r++) {
            if (strcmp(rows[r].function, fn->name) == 0) {
                assert_int_equal(strlen(rows[r].kinds), fn->nargs);
                found = true;
            }
        }
        if (!found && strcmp(fn->name, "proxy_get_configuration") != 0)
            assert_true(fn->nargs <= 2); /* numbers only */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bad_pointers), cmocka_unit_test(engines_agree),
                                       cmocka_unit_test(every_function_is_here)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
