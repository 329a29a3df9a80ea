/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines into a file. A worker formats into a buffer of its own thread, which keeps its memory, and hands the
 * bytes to the log thread; it never waits for the disk.
 */
#include "proxy/logging/access_log_file.h"

#include "proxy/logging/log_format.h"
#include "telemetry/log.h"

#include <errno.h>
#include <stdlib.h>

/* One line: long header values are legal, megabytes of them are not worth a disk. */
#define LINE_BYTES_MAX (256u << 10)
/* A thread keeps its buffer between lines unless it has grown beyond this. */
#define LINE_BYTES_KEEP (16u << 10)

struct file_log {
    struct access_log base;
    struct log_file *file;
    struct stream_format *format;
    struct stream_predicate *filter;
};

static __thread struct strbuf line;

static void file_log_write(const struct access_log *log, const struct stream *s)
{
    const struct file_log *l = (const struct file_log *)log;
    if (l->filter && !l->filter->match(l->filter, s))
        return;
    if (line.max_bytes == 0)
        strbuf_init(&line, LINE_BYTES_MAX);
    strbuf_reset(&line);
    l->format->format(l->format, s, SLICE_EMPTY, &line);
    log_file_write(l->file, strbuf_slice(&line));
    if (line.cap > LINE_BYTES_KEEP)
        strbuf_fini(&line);
}

void access_log_file_thread_end(void)
{
    strbuf_fini(&line);
}

static void file_log_destroy(struct access_log *log)
{
    struct file_log *l = (struct file_log *)log;
    log_file_unref(&l->file);
    stream_format_destroy(&l->format);
    if (l->filter)
        l->filter->destroy(l->filter);
    free(l);
}

struct access_log *access_log_file_create(const char *path, struct stream_format *format,
                                          struct stream_predicate *filter)
{
    struct file_log *l = calloc(1, sizeof(*l));
    struct log_file *file = l ? log_file_open(path) : NULL;
    if (file) {
        *l = (struct file_log){{file_log_write, file_log_destroy}, file, format, filter};
        return &l->base;
    }
    int error = l ? errno : ENOMEM;
    stream_format_destroy(&format);
    if (filter)
        filter->destroy(filter);
    free(l);
    errno = error;
    return NULL;
}
