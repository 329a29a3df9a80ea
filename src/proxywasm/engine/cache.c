/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing of compiled code. The trailer stands at the end, so that an engine can map the file from its start.
 * It must not say "intact" of anything that was not read and summed as a whole.
 */
#include "proxywasm/engine/cache.h"

#include "base/assert.h"
#include "proxywasm/host_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char trailer_magic[16] = "weir compiled 2";

/* Same machine only (the key names it), so the byte order is the machine's. */
struct trailer {
    char magic[sizeof(trailer_magic)];
    uint64_t len;
    uint64_t checksum;
    uint64_t quick; /* 0 or 1 */
    char key[CACHE_KEY_BYTES];
};

#define READ_BYTES ((size_t)256 << 10)
#define LANES      4

/* Four lanes, as a multiplication takes several cycles. Each step is a bijection of its lane, so damage in
 * one word always changes the sum. */
struct checksum {
    uint64_t lanes[LANES];
};

static const uint64_t checksum_prime = UINT64_C(0x9e3779b97f4a7c15);

static void checksum_init(struct checksum *sum)
{
    for (uint64_t i = 0; i < LANES; i++)
        sum->lanes[i] = checksum_prime * (i + 1);
}

static uint64_t checksum_step(uint64_t lane, const char *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof(word));
    lane = (lane ^ word) * checksum_prime;
    return lane ^ (lane >> 32);
}

/* All calls but the last one with multiples of 32 bytes. */
static void checksum_add(struct checksum *sum, const char *data, size_t len)
{
    uint64_t lanes[LANES];
    char rest[LANES * sizeof(uint64_t)] = {0};
    size_t at = 0;

    memcpy(lanes, sum->lanes, sizeof(lanes));
    for (; len - at >= sizeof(rest); at += sizeof(rest))
        for (size_t i = 0; i < LANES; i++)
            lanes[i] = checksum_step(lanes[i], data + at + i * sizeof(uint64_t));
    if (at < len) {
        memcpy(rest, data + at, len - at);
        for (size_t i = 0; i < LANES; i++)
            lanes[i] = checksum_step(lanes[i], rest + i * sizeof(uint64_t));
    }
    memcpy(sum->lanes, lanes, sizeof(lanes));
}

static uint64_t checksum_final(const struct checksum *sum)
{
    uint64_t all = 0;

    for (size_t i = 0; i < LANES; i++) {
        all = (all ^ sum->lanes[i]) * checksum_prime;
        all ^= all >> 29;
    }
    return all;
}

/* Reads exactly `len` bytes at `offset`. */
static bool read_at(int fd, void *dst, size_t len, uint64_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, (char *)dst + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool sum_file(int fd, uint64_t len, uint64_t *out)
{
    char *buffer = malloc(READ_BYTES);
    struct checksum sum;
    bool ok = buffer != NULL;

    checksum_init(&sum);
    for (uint64_t at = 0; ok && at < len; at += READ_BYTES) {
        size_t part = len - at < READ_BYTES ? (size_t)(len - at) : READ_BYTES;

        ok = read_at(fd, buffer, part, at);
        if (ok)
            checksum_add(&sum, buffer, part);
    }
    free(buffer);
    *out = checksum_final(&sum);
    return ok;
}

static bool entry_intact(int fd, const char *key, uint64_t *len, bool *quick)
{
    struct trailer trailer;
    char padded[CACHE_KEY_BYTES] = {0};
    struct stat status;
    uint64_t checksum;
    uint64_t content;

    WEIR_ASSERT(strlen(key) < sizeof(padded));
    memcpy(padded, key, strlen(key));

    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= (off_t)sizeof(trailer))
        return false;
    content = (uint64_t)status.st_size - sizeof(trailer);
    if (!read_at(fd, &trailer, sizeof(trailer), content))
        return false;
    if (memcmp(trailer.magic, trailer_magic, sizeof(trailer_magic)) != 0 || trailer.len != content)
        return false;
    if (memcmp(trailer.key, padded, sizeof(padded)) != 0)
        return false;
    if (!sum_file(fd, content, &checksum) || checksum != trailer.checksum)
        return false;
    *len = content;
    *quick = trailer.quick != 0;
    return true;
}

bool cache_open(struct pw_host *host, const char *key, int *fd, uint64_t *len, bool *quick, bool *damaged)
{
    *damaged = false;
    if (!host->ops.cache_open || !host->ops.cache_open(host->ctx, key, fd))
        return false;
    if (entry_intact(*fd, key, len, quick))
        return true;
    *damaged = true;
    close(*fd);
    *fd = -1;
    return false;
}

/* Behind the content; true when all of it is there. */
static bool put_trailer(int fd, const char *key, uint64_t len, bool quick)
{
    struct trailer trailer;

    WEIR_ASSERT(strlen(key) < sizeof(trailer.key));
    memset(&trailer, 0, sizeof(trailer));
    trailer.len = len;
    trailer.quick = quick;
    memcpy(trailer.magic, trailer_magic, sizeof(trailer_magic));
    memcpy(trailer.key, key, strlen(key));
    return sum_file(fd, len, &trailer.checksum) &&
           pwrite(fd, &trailer, sizeof(trailer), (off_t)len) == (ssize_t)sizeof(trailer);
}

bool cache_store(struct pw_host *host, const char *key, int fd, bool quick)
{
    struct stat status;
    size_t len;
    void *bytes;
    bool ok;

    if (!host->ops.cache_store || fstat(fd, &status) != 0 || status.st_size <= 0)
        return false;
    if (!put_trailer(fd, key, (uint64_t)status.st_size, quick))
        return false;
    len = (size_t)status.st_size + sizeof(struct trailer);
    bytes = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    ok = host->ops.cache_store(host->ctx, key, (struct pw_slice){bytes, len});
    munmap(bytes, len);
    return ok;
}
