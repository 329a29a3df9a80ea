/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are written by one log thread. Each file has a queue of bytes (a strbuf that is swapped, so that
 * a write costs a short lock and a copy); the thread drains all of them every FLUSH_MS or as soon as one is
 * half full. When the bytes of all queues reach the cap, new ones are dropped and counted: logging never
 * stops a worker.
 */
#include "telemetry/log_file.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "telemetry/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Envoy flushes access logs at least every 10 s; a fifth of a second keeps `tail -f` useful. */
#define FLUSH_MS    200
#define WAKE_BYTES  (64u << 10)
#define OPEN_MODE   0644
#define SECRET_MODE 0600

struct log_file {
    struct list node;
    unsigned refs;
    int fd;
    mode_t mode;   /* of a file that has to be made */
    bool standard; /* a standard stream: never closed or reopened */
    struct strbuf queue;
    char path[];
};

static struct {
    pthread_mutex_t lock;
    pthread_mutex_t io_lock; /* held while the thread writes: reopening and the last unref wait for it */
    pthread_cond_t wake;
    struct list files;
    bool files_ready;
    bool running;
    bool stop;
    bool reopen;
    size_t queued_bytes;
    pthread_t thread;
    _Atomic uint64_t dropped;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .io_lock = PTHREAD_MUTEX_INITIALIZER,
            .wake = PTHREAD_COND_INITIALIZER};

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&writer.dropped, memory_order_relaxed);
}

static int standard_fd(const char *path)
{
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    return strcmp(path, "/dev/stderr") == 0 ? STDERR_FILENO : -1;
}

static int open_append(const char *path, mode_t mode)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, mode);
}

static struct log_file *find_locked(const char *path)
{
    struct list *node, *tmp;
    if (!writer.files_ready) {
        list_init(&writer.files);
        writer.files_ready = true;
    }
    list_for_each(node, tmp, &writer.files)
    {
        struct log_file *file = list_entry(node, struct log_file, node);
        if (strcmp(file->path, path) == 0)
            return file;
    }
    return NULL;
}

static struct log_file *create_locked(const char *path, mode_t mode)
{
    int fd = standard_fd(path);
    bool standard = fd >= 0;
    if (!standard && (fd = open_append(path, mode)) < 0)
        return NULL;
    size_t len = strlen(path) + 1;
    struct log_file *file = malloc(sizeof(*file) + len);
    if (!file) {
        if (!standard)
            close(fd);
        errno = ENOMEM;
        return NULL;
    }
    *file = (struct log_file){.refs = 1, .fd = fd, .mode = mode, .standard = standard};
    memcpy(file->path, path, len);
    strbuf_init(&file->queue, LOG_QUEUE_BYTES_MAX);
    list_push_back(&writer.files, &file->node);
    return file;
}

static struct log_file *open_with(const char *path, mode_t mode)
{
    pthread_mutex_lock(&writer.lock);
    struct log_file *file = find_locked(path);
    if (file) {
        file->refs++;
        file->mode &= mode;
    } else {
        file = create_locked(path, mode);
    }
    pthread_mutex_unlock(&writer.lock);
    return file;
}

struct log_file *log_file_open(const char *path)
{
    return open_with(path, OPEN_MODE);
}

struct log_file *log_file_open_secret(const char *path)
{
    return open_with(path, SECRET_MODE);
}

struct log_file *log_file_ref(struct log_file *file)
{
    pthread_mutex_lock(&writer.lock);
    WEIR_ASSERT(file->refs > 0);
    file->refs++;
    pthread_mutex_unlock(&writer.lock);
    return file;
}

static void write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            /* A full disk or a closed pipe: these lines are lost, the next ones may fit again. */
            atomic_fetch_add_explicit(&writer.dropped, bytes.len, memory_order_relaxed);
            return;
        }
        bytes = slice_skip(bytes, (size_t)n);
    }
}

/* Takes the queued bytes out; the caller writes and frees them. */
static struct strbuf take_queue_locked(struct log_file *file)
{
    struct strbuf taken = file->queue;
    writer.queued_bytes -= taken.len;
    strbuf_init(&file->queue, LOG_QUEUE_BYTES_MAX);
    return taken;
}

void log_file_unref(struct log_file **file)
{
    struct log_file *dead = *file;
    *file = NULL;
    if (!dead)
        return;
    pthread_mutex_lock(&writer.io_lock);
    pthread_mutex_lock(&writer.lock);
    WEIR_ASSERT(dead->refs > 0);
    bool last = --dead->refs == 0;
    struct strbuf rest = {0};
    if (last) {
        list_remove(&dead->node);
        rest = take_queue_locked(dead);
    }
    pthread_mutex_unlock(&writer.lock);
    if (last) {
        write_all(dead->fd, strbuf_slice(&rest));
        strbuf_fini(&rest);
        if (!dead->standard)
            close(dead->fd);
        free(dead);
    }
    pthread_mutex_unlock(&writer.io_lock);
}

void log_file_write(struct log_file *file, struct slice bytes)
{
    pthread_mutex_lock(&writer.lock);
    bool direct = !writer.running;
    bool fits = writer.queued_bytes + bytes.len <= LOG_QUEUE_BYTES_MAX;
    if (!direct && fits && strbuf_append(&file->queue, bytes)) {
        size_t before = writer.queued_bytes;
        writer.queued_bytes += bytes.len;
        if (before < WAKE_BYTES && writer.queued_bytes >= WAKE_BYTES)
            pthread_cond_signal(&writer.wake);
    } else if (!direct) {
        file->queue.failed = false;
        atomic_fetch_add_explicit(&writer.dropped, bytes.len, memory_order_relaxed);
    }
    pthread_mutex_unlock(&writer.lock);
    if (direct)
        write_all(file->fd, bytes);
}

static void reopen_files(void)
{
    struct list *node, *tmp;
    list_for_each(node, tmp, &writer.files)
    {
        struct log_file *file = list_entry(node, struct log_file, node);
        if (file->standard)
            continue;
        int fd = open_append(file->path, file->mode);
        if (fd < 0)
            continue; /* keep writing to the old one rather than lose lines */
        dup3(fd, file->fd, O_CLOEXEC);
        close(fd);
    }
}

/* Writes what every file has queued. Called with `lock` held, which is let go while writing. */
static void drain_locked(void)
{
    struct list *node = writer.files.next;
    while (node != &writer.files) {
        struct log_file *file = list_entry(node, struct log_file, node);
        struct strbuf taken = take_queue_locked(file);
        if (taken.len > 0) {
            /* io_lock is held: the file cannot go away while it is written. */
            pthread_mutex_unlock(&writer.lock);
            write_all(file->fd, strbuf_slice(&taken));
            strbuf_fini(&taken);
            pthread_mutex_lock(&writer.lock);
        }
        node = node->next;
    }
}

static void *writer_main(void *arg)
{
    (void)arg;
    bool stop = false;
    while (!stop) {
        pthread_mutex_lock(&writer.lock);
        if (!writer.stop && !writer.reopen && writer.queued_bytes < WAKE_BYTES) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += FLUSH_MS * 1000000L;
            until.tv_sec += until.tv_nsec / 1000000000L;
            until.tv_nsec %= 1000000000L;
            pthread_cond_timedwait(&writer.wake, &writer.lock, &until);
        }
        pthread_mutex_unlock(&writer.lock);

        /* io_lock before lock, everywhere. */
        pthread_mutex_lock(&writer.io_lock);
        pthread_mutex_lock(&writer.lock);
        stop = writer.stop;
        bool reopen = writer.reopen;
        writer.reopen = false;
        if (writer.files_ready) {
            drain_locked();
            if (reopen)
                reopen_files();
        }
        pthread_mutex_unlock(&writer.lock);
        pthread_mutex_unlock(&writer.io_lock);
    }
    return NULL;
}

bool log_writer_start(void)
{
    pthread_mutex_lock(&writer.lock);
    WEIR_ASSERT(!writer.running);
    writer.stop = false;
    writer.running = thread_create(&writer.thread, writer_main, NULL) == 0;
    bool ok = writer.running;
    pthread_mutex_unlock(&writer.lock);
    return ok;
}

void log_writer_stop(void)
{
    pthread_mutex_lock(&writer.lock);
    bool was_running = writer.running;
    writer.stop = true;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
    if (!was_running)
        return;
    pthread_join(writer.thread, NULL);
    pthread_mutex_lock(&writer.lock);
    writer.running = false;
    if (writer.files_ready)
        drain_locked(); /* what came in while the thread was ending */
    pthread_mutex_unlock(&writer.lock);
}

void log_reopen(void)
{
    pthread_mutex_lock(&writer.lock);
    writer.reopen = true;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
}
