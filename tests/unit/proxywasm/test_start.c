/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a module may count on while it starts: which of its start functions runs and in which order, with
 * which contexts, which allocator is asked, and answers at the edges of its memory. The cases that hosts get
 * wrong.
 */
#include "engine_fixture.h"

#define IMPORTS                                                                                              \
    "(import \"env\" \"proxy_log\" (func $log (param i32 i32 i32) (result i32))) "                           \
    "(import \"env\" \"proxy_get_property\" (func $property (param i32 i32 i32 i32) (result i32))) "         \
    "(import \"env\" \"proxy_get_header_map_value\" (func $header (param i32 i32 i32 i32 i32) (result "      \
    "i32))) "                                                                                                \
    "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32))) "   \
    "(import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32))) "
#define MEMORY_AND_MARKER                                                                                    \
    "(memory (export \"memory\") 2) (func (export \"proxy_abi_version_0_2_1\")) "                            \
    "(data (i32.const 100) \"initialize\") (data (i32.const 120) \"main\") "                                 \
    "(data (i32.const 130) \"void\") (data (i32.const 140) \"start\") "                                      \
    "(data (i32.const 150) \"plugin_name\") "                                                                \
    "(func $say (param i32 i32) (drop (call $log (i32.const 2) (local.get 0) (local.get 1)))) "              \
    "(func $equal (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable))) "
#define ALLOCATOR                                                                                            \
    "(global $top (mut i32) (i32.const 4096)) (func (export \"malloc\") (param i32) (result i32) "           \
    "(global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0)))) "
#define INITIALIZE "(func (export \"_initialize\") (call $say (i32.const 100) (i32.const 10))) "
#define MAIN                                                                                                 \
    "(func (export \"main\") (param i32 i32) (result i32) (call $equal (local.get 0) (i32.const 0)) "        \
    "(call $equal (local.get 1) (i32.const 0)) (call $say (i32.const 120) (i32.const 4)) (i32.const 7)) "
#define MAIN_VOID                                                                                            \
    "(func (export \"__main_void\") (result i32) (call $say (i32.const 130) (i32.const 4)) (i32.const 7)) "
#define START "(func (export \"_start\") (call $say (i32.const 140) (i32.const 5))) "

/* Starts a VM with one root; the guest traps where it gets another answer than it should. */
static void runs(const char *text, const char *log)
{
    struct pw_module *module = must_load(text);
    struct vm_fixture v;

    fixture.log[0] = '\0';
    if (vm_open(&v, module, NULL) != PW_OK)
        fail_msg("%s\n%s", fixture.why.text, text);
    assert_string_equal(fixture.log, log);
    vm_close(&v);
    pw_module_unref(&module);
}

static void start_functions_run_in_order(void **state)
{
    static const char *const cases[][2] = {
        {WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR INITIALIZE MAIN MAIN_VOID START WAT_TAIL,
         "initialize\nmain\n"},
        {WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR INITIALIZE MAIN_VOID START WAT_TAIL,
         "initialize\nvoid\n"},
        {WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR INITIALIZE START WAT_TAIL, "initialize\n"},
        {WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR MAIN MAIN_VOID START WAT_TAIL, "start\n"},
        {WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR MAIN MAIN_VOID WAT_TAIL, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        runs(cases[i][0], cases[i][1]);
}

/* The root is 1 and has no parent; each callback of its start names it. */
static void the_first_root_is_one(void **state)
{
    (void)state;
    runs(WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR
         "(func (export \"proxy_on_context_create\") (param i32 i32) (call $equal (local.get 0) (i32.const "
         "1)) "
         " (call $equal (local.get 1) (i32.const 0)) (call $say (i32.const 120) (i32.const 1))) "
         "(func (export \"proxy_on_vm_start\") (param i32 i32) (result i32) "
         " (call $equal (local.get 0) (i32.const 1)) (call $equal (local.get 1) (i32.const 0)) "
         " (call $say (i32.const 121) (i32.const 1)) (i32.const 1)) "
         "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) "
         " (call $equal (local.get 0) (i32.const 1)) (call $equal (local.get 1) (i32.const 0)) "
         " (call $say (i32.const 122) (i32.const 1)) (i32.const 1)) " WAT_TAIL,
         "m\na\ni\n");
}

#define IN_CREATE "(func (export \"proxy_on_context_create\") (param i32 i32) "

/* Both allocators: the one that plugins of every age have is asked, and for no byte more than is given. */
static void malloc_goes_first(void **state)
{
    (void)state;
    runs(WAT_HEAD IMPORTS MEMORY_AND_MARKER
         "(func (export \"malloc\") (param i32) (result i32) (call $equal (local.get 0) (i32.const 6)) "
         "(i32.const "
         "300)) (func (export \"proxy_on_memory_allocate\") (param i32) (result i32) unreachable) " IN_CREATE
         " (call $equal (call $property (i32.const 150) (i32.const 11) (i32.const 200) (i32.const 204)) "
         "(i32.const "
         "0)) (call $equal (i32.load (i32.const 200)) (i32.const 300)) "
         " (call $say (i32.load (i32.const 200)) (i32.load (i32.const 204)))) " WAT_TAIL,
         "a name\n");
}

/* Address 0 is memory as any other, for results too. */
static void results_may_go_to_address_zero(void **state)
{
    (void)state;
    runs(WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR IN_CREATE
         " (call $equal (call $property (i32.const 150) (i32.const 11) (i32.const 4) (i32.const 0)) "
         "(i32.const 0)) "
         " (call $equal (i32.load (i32.const 0)) (i32.const 6)) "
         " (call $say (i32.load (i32.const 4)) (i32.load (i32.const 0)))) " WAT_TAIL,
         "a name\n");
}

/* The C++ SDK ends a path with a NUL, others do not. */
static void a_nul_ends_a_path(void **state)
{
    (void)state;
    runs(WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR IN_CREATE
         " (call $equal (call $property (i32.const 150) (i32.const 12) (i32.const 4) (i32.const 0)) "
         "(i32.const 0)) "
         " (call $say (i32.load (i32.const 4)) (i32.load (i32.const 0)))) " WAT_TAIL,
         "a name\n");
}

/* A level or a map that there is not is BAD_ARGUMENT, wherever the pointers go. */
static void what_is_asked_for_is_checked_before_memory(void **state)
{
    (void)state;
    runs(WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR IN_CREATE
         " (call $equal (call $log (i32.const 6) (i32.const 0x7fffffff) (i32.const 9)) (i32.const 2)) "
         " (call $equal (call $log (i32.const 2) (i32.const 0x7fffffff) (i32.const 9)) (i32.const 6)) "
         " (call $equal (call $header (i32.const 8) (i32.const 0x7fffffff) (i32.const 9) (i32.const "
         "0x7fffffff) "
         "  (i32.const 0x7fffffff)) (i32.const 2))) " WAT_TAIL,
         "");
}

/* Nothing at a place beyond memory is an error too; nothing at 0 is not. */
static void an_empty_range_has_a_place(void **state)
{
    (void)state;
    runs(WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR IN_CREATE
         " (call $equal (call $log (i32.const 2) (i32.const 0x7fffffff) (i32.const 0)) (i32.const 6)) "
         " (call $equal (call $log (i32.const 2) (i32.const 0) (i32.const 0)) (i32.const 0)) "
         " (call $equal (call $random (i32.const 0x7fffffff) (i32.const 0)) (i32.const 0))) " WAT_TAIL,
         "\n");
}

/* All parts are one line, of which one newline goes; parts without bytes have no place. */
static void written_parts_are_one_line(void **state)
{
    (void)state;
    runs(WAT_HEAD IMPORTS MEMORY_AND_MARKER ALLOCATOR
         "(data (i32.const 400) "
         "\"\\78\\00\\00\\00\\02\\00\\00\\00\\ff\\ff\\ff\\7f\\00\\00\\00\\00\\b0\\01\\00\\00\\03\\00\\00\\00"
         "\") "
         "(data (i32.const 432) \"x\\0a\\0a\") " IN_CREATE
         " (call $equal (call $write (i32.const 1) (i32.const 400) (i32.const 3) (i32.const 500)) (i32.const "
         "0)) "
         " (call $equal (i32.load (i32.const 500)) (i32.const 5)) "
         /* no bytes at all: no line */
         " (call $equal (call $write (i32.const 1) (i32.const 408) (i32.const 1) (i32.const 500)) (i32.const "
         "0)) "
         " (call $equal (i32.load (i32.const 500)) (i32.const 0)) "
         " (call $equal (call $write (i32.const 3) (i32.const 400) (i32.const 3) (i32.const 500)) (i32.const "
         "8))) " WAT_TAIL,
         "max\n\n");
}

/* A marker is a function: a global of its name says nothing, and the first function does. */
static void the_first_marker_that_is_a_function_counts(void **state)
{
    struct pw_module *module = must_load(
        WAT_HEAD
        "(memory (export \"memory\") 2) " ALLOCATOR
        "(global (export \"proxy_abi_version_0_2_1\") i32 (i32.const 1)) "
        "(func (export \"proxy_abi_version_0_1_0\")) (func (export \"proxy_abi_version_0_2_0\")) " WAT_TAIL);

    (void)state;
    assert_int_equal(pw_module_info(module)->abi, PW_ABI_0_1_0);
    pw_module_unref(&module);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_functions_run_in_order),
        cmocka_unit_test(the_first_root_is_one),
        cmocka_unit_test(malloc_goes_first),
        cmocka_unit_test(results_may_go_to_address_zero),
        cmocka_unit_test(a_nul_ends_a_path),
        cmocka_unit_test(what_is_asked_for_is_checked_before_memory),
        cmocka_unit_test(an_empty_range_has_a_place),
        cmocka_unit_test(written_parts_are_one_line),
        cmocka_unit_test(the_first_marker_that_is_a_function_counts),
    };

    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
