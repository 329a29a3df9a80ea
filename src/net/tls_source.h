/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where bytes of a TLS configuration come from: a file, or the configuration itself. Files are read whole, as
 * they are at that moment; a FIFO or a device is never waited for.
 */
#ifndef WEIR_NET_TLS_SOURCE_H
#define WEIR_NET_TLS_SOURCE_H

#include "base/slice.h"

#include <sys/stat.h>

#define TLS_SOURCE_TEXT_MAX 256

/* A file, or the bytes themselves. */
struct tls_source {
    struct slice path; /* NUL-terminated; empty: `content` */
    struct slice content;
};

/* What a file looked like, to see that it has changed. Zero: it could not be looked at. */
struct tls_file_mark {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
    struct timespec ctime;
};

struct tls_file_mark tls_file_look(const char *path);
bool tls_file_mark_eq(const struct tls_file_mark *a, const struct tls_file_mark *b);
/* The whole file in memory that the caller frees, with a NUL behind it; NULL with the reason in `text`. */
char *tls_file_read(const char *path, size_t *len, char text[TLS_SOURCE_TEXT_MAX]);

#endif
