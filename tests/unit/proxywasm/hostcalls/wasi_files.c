/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WASI functions for files and sockets: the errno that language runtimes expect.
 */
#include "guest.h"

int test_wasi_files(void);

static void constants(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t args[12];
        size_t nargs;
        uint32_t error;
    } rows[] = {
        {"fd_read", {1, 0, 0, 0}, 4, 52},
        {"fd_pread", {1, 0, 0, 0, 0}, 5, 52},
        {"fd_close", {1}, 1, 0},
        {"fd_fdstat_set_flags", {1, 0}, 2, 52},
        {"fd_advise", {1, 0, 0, 0}, 4, 0},
        {"fd_prestat_get", {3, 0}, 2, 8},
        {"fd_prestat_dir_name", {3, 0, 0}, 3, 52},
        {"fd_filestat_get", {1, 0}, 2, 8},
        {"path_open", {3, 0, 0, 0, 0, 0, 0, 0, 0}, 9, 44},
        {"path_filestat_get", {3, 0, 0, 0, 0}, 5, 58},
        {"path_create_directory", {3, 0, 0}, 3, 58},
        {"path_remove_directory", {3, 0, 0}, 3, 58},
        {"path_unlink_file", {3, 0, 0}, 3, 58},
        {"path_filestat_set_times", {3, 0, 0, 0, 0, 0, 0}, 7, 58},
        {"path_link", {3, 0, 0, 0, 3, 0, 0}, 7, 58},
        {"path_rename", {3, 0, 0, 3, 0, 0}, 6, 58},
        {"path_symlink", {0, 0, 3, 0, 0}, 5, 58},
        {"sock_recv", {3, 0, 0, 0, 0, 0}, 6, 58},
        {"sock_send", {3, 0, 0, 0, 0}, 5, 58},
        {"sock_shutdown", {3, 0}, 2, 58},
        {"fd_renumber", {1, 2}, 2, 58},
        {"fd_renumber", {1, 3}, 2, 8},
        {"fd_fdstat_set_rights", {1, 0, 0}, 3, 0},
        {"fd_fdstat_set_rights", {2, 0, 0}, 3, 0},
        {"fd_fdstat_set_rights", {0, 0, 0}, 3, 8},
        {"fd_fdstat_set_rights", {3, 0, 0}, 3, 8},
        {"fd_allocate", {1, 0, 0}, 3, 0},
        {"fd_allocate", {2, 0, 0}, 3, 0},
        {"fd_allocate", {0, 0, 0}, 3, 8},
        {"fd_allocate", {3, 0, 0}, 3, 8},
        {"fd_datasync", {1}, 1, 0},
        {"fd_datasync", {2}, 1, 0},
        {"fd_datasync", {0}, 1, 8},
        {"fd_datasync", {3}, 1, 8},
        {"fd_sync", {1}, 1, 0},
        {"fd_sync", {2}, 1, 0},
        {"fd_sync", {0}, 1, 8},
        {"fd_sync", {3}, 1, 8},
        {"fd_filestat_set_size", {1, 0}, 2, 0},
        {"fd_filestat_set_size", {2, 0}, 2, 0},
        {"fd_filestat_set_size", {0, 0}, 2, 8},
        {"fd_filestat_set_size", {3, 0}, 2, 8},
        {"fd_filestat_set_times", {1, 0, 0, 0}, 4, 0},
        {"fd_filestat_set_times", {2, 0, 0, 0}, 4, 0},
        {"fd_filestat_set_times", {0, 0, 0, 0}, 4, 8},
        {"fd_filestat_set_times", {3, 0, 0, 0}, 4, 8},
    };
    struct guest g;
    guest_open(&g, &(struct guest_options){0});
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (guest_do(&g, IN_HEADERS, rows[i].name, rows[i].args, rows[i].nargs) != rows[i].error)
            fail_msg("%s, row %zu", rows[i].name, i);
    }
    guest_close(&g);
}

static void fdstat(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t s = guest_bytes(&g, "                              ", 30);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_fdstat_get", ARGS(1, s)), 0);
    assert_memory_equal(guest_ptr(&g, s), "\0\0\0\0\0\0\0\0@\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0 ", 25);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_fdstat_get", ARGS(0, s)), 8);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_fdstat_get", ARGS(2, guest_bad(&g))), 21);
    guest_close(&g);
}

static void outputs(void **state)
{
    (void)state;
    struct guest g;
    guest_open(&g, &(struct guest_options){.engine = ON_WASM});
    uint64_t n = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_seek", ARGS(1, 5, 0, n)), 0);
    assert_true(guest_out64(&g, n) == 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_tell", ARGS(1, n)), 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_tell", ARGS(3, n)), 8);
    uint64_t m = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "fd_readdir", ARGS(3, 0, 0, 0, m)), 20);
    assert_int_equal(guest_out(&g, m), 0);
    uint64_t a = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "sock_accept", ARGS(3, 0, a)), 58);
    assert_int_equal(guest_out(&g, a), 0); /* four bytes, not eight */
    uint64_t l = guest_slot(&g);
    assert_int_equal(guest_do(&g, IN_HEADERS, "path_readlink", ARGS(3, 0, 0, 0, 0, l)), 58);
    assert_int_equal(guest_out(&g, l), 0);
    assert_int_equal(guest_do(&g, IN_HEADERS, "sock_accept", ARGS(3, 0, guest_bad(&g))), 21);
    guest_close(&g);
}

int test_wasi_files(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants),
        cmocka_unit_test(fdstat),
        cmocka_unit_test(outputs),
    };
    return cmocka_run_group_tests_name("wasi_files", tests, NULL, NULL);
}
