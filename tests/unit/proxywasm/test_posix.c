/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ready-made callbacks: a cache directory that others could write to is refused, links are not followed,
 * names cannot leave the directory, and the watchdog really ticks.
 */
#include "engine_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static char base[64];
static char path[128];
static char second[128];
static struct pw_message why;

static int start(void **state)
{
    (void)state;
    memcpy(base, "/tmp/weir-posix-XXXXXX", 23);
    return mkdtemp(base) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    return rmdir(base);
}

static int create(const char *cache_dir, const char *native_dir, struct pw_posix **out)
{
    const struct pw_posix_config config = {
        .size = sizeof(config), .cache_dir = cache_dir, .native_dir = native_dir, .cache_bytes_max = 25};

    why.text[0] = '\0';
    return pw_posix_create(&config, out, &why);
}

static const char *in_base(char *dst, const char *name)
{
    (void)snprintf(dst, sizeof(path), "%s/%s", base, name);
    return dst;
}

static void the_cache_directory_is_made_private(void **state)
{
    struct pw_posix *posix;
    struct stat status;

    (void)state;
    assert_int_equal(create(in_base(path, "cache"), NULL, &posix), PW_OK);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    pw_posix_destroy(&posix);
    assert_null(posix);
    assert_int_equal(create(path, NULL, &posix), PW_OK); /* it is there already */
    pw_posix_destroy(&posix);
    rmdir(path);
}

static void an_open_directory_is_refused(void **state)
{
    struct pw_posix *posix;

    (void)state;
    in_base(path, "open");
    for (unsigned mode = 0710; mode != 0; mode = mode == 0710 ? 0750 : mode == 0750 ? 0702 : 0) {
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chmod(path, mode), 0);
        assert_int_equal(create(path, NULL, &posix), PW_ERR_IO);
        assert_null(posix);
        assert_non_null(strstr(why.text, "closed to others"));
        rmdir(path);
    }
}

static void a_link_is_refused(void **state)
{
    struct pw_posix *posix;

    (void)state;
    assert_int_equal(mkdir(in_base(path, "real"), 0700), 0);
    assert_int_equal(symlink(path, in_base(second, "link")), 0);
    assert_int_equal(create(second, NULL, &posix), PW_ERR_IO);
    unlink(second);
    rmdir(path);
    assert_int_equal(create(in_base(path, "no/such"), NULL, &posix), PW_ERR_IO);
    assert_non_null(strstr(why.text, "No such file"));
}

static void entries_are_stored_whole(void **state)
{
    struct pw_posix *posix;
    struct stat status;
    char content[16];
    int fd;

    (void)state;
    assert_int_equal(create(in_base(path, "cache"), NULL, &posix), PW_OK);
    assert_false(pw_posix_cache_open(posix, "key", &fd));
    assert_true(pw_posix_cache_store(posix, "key", (struct pw_slice){"first", 5}));
    assert_true(pw_posix_cache_open(posix, "key", &fd));
    /* Replacing does not touch what is open. */
    assert_true(pw_posix_cache_store(posix, "key", (struct pw_slice){"second", 6}));
    assert_int_equal(read(fd, content, sizeof(content)), 5);
    close(fd);
    assert_true(pw_posix_cache_open(posix, "key", &fd));
    assert_int_equal(read(fd, content, sizeof(content)), 6);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    /* An entry that others may write is not opened. */
    assert_int_equal(chmod(in_base(second, "cache/key"), 0620), 0);
    assert_false(pw_posix_cache_open(posix, "key", &fd));
    assert_true(pw_posix_cache_store(posix, "key", (struct pw_slice){"third", 5}));
    assert_true(pw_posix_cache_open(posix, "key", &fd));
    close(fd);
    unlink(second);
    /* Nor is a link, whatever it points to. */
    assert_int_equal(symlink("/etc/passwd", second), 0);
    assert_false(pw_posix_cache_open(posix, "key", &fd));
    assert_true(pw_posix_cache_store(posix, "key", (struct pw_slice){"fourth", 6}));
    assert_int_equal(lstat(second, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    unlink(second);
    pw_posix_destroy(&posix);
    rmdir(path);
}

static bool has(struct pw_posix *posix, const char *key)
{
    int fd;

    if (!pw_posix_cache_open(posix, key, &fd))
        return false;
    close(fd);
    return true;
}

/* 25 bytes are the cap. */
static void entries_unused_for_longest_go(void **state)
{
    const struct timespec times[4][2] = {{{100, 0}, {100, 0}}, {{200, 0}, {200, 0}}, {{300, 0}, {300, 0}}};
    const char *const keys[] = {"a", "b", "c"};
    struct pw_posix *posix;
    int dir;

    (void)state;
    assert_int_equal(create(in_base(path, "cache"), NULL, &posix), PW_OK);
    dir = open(path, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 3; i++) {
        assert_true(pw_posix_cache_store(posix, keys[i], (struct pw_slice){"12345678", 8}));
        assert_int_equal(utimensat(dir, keys[i], times[i], 0), 0);
    }
    assert_true(has(posix, "a")); /* used: now the youngest */
    assert_true(pw_posix_cache_store(posix, "d", (struct pw_slice){"12345678", 8}));
    assert_true(has(posix, "a"));
    assert_false(has(posix, "b"));
    assert_true(has(posix, "c"));
    assert_true(has(posix, "d"));
    /* One that is too large alone stays: it was just asked for. */
    assert_true(pw_posix_cache_store(posix, "e", (struct pw_slice){"123456789012345678901234567890", 30}));
    assert_true(has(posix, "e"));
    assert_false(has(posix, "a") || has(posix, "c") || has(posix, "d"));
    assert_int_equal(unlinkat(dir, "e", 0), 0);
    close(dir);
    pw_posix_destroy(&posix);
    assert_int_equal(rmdir(path), 0);
}

static void names_stay_in_the_directory(void **state)
{
    static const char *const bad[] = {"", "..", "../key", "a/b", "/etc/passwd", ".hidden"};
    struct pw_posix *posix;
    int fd;

    (void)state;
    assert_int_equal(create(in_base(path, "cache"), base, &posix), PW_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct pw_slice name = {bad[i], strlen(bad[i])};

        assert_false(pw_posix_cache_open(posix, bad[i], &fd));
        assert_false(pw_posix_cache_store(posix, bad[i], (struct pw_slice){"x", 1}));
        assert_null(pw_posix_native_load(posix, name, &why));
        assert_non_null(strstr(why.text, "plain name"));
    }
    assert_null(pw_posix_native_load(posix, (struct pw_slice){"none", 4}, &why));
    assert_non_null(strstr(why.text, "none.so"));
    pw_posix_destroy(&posix);
    rmdir(path);
}

static void leftovers_of_killed_writers_go(void **state)
{
    struct timeval old[2] = {{1000, 0}, {1000, 0}};
    struct pw_posix *posix;
    int fd;

    (void)state;
    assert_int_equal(mkdir(in_base(path, "cache"), 0700), 0);
    fd = open(in_base(second, "cache/.new-1-1-1"), O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(create(path, NULL, &posix), PW_OK);
    assert_int_equal(access(second, F_OK), 0); /* it may be in use */
    pw_posix_destroy(&posix);
    assert_int_equal(utimes(second, old), 0);
    assert_int_equal(create(path, NULL, &posix), PW_OK);
    assert_int_equal(access(second, F_OK), -1);
    pw_posix_destroy(&posix);
    rmdir(path);
}

static void native_directories_others_write_to_are_refused(void **state)
{
    struct pw_posix *posix;

    (void)state;
    assert_int_equal(mkdir(in_base(path, "native"), 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(create(NULL, path, &posix), PW_ERR_IO);
    assert_non_null(strstr(why.text, "nobody else may write"));
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(create(NULL, path, &posix), PW_OK);
    pw_posix_destroy(&posix);
    rmdir(path);
    assert_int_equal(create(NULL, path, &posix), PW_ERR_IO);
}

static void clocks_and_random_work(void **state)
{
    unsigned char a[32] = {0};
    unsigned char b[32] = {0};
    uint64_t now = pw_posix_monotonic_ns(NULL);

    (void)state;
    assert_true(pw_posix_monotonic_ns(NULL) >= now);
    assert_true(pw_posix_realtime_ns(NULL) > UINT64_C(1500000000) * 1000000000);
    assert_true(pw_posix_random(NULL, a, sizeof(a)));
    assert_true(pw_posix_random(NULL, b, sizeof(b)));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_true(pw_posix_random(NULL, a, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_directory_is_made_private),
        cmocka_unit_test(an_open_directory_is_refused),
        cmocka_unit_test(a_link_is_refused),
        cmocka_unit_test(entries_are_stored_whole),
        cmocka_unit_test(entries_unused_for_longest_go),
        cmocka_unit_test(names_stay_in_the_directory),
        cmocka_unit_test(leftovers_of_killed_writers_go),
        cmocka_unit_test(native_directories_others_write_to_are_refused),
        cmocka_unit_test(clocks_and_random_work),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
