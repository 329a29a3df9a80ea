/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Embedder callbacks for POSIX systems: clocks, random bytes, the private directory of compiled code, native
 * plugins. It must never follow a link into the cache, read an entry that others could have written, or load
 * a native plugin by anything but a plain name.
 */
#include "proxywasm/posix/posix_impl.h"

#include "base/assert.h"
#include "base/slice.h"
#include "proxywasm/message.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <proxy_wasm_null.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME_BYTES_MAX 200u
/* Files that a killed writer left behind are removed when they are this old, seconds. */
#define LEFTOVER_S 3600

static const char new_prefix[] = ".new-";

/* All entries together: a hundred of the largest plugins. The oldest go first. */
#define CACHE_BYTES_MAX (UINT64_C(8) << 30)

/* Of a compiler's process. */
#define COMPILE_MEMORY_BYTES (UINT64_C(2) << 30)
#define COMPILE_CPU_S        120u
#define COMPILE_TIME_S       300u

/* Only this user may enter and write. */
static bool is_private(const struct stat *status)
{
    return status->st_uid == geteuid() && (status->st_mode & 077) == 0;
}

static int open_cache(const char *path, int *out, struct pw_message *why)
{
    struct stat status;
    int fd;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return message_error(PW_ERR_IO, why, "cannot make the cache directory %s: %s", path, strerror(errno));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return message_error(PW_ERR_IO, why, "cannot open the cache directory %s: %s", path, strerror(errno));
    if (fstat(fd, &status) != 0 || !is_private(&status)) {
        close(fd);
        return message_error(PW_ERR_IO, why,
                             "the cache directory %s must belong to this user and be closed to others (mode "
                             "0700): it will hold native code",
                             path);
    }
    *out = fd;
    return PW_OK;
}

static int open_native(const char *path, char **out, struct pw_message *why)
{
    char *real = realpath(path, NULL);
    struct stat status;

    if (!real || stat(real, &status) != 0 || !S_ISDIR(status.st_mode)) {
        free(real);
        return message_error(PW_ERR_IO, why, "cannot use the directory of native plugins %s: %s", path,
                             strerror(real ? ENOTDIR : errno));
    }
    if ((status.st_uid != geteuid() && status.st_uid != 0) || (status.st_mode & 022) != 0) {
        free(real);
        return message_error(
            PW_ERR_IO, why,
            "the directory of native plugins %s must belong to this user or root, and nobody "
            "else may write to it",
            path);
    }
    *out = real;
    return PW_OK;
}

/* A reader of its own position. NULL when it cannot be opened. */
static DIR *list_cache(int cache_fd)
{
    int fd = openat(cache_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

static void remove_leftovers(int cache_fd)
{
    DIR *dir = list_cache(cache_fd);
    time_t now = time(NULL);
    const struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir)) != NULL) {
        struct stat status;

        if (strncmp(entry->d_name, new_prefix, sizeof(new_prefix) - 1) != 0)
            continue;
        if (fstatat(cache_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            now - status.st_mtime > LEFTOVER_S)
            unlinkat(cache_fd, entry->d_name, 0);
    }
    closedir(dir);
}

static void compiler_init(struct pw_posix *posix, const struct pw_posix_config *config)
{
    posix->compiler = config->compiler;
    posix->compile_memory_max_bytes =
        config->compile_memory_max_bytes ? config->compile_memory_max_bytes : COMPILE_MEMORY_BYTES;
    posix->compile_cpu_max_s = config->compile_cpu_max_s ? config->compile_cpu_max_s : COMPILE_CPU_S;
    posix->compile_time_max_s = config->compile_time_max_s ? config->compile_time_max_s : COMPILE_TIME_S;
    pthread_mutex_init(&posix->compilers_lock, NULL);
    list_init(&posix->compilers);
}

int pw_posix_create(const struct pw_posix_config *config, struct pw_posix **out, struct pw_message *why)
{
    struct pw_posix *posix;
    int error = PW_OK;

    *out = NULL;
    if (!config || config->size < sizeof(*config))
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "pw_posix_create: config.size is not set");
    posix = calloc(1, sizeof(*posix));
    if (!posix)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    posix->cache_fd = -1;
    posix->cache_bytes_max = config->cache_bytes_max ? config->cache_bytes_max : CACHE_BYTES_MAX;
    compiler_init(posix, config);
    if (config->cache_dir)
        error = open_cache(config->cache_dir, &posix->cache_fd, why);
    if (error == PW_OK && config->native_dir)
        error = open_native(config->native_dir, &posix->native_dir, why);
    if (error != PW_OK) {
        pw_posix_destroy(&posix);
        return error;
    }
    if (posix->cache_fd >= 0)
        remove_leftovers(posix->cache_fd);
    *out = posix;
    return PW_OK;
}

void pw_posix_destroy(struct pw_posix **posix)
{
    if (!*posix)
        return;
    if ((*posix)->cache_fd >= 0)
        close((*posix)->cache_fd);
    WEIR_ASSERT(list_empty(&(*posix)->compilers));
    pthread_mutex_destroy(&(*posix)->compilers_lock);
    free((*posix)->native_dir);
    free(*posix);
    *posix = NULL;
}

void pw_posix_fill(struct pw_posix *posix, struct pw_host_ops *ops)
{
    ops->realtime_ns = pw_posix_realtime_ns;
    ops->monotonic_ns = pw_posix_monotonic_ns;
    ops->random = pw_posix_random;
    ops->thread_cpu_ns = pw_posix_thread_cpu_ns;
    ops->cache_open = posix->cache_fd >= 0 ? pw_posix_cache_open : NULL;
    ops->cache_store = posix->cache_fd >= 0 ? pw_posix_cache_store : NULL;
    ops->native_load = posix->native_dir ? pw_posix_native_load : NULL;
    ops->compile = posix->compiler ? pw_posix_compile : NULL;
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec now;

    WEIR_ASSERT(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t pw_posix_realtime_ns(void *posix)
{
    (void)posix;
    return clock_ns(CLOCK_REALTIME);
}

uint64_t pw_posix_monotonic_ns(void *posix)
{
    (void)posix;
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t pw_posix_thread_cpu_ns(void *posix)
{
    struct timespec now;
    (void)posix;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool pw_posix_random(void *posix, void *dst, size_t len)
{
    char *at = dst;

    (void)posix;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* A file name: not empty, not hidden, no slash. */
static bool name_plain(struct slice name)
{
    return name.len > 0 && name.len <= NAME_BYTES_MAX && name.ptr[0] != '.' &&
           slice_find_char(name, '/') < 0 && slice_find_char(name, '\0') < 0;
}

bool pw_posix_cache_open(void *ctx, const char *key, int *out)
{
    const struct pw_posix *posix = ctx;
    struct stat status;
    int fd;

    if (posix->cache_fd < 0 || !name_plain(slice_str(key)))
        return false;
    fd = openat(posix->cache_fd, key, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || !is_private(&status)) {
        close(fd);
        return false;
    }
    futimens(fd, NULL); /* in use: make_room takes others first */
    *out = fd;
    return true;
}

/* Adds up all entries and finds the oldest but `keep`; false when there is none. */
static bool oldest_entry(int cache_fd, const char *keep, uint64_t *total, char oldest[NAME_BYTES_MAX + 1])
{
    DIR *dir = list_cache(cache_fd);
    struct timespec when = {0};
    const struct dirent *entry;

    *total = 0;
    oldest[0] = '\0';
    if (!dir)
        return false;
    while ((entry = readdir(dir)) != NULL) {
        struct stat status;
        size_t len = strlen(entry->d_name);

        if (entry->d_name[0] == '.' || len > NAME_BYTES_MAX ||
            fstatat(cache_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
            continue;
        *total += (uint64_t)status.st_size;
        if (strcmp(entry->d_name, keep) == 0)
            continue;
        if (oldest[0] == '\0' || status.st_mtim.tv_sec < when.tv_sec ||
            (status.st_mtim.tv_sec == when.tv_sec && status.st_mtim.tv_nsec < when.tv_nsec)) {
            when = status.st_mtim;
            memcpy(oldest, entry->d_name, len + 1);
        }
    }
    closedir(dir);
    return oldest[0] != '\0';
}

/* Storing is rare and slow (a compilation came before it), so it may look at every entry. */
static void make_room(const struct pw_posix *posix, const char *keep)
{
    char oldest[NAME_BYTES_MAX + 1];
    uint64_t total;

    while (oldest_entry(posix->cache_fd, keep, &total, oldest) && total > posix->cache_bytes_max)
        if (unlinkat(posix->cache_fd, oldest, 0) != 0)
            return;
}

static bool write_all(int fd, struct pw_slice content)
{
    size_t done = 0;

    while (done < content.len) {
        ssize_t n = write(fd, content.ptr + done, content.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* Under another name first: whoever opens the entry sees all of it or none. */
bool pw_posix_cache_store(void *ctx, const char *key, struct pw_slice content)
{
    struct pw_posix *posix = ctx;
    uint64_t random;
    char name[80];
    bool ok;
    int fd;

    if (posix->cache_fd < 0 || !name_plain(slice_str(key)) ||
        !pw_posix_random(posix, &random, sizeof(random)))
        return false;
    (void)snprintf(name, sizeof(name), "%s%ld-%u-%016" PRIx64, new_prefix, (long)getpid(),
                   atomic_fetch_add(&posix->counter, 1), random);
    fd = openat(posix->cache_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    ok = write_all(fd, content);
    ok = close(fd) == 0 && ok;
    ok = ok && renameat(posix->cache_fd, name, posix->cache_fd, key) == 0;
    if (!ok)
        unlinkat(posix->cache_fd, name, 0);
    else
        make_room(posix, key);
    return ok;
}

void *pw_posix_native_load(void *ctx, struct pw_slice name, struct pw_message *why)
{
    const struct pw_posix *posix = ctx;
    char path[PATH_MAX];
    void *object;
    void *entry;
    int n;

    if (!posix->native_dir || !name_plain(slice_of(name.ptr, name.len))) {
        message_set(why, "a native plugin is named by a plain name, not by a path");
        return NULL;
    }
    n = snprintf(path, sizeof(path), "%s/%.*s.so", posix->native_dir, (int)name.len, name.ptr);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        message_set(why, "the path of a native plugin is too long");
        return NULL;
    }
    /* Never closed: native code that once ran may have left pointers to itself. */
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        message_set(why, "%s", dlerror());
        return NULL;
    }
    entry = dlsym(object, PW_NULL_ENTRY_SYMBOL);
    if (!entry)
        message_set(why, "%s does not export " PW_NULL_ENTRY_SYMBOL, path);
    return entry;
}
