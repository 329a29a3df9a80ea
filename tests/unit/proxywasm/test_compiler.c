/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compilers in processes of their own: what a bomb, a dying and a silent one cost, and code that is compiled
 * quickly first. This program is its own compiler.
 */
#include "engine_fixture.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMPILE_ARGUMENT "--compile"
#define MIB              (UINT64_C(1) << 20)

static const char plugin[] = WAT_HEAD WAT_BODY
    "(func (export \"proxy_on_tick\") (param i32) (drop (call $malloc (i32.const 8))))" WAT_TAIL;

static const char *const itself[] = {"/proc/self/exe", COMPILE_ARGUMENT, NULL};

static void start_with(const char *const *compiler, struct pw_posix_config posix, uint64_t quick_bytes_min)
{
    struct pw_engine_config config = {
        .size = sizeof(config), .interruptible = true, .quick_bytes_min = quick_bytes_min};

    posix.size = sizeof(posix);
    posix.compiler = compiler;
    fixture_start_posix("wasmtime", &config, &posix);
}

static void stop(void)
{
    fixture_stop(NULL);
}

static void tick(struct pw_module *module)
{
    struct vm_fixture v;

    assert_int_equal(vm_open(&v, module, NULL), PW_OK);
    pw_root_tick(v.root);
    assert_false(pw_vm_failed(v.vm));
    vm_close(&v);
}

static long count_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    long count = 0;

    assert_non_null(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static void a_plugin_is_compiled_elsewhere(void **state)
{
    struct rusage before, after;
    struct pw_module *module;
    long threads;

    (void)state;
    start_with(itself, (struct pw_posix_config){0}, 0);
    threads = count_threads();
    getrusage(RUSAGE_CHILDREN, &before);
    module = must_load(plugin);
    getrusage(RUSAGE_CHILDREN, &after);
    assert_true(after.ru_maxrss > before.ru_maxrss);
    /* The compiler's threads would have stayed here. */
    assert_int_equal(count_threads(), threads);
    assert_false(pw_module_quick(module));
    tick(module);
    pw_module_unref(&module);
    must_not_load("(module (func (export \"proxy_abi_version_0_2_1\")) (memory (export \"memory\") 1) "
                  "(func (export \"malloc\") (param i32) (result i32) (i64.const 1)))",
                  PW_ERR_BAD_MODULE, "type mismatch");
    stop();
}

/* A function of `steps` steps over many variables, for which registers are found slowly. */
static uint8_t *make_bomb(size_t steps, size_t *len)
{
    static const char head[] =
        "\0asm\1\0\0\0" /* types () and (i32) -> i32, functions of them, a memory */
        "\1\x9\2\x60\0\0\x60\1\x7f\1\x7f\3\3\2\0\1\5\3\1\0\1\7\x2d\3\6memory\2\0\6malloc\0\1"
        "\x17proxy_abi_version_0_2_1\0\0";
    const size_t step_bytes = 12;
    size_t body = 4 + steps * step_bytes + 1;
    uint8_t *bomb = malloc(sizeof(head) + 64 + body);
    size_t at = sizeof(head) - 1;

    assert_non_null(bomb);
    memcpy(bomb, head, at);
    bomb[at++] = 10;
    for (int pass = 0; pass < 2; pass++) {
        size_t value = pass == 0 ? body + 5 + 1 + 5 : body;

        if (pass == 1)
            bomb[at++] = 2;
        for (int i = 0; i < 4; i++, value >>= 7)
            bomb[at++] = (uint8_t)(value | 0x80);
        bomb[at++] = (uint8_t)value;
    }
    bomb[at++] = 1; /* 100 variables */
    bomb[at++] = 100;
    bomb[at++] = 0x7f;
    bomb[at++] = 0x01; /* nop, to make it four */
    for (size_t i = 0; i < steps; i++) {
        uint8_t x = (uint8_t)(i * 7 % 100), y = (uint8_t)(i * 13 % 97), z = (uint8_t)(i * 29 % 89);
        const uint8_t step[] = {0x20, x, 0x20, y, 0x6a, 0x21, z, 0x20, x, 0x04, 0x40, 0x0b};

        memcpy(bomb + at, step, sizeof(step));
        at += sizeof(step);
    }
    bomb[at++] = 0x0b;
    /* the allocator: returns 0 */
    memcpy(bomb + at, "\4\0\x41\0\x0b", 5);
    at += 5;
    *len = at;
    return bomb;
}

static void must_refuse_bomb(int error, const char *message)
{
    struct pw_module *module;
    size_t len;
    uint8_t *bomb = make_bomb(400000, &len);

    if (load_bytes(bomb, len, &module) != error || !strstr(fixture.why.text, message))
        fail_msg("\"%s\" is not in \"%s\"", message, fixture.why.text);
    free(bomb);
}

static void a_small_bomb_is_a_good_module(void **state)
{
    struct pw_module *module;
    size_t len;
    uint8_t *bomb = make_bomb(10, &len);

    (void)state;
    start_with(itself, (struct pw_posix_config){0}, 0);
    if (load_bytes(bomb, len, &module) != PW_OK)
        fail_msg("%s", fixture.why.text);
    pw_module_unref(&module);
    free(bomb);
    stop();
}

static long resident_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    fclose(f);
    return kib;
}

static void a_bomb_costs_a_message(void **state)
{
    long before;

    (void)state;
    start_with(itself, (struct pw_posix_config){.compile_cpu_max_s = 1}, 0);
    must_refuse_bomb(PW_ERR_LIMIT, "limit of 1 s of processor time");
    assert_non_null(strstr(fixture.why.text, "compile_cpu_max_s"));
    before = resident_kib();
    must_refuse_bomb(PW_ERR_LIMIT, "limit of 1 s of processor time");
    if (!UNDER_SANITIZER)
        assert_true(resident_kib() - before < 16 * 1024); /* the compiler would have left hundreds of MiB */
    stop();
}

static void a_memory_bomb_costs_a_message(void **state)
{
    (void)state;
    if (UNDER_SANITIZER)
        skip(); /* a sanitizer needs all addresses */
    start_with(itself, (struct pw_posix_config){.compile_memory_max_bytes = 64 * MIB}, 0);
    must_refuse_bomb(PW_ERR_LIMIT, "limit of 64 MiB of memory");
    stop();
}

static void a_silent_compiler_is_ended(void **state)
{
    static const char *const command[] = {"/bin/sleep", "1000", NULL};

    (void)state;
    start_with(command, (struct pw_posix_config){.compile_time_max_s = 1}, 0);
    must_not_load(plugin, PW_ERR_LIMIT, "limit of 1 s on the clock");
    stop();
}

static void a_dying_compiler_is_a_message(void **state)
{
    static const char *const command[] = {"/bin/sh", "-c", "echo so long >&2; kill -SEGV $$", NULL};
    static const char *const failing[] = {"/bin/sh", "-c", "exit 77", NULL};
    static const char *const lying[] = {"/bin/sh", "-c", "echo not code", NULL};
    static const char *const missing[] = {"/nowhere/at/all", NULL};

    (void)state;
    start_with(command, (struct pw_posix_config){0}, 0);
    must_not_load(plugin, PW_ERR_BAD_MODULE, "died by signal 11 (Segmentation fault): so long");
    stop();
    start_with(failing, (struct pw_posix_config){0}, 0);
    must_not_load(plugin, PW_ERR_IO, "ended with status 77");
    stop();
    start_with(lying, (struct pw_posix_config){0}, 0);
    must_not_load(plugin, PW_ERR_BAD_MODULE, "cannot be loaded");
    stop();
    start_with(missing, (struct pw_posix_config){0}, 0);
    must_not_load(plugin, PW_ERR_IO, "cannot start the compiler /nowhere/at/all: No such file");
    stop();
}

static void *load_in_thread(void *arg)
{
    struct pw_module *module;

    (void)arg;
    assert_int_equal(load_text(plugin, &module), PW_ERR_IO);
    return NULL;
}

static void compilers_end_with_the_process(void **state)
{
    static const char *const command[] = {"/bin/sh", "-c", "exec /bin/sleep 1000", NULL};
    pthread_t thread;

    (void)state;
    start_with(command, (struct pw_posix_config){0}, 0);
    assert_int_equal(pthread_create(&thread, NULL, load_in_thread, NULL), 0);
    pw_posix_stop_compiling(fixture.posix);
    pthread_join(thread, NULL);
    assert_non_null(strstr(fixture.why.text, "given up"));
    stop();
}

static void quick_code_is_replaced_for_new_instances(void **state)
{
    char dir[] = "/tmp/weir-compiler-XXXXXX";
    struct pw_posix_config posix = {.cache_dir = dir};
    struct pw_module *module;
    struct vm_fixture old;
    DIR *d;

    (void)state;
    assert_non_null(mkdtemp(dir));
    start_with(itself, posix, 1);
    module = must_load(plugin);
    assert_true(pw_module_quick(module));
    assert_int_equal(vm_open(&old, module, NULL), PW_OK);
    pw_module_unref(&module);
    module = must_load(plugin); /* the entry says that it is quick */
    assert_true(pw_module_info(module)->from_cache);
    assert_true(pw_module_quick(module));
    assert_int_equal(pw_module_optimise(module, &fixture.why), PW_OK);
    assert_false(pw_module_quick(module));
    assert_int_equal(pw_module_optimise(module, &fixture.why), PW_OK); /* nothing to do */
    pw_root_tick(old.root);
    assert_false(pw_vm_failed(old.vm));
    tick(module);
    vm_close(&old);
    pw_module_unref(&module);
    module = must_load(plugin);
    assert_true(pw_module_info(module)->from_cache);
    assert_false(pw_module_quick(module));
    tick(module);
    pw_module_unref(&module);
    stop();
    d = opendir(dir);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    assert_int_equal(rmdir(dir), 0);
}

static void without_a_cache_too(void **state)
{
    struct pw_module *module;

    (void)state;
    start_with(itself, (struct pw_posix_config){0}, 1);
    module = must_load(plugin);
    assert_true(pw_module_quick(module));
    assert_int_equal(pw_module_optimise(module, &fixture.why), PW_OK);
    assert_false(pw_module_quick(module));
    tick(module);
    pw_module_unref(&module);
    stop();
}

static bool put_nowhere(void *ctx, struct pw_slice bytes)
{
    (void)ctx;
    (void)bytes;
    return false;
}

static void nonsense_is_not_an_order(void **state)
{
    static char bytes[256] = "weir compile  1";
    struct pw_message why;

    (void)state;
    memset(bytes + 16, 0xff, sizeof(bytes) - 16); /* lengths that are not there */
    for (size_t len = 0; len <= sizeof(bytes); len++)
        assert_int_equal(pw_compiler_run((struct pw_slice){bytes, len}, put_nowhere, NULL, &why),
                         PW_ERR_INVALID_ARGUMENT);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_is_compiled_elsewhere),
        cmocka_unit_test(a_small_bomb_is_a_good_module),
        cmocka_unit_test(a_bomb_costs_a_message),
        cmocka_unit_test(a_memory_bomb_costs_a_message),
        cmocka_unit_test(a_silent_compiler_is_ended),
        cmocka_unit_test(a_dying_compiler_is_a_message),
        cmocka_unit_test(compilers_end_with_the_process),
        cmocka_unit_test(quick_code_is_replaced_for_new_instances),
        cmocka_unit_test(without_a_cache_too),
        cmocka_unit_test(nonsense_is_not_an_order),
    };

    if (argc == 2 && strcmp(argv[1], COMPILE_ARGUMENT) == 0)
        return pw_posix_compiler_main();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
