/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with keys and certificates.
 */
#include "net/tls_source.h"

#include "net/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tls_file_mark tls_file_look(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct tls_file_mark){0};
    return (struct tls_file_mark){st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool tls_file_mark_eq(const struct tls_file_mark *a, const struct tls_file_mark *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && same_time(a->mtime, b->mtime) &&
           same_time(a->ctime, b->ctime);
}

char *tls_file_read(const char *path, size_t *len, char text[TLS_SOURCE_TEXT_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st = {0};
    const char *why = NULL;
    char *bytes = NULL;
    size_t got = 0;
    if (fd < 0 || fstat(fd, &st) != 0)
        why = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        why = "it is no regular file";
    else if ((uint64_t)st.st_size > TLS_PEM_BYTES_MAX)
        why = "it is too large";
    else if (!(bytes = malloc((size_t)st.st_size + 1)))
        why = "out of memory";
    while (!why && got < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + got, (size_t)st.st_size - got);
        if (n == 0)
            break; /* it became shorter meanwhile */
        if (n > 0)
            got += (size_t)n;
        else if (errno != EINTR)
            why = strerror(errno);
    }
    if (fd >= 0)
        close(fd);
    if (why) {
        (void)snprintf(text, TLS_SOURCE_TEXT_MAX, "cannot read \"%s\": %s", path, why);
        free(bytes);
        return NULL;
    }
    bytes[got] = '\0';
    *len = got;
    return bytes;
}
