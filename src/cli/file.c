/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing the user's files.
 */
#include "cli/file.h"

#include "cli/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(struct file_error *error, const char *what, const char *path)
{
    snprintf(error->text, sizeof(error->text), "cannot %s %s: %s", what, path, strerror(errno));
    return false;
}

static bool read_all(int fd, const char *path, size_t max_bytes, struct strbuf *out, struct file_error *error)
{
    char block[65536];
    for (;;) {
        ssize_t n = read(fd, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(error, "read", path);
        if (n == 0)
            return true;
        if (!strbuf_append(out, slice_of(block, (size_t)n))) {
            snprintf(error->text, sizeof(error->text), "%s is larger than %zu bytes", path, max_bytes);
            return false;
        }
    }
}

bool file_read(const char *path, size_t max_bytes, struct strbuf *out, struct file_error *error)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    strbuf_init(out, max_bytes + 1); /* and its NUL */
    if (fd < 0)
        return fail(error, "open", path);
    bool done = read_all(fd, path, max_bytes, out, error);
    if (!is_stdin)
        close(fd);
    if (!done)
        strbuf_fini(out);
    return done;
}

bool file_write(const char *path, struct slice content, bool replace, struct file_error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (replace ? O_TRUNC : O_EXCL), 0666);
    if (fd < 0)
        return fail(error, "create", path);
    for (size_t at = 0; at < content.len;) {
        ssize_t n = write(fd, content.ptr + at, content.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fail(error, "write", path);
            close(fd);
            return false;
        }
        at += (size_t)n;
    }
    return close(fd) == 0 || fail(error, "write", path);
}

bool file_make_directory(const char *path, struct file_error *error)
{
    char part[CLI_PATH_BYTES];
    size_t len = strlen(path);
    if (len >= sizeof(part)) {
        snprintf(error->text, sizeof(error->text), "the path is too long: %.100s...", path);
        return false;
    }
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char end = part[i];
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return fail(error, "make the directory", part);
        part[i] = end;
    }
    if (file_is_directory(path))
        return true;
    errno = ENOTDIR;
    return fail(error, "make the directory", path);
}

bool file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_join(char *out, const char *directory, const char *name)
{
    size_t len = strlen(directory);
    const char *slash = len > 0 && directory[len - 1] == '/' ? "" : "/";
    int n = snprintf(out, CLI_PATH_BYTES, "%s%s%s", directory, slash, name);
    return n >= 0 && n < (int)CLI_PATH_BYTES;
}

bool file_cache_place(char *out, const char *name)
{
    const char *own = getenv("WEIRCTL_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char directory[CLI_PATH_BYTES];
    struct file_error error;
    int n = -1;
    if (own && own[0] == '/')
        n = snprintf(directory, sizeof(directory), "%s", own);
    else if (xdg && xdg[0] == '/')
        n = snprintf(directory, sizeof(directory), "%s/weirctl", xdg);
    else if (home && home[0] == '/')
        n = snprintf(directory, sizeof(directory), "%s/.cache/weirctl", home);
    return n > 0 && n < (int)sizeof(directory) && file_make_directory(directory, &error) &&
           file_join(out, directory, name);
}

const char *file_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
