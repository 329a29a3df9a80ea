/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of compiled code: a hit is the same plugin without the compiler; an entry that is damaged in any
 * place, cut, or somebody else's is never mapped as code, and is replaced.
 */
#include "engine_fixture.h"

#include <proxywasm/fresh.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char plugin[] = WAT_HEAD WAT_BODY "(func (export \"proxy_on_tick\") (param i32))" WAT_TAIL;
static const char other_plugin[] = WAT_HEAD WAT_BODY "(func (export \"proxy_on_log\") (param i32))" WAT_TAIL;

static const struct pw_engine_config usual = {.size = sizeof(usual), .interruptible = true};

static char dir[64];
static char entry[512]; /* the path of the one entry */

static void remove_entries(void)
{
    DIR *d = opendir(dir);
    const struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static int cache_start(void **state)
{
    (void)state;
    memcpy(dir, "/tmp/weir-cache-XXXXXX", 23);
    assert_non_null(mkdtemp(dir));
    fixture_start_with("wasmtime", &usual, dir);
    return 0;
}

static int cache_stop(void **state)
{
    fixture_stop(state);
    remove_entries();
    return rmdir(dir);
}

static size_t find_entry(void)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    size_t count = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.') {
            (void)snprintf(entry, sizeof(entry), "%s/%s", dir, e->d_name);
            count++;
        }
    closedir(d);
    return count;
}

/* Whether loading took the cached code. The plugin must run either way. */
static bool load_hits(const char *text)
{
    struct pw_module *module = must_load(text);
    bool hit = pw_module_info(module)->from_cache;
    struct vm_fixture v;

    assert_true(pw_module_info(module)->compiled_bytes > 1000);
    assert_int_equal(vm_open(&v, module, NULL), PW_OK);
    pw_root_tick(v.root);
    assert_false(pw_vm_failed(v.vm));
    vm_close(&v);
    pw_module_unref(&module);
    return hit;
}

static char *read_entry(size_t *len)
{
    FILE *f = fopen(entry, "rb");
    struct stat status;
    char *content;

    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &status), 0);
    *len = (size_t)status.st_size;
    content = malloc(*len);
    assert_int_equal(fread(content, 1, *len, f), *len);
    fclose(f);
    return content;
}

static void write_entry(const char *content, size_t len)
{
    int fd = open(entry, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), (ssize_t)len);
    close(fd);
}

static void a_second_load_hits(void **state)
{
    struct stat status;

    (void)state;
    assert_false(load_hits(plugin));
    assert_int_equal(find_entry(), 1);
    assert_int_equal(stat(entry, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_true(load_hits(plugin));
    assert_int_equal(find_entry(), 1);
    assert_false(load_hits(other_plugin));
    assert_int_equal(find_entry(), 2);
    remove_entries();
}

static void other_settings_are_other_entries(void **state)
{
    const struct pw_engine_config plain = {.size = sizeof(plain)};
    const struct pw_engine_config pool = {
        .size = sizeof(pool), .interruptible = true, .pool_slots = 4, .pool_memory_bytes = 1 << 20};

    (void)state;
    assert_false(load_hits(plugin));
    fixture_stop(NULL);
    fixture_start_with("wasmtime", &plain, dir);
    assert_false(load_hits(plugin));
    assert_int_equal(find_entry(), 2);
    /* A pool's memories begin as mapped images: compiled in another way. */
    fixture_stop(NULL);
    fixture_start_with("wasmtime", &pool, dir);
    assert_false(load_hits(plugin));
    assert_int_equal(find_entry(), 3);
    fixture_stop(NULL);
    fixture_start_with("wasmtime", &usual, dir);
    remove_entries();
}

/* Every 61st byte: each kind of place is met, in half a second. */
static void any_damage_is_found_and_repaired(void **state)
{
    size_t len;
    char *content;

    (void)state;
    assert_false(load_hits(plugin));
    find_entry();
    content = read_entry(&len);
    for (size_t at = 0; at < len; at += 61) {
        content[at] ^= 0x10;
        write_entry(content, len);
        content[at] ^= 0x10;
        fixture.log[0] = '\0';
        if (load_hits(plugin))
            fail_msg("damage at %zu of %zu was not found", at, len);
        assert_non_null(strstr(fixture.log, "damaged or foreign"));
    }
    assert_true(load_hits(plugin));
    free(content);
    remove_entries();
}

static void cut_and_longer_entries_are_refused(void **state)
{
    size_t len;
    char *content;

    (void)state;
    assert_false(load_hits(plugin));
    find_entry();
    content = read_entry(&len);
    const size_t lens[] = {0, 1, 100, len / 2, len - 1};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        write_entry(content, lens[i]);
        assert_false(load_hits(plugin));
        assert_true(load_hits(plugin));
    }
    content = realloc(content, len + 1);
    content[len] = 0;
    write_entry(content, len + 1);
    assert_false(load_hits(plugin));
    free(content);
    remove_entries();
}

/* A whole, intact entry of another plugin under this one's name. */
static void a_foreign_entry_is_refused(void **state)
{
    size_t len;
    char *content;

    (void)state;
    assert_false(load_hits(other_plugin));
    find_entry();
    content = read_entry(&len);
    remove_entries();
    assert_false(load_hits(plugin));
    find_entry();
    write_entry(content, len);
    fixture.log[0] = '\0';
    assert_false(load_hits(plugin));
    assert_non_null(strstr(fixture.log, "damaged or foreign"));
    assert_true(load_hits(plugin));
    free(content);
    remove_entries();
}

static bool store_fails(void *ctx, const char *key, struct pw_slice content)
{
    (void)ctx;
    (void)key;
    (void)content;
    return false;
}

static void a_cache_that_fails_is_no_error(void **state)
{
    struct pw_engine *engine;
    struct pw_host *host;
    struct pw_module *module;

    (void)state;
    fixture.ops.cache_store = store_fails;
    host = pw_host_create(&fixture.ops, fixture.posix);
    assert_int_equal(pw_engine_create(host, "wasmtime", &usual, &engine, &fixture.why), PW_OK);
    fixture.log[0] = '\0';
    assert_int_equal(pw_module_load(engine, (struct pw_slice){"test", 4},
                                    (struct pw_slice){plugin, sizeof(plugin) - 1}, &module, &fixture.why),
                     PW_OK);
    assert_non_null(strstr(fixture.log, "could not be stored"));
    assert_int_equal(find_entry(), 0);
    pw_module_unref(&module);
    pw_engine_destroy(&engine);
    pw_host_destroy(&host);
}

/* What configure leaves behind is the configuration itself, at 64, and its length in a global. */
static const char configured[] =
    WAT_HEAD "(import \"env\" \"proxy_get_buffer_bytes\" (func $get (param i32 i32 i32 i32 i32) (result "
             "i32))) " WAT_BODY "(global $length (mut i32) (i32.const 0)) "
             "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) "
             " (drop (call $get (i32.const 7) (i32.const 0) (local.get 1) (i32.const 64) (i32.const 68))) "
             " (global.set $length (local.get 1)) (i32.const 1))" WAT_TAIL;

/* Whether the snapshot of a start with this configuration came from the cache. */
static bool snapshot_hits(const char *configuration)
{
    const struct pw_engine_config pool_config = {
        .size = sizeof(pool_config), .interruptible = true, .pool_slots = 4, .pool_memory_bytes = 1 << 20};
    struct pw_vm_config vm_config = {.size = sizeof(vm_config)};
    struct pw_plugin_config plugin_config = {.size = sizeof(plugin_config),
                                             .name = {"a name", 6},
                                             .configuration = {configuration, strlen(configuration)}};
    struct pw_snapshot *snapshot;
    struct pw_module *module;
    struct pw_plugin *of;
    struct pw_engine *pool;
    struct pw_root *root;
    struct pw_vm *vm;
    bool hit;

    assert_int_equal(pw_engine_create(fixture.host, "wasmtime", &pool_config, &pool, &fixture.why), PW_OK);
    assert_int_equal(pw_module_load_instrumented(fixture.engine, (struct pw_slice){"test", 4},
                                                 (struct pw_slice){configured, strlen(configured)}, &module,
                                                 &fixture.why),
                     PW_OK);
    assert_int_equal(pw_vm_create(module, &vm_config, &vm, &fixture.why), PW_OK);
    assert_int_equal(pw_plugin_create(&plugin_config, &of), PW_OK);
    assert_int_equal(pw_root_create(vm, of, &root, &fixture.why), PW_OK);
    assert_int_equal(pw_snapshot_create(vm, pool, &snapshot, &fixture.why), PW_OK);
    hit = pw_module_info(pw_snapshot_module(snapshot))->from_cache;
    pw_snapshot_unref(&snapshot);
    pw_vm_destroy(&vm);
    pw_plugin_unref(&of);
    pw_module_unref(&module);
    pw_engine_destroy(&pool);
    return hit;
}

static void a_snapshot_is_found_by_what_is_in_it(void **state)
{
    (void)state;
    remove_entries();
    assert_false(snapshot_hits("one"));
    assert_true(snapshot_hits("one"));  /* another start, nothing changed */
    assert_false(snapshot_hits("two")); /* as long: only bytes of the memory differ */
    assert_false(snapshot_hits("three"));
    assert_true(snapshot_hits("two"));
    assert_true(snapshot_hits("one"));
    remove_entries();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_load_hits),
        cmocka_unit_test(other_settings_are_other_entries),
        cmocka_unit_test(any_damage_is_found_and_repaired),
        cmocka_unit_test(cut_and_longer_entries_are_refused),
        cmocka_unit_test(a_foreign_entry_is_refused),
        cmocka_unit_test(a_snapshot_is_found_by_what_is_in_it),
        cmocka_unit_test(a_cache_that_fails_is_no_error),
    };
    return cmocka_run_group_tests(tests, cache_start, cache_stop);
}
