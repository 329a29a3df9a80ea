/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A DNS server for tests: one UDP socket on loopback, a thread, and a table of A records that the test may
 * change while it runs.
 */
#ifndef WEIR_TESTS_FAKE_DNS_H
#define WEIR_TESTS_FAKE_DNS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_DNS_RECORDS 8

enum fake_dns_mode { FAKE_DNS_ANSWER, FAKE_DNS_SERVFAIL, FAKE_DNS_SILENT };

struct fake_dns {
    int fd;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    enum fake_dns_mode mode;
    struct {
        char name[64]; /* "" ends the table */
        uint32_t ip;   /* host order */
        uint32_t ttl;
    } records[FAKE_DNS_RECORDS];
    unsigned questions;
};

/* Reads the question's name; returns its length in the packet with the final zero, or 0. */
static inline size_t fake_dns_name(const uint8_t *p, size_t len, char name[256])
{
    size_t at = 0, out = 0;
    while (at < len && p[at] != 0) {
        size_t label = p[at++];
        if (at + label > len || out + label + 2 > 256)
            return 0;
        memcpy(name + out, p + at, label);
        out += label;
        name[out++] = '.';
        at += label;
    }
    name[out ? out - 1 : 0] = '\0';
    return at + 1;
}

static inline size_t fake_dns_reply(struct fake_dns *d, uint8_t *p, size_t len)
{
    char name[256];
    size_t name_len = fake_dns_name(p + 12, len - 12, name);
    size_t end = 12 + name_len + 4;
    unsigned type = (unsigned)p[12 + name_len] << 8 | p[13 + name_len], answers = 0;
    p[2] = 0x81;
    p[3] = d->mode == FAKE_DNS_SERVFAIL ? 0x82 : 0x80;
    memset(p + 6, 0, 6);
    bool known = false;
    for (int i = 0; d->mode == FAKE_DNS_ANSWER && i < FAKE_DNS_RECORDS && d->records[i].name[0]; i++) {
        if (strcasecmp(d->records[i].name, name) != 0)
            continue;
        known = true;
        if (type != 1)
            continue;
        const uint8_t head[] = {0xc0, 12, 0, 1, 0, 1};
        uint32_t ttl = htonl(d->records[i].ttl), ip = htonl(d->records[i].ip);
        memcpy(p + end, head, 6);
        memcpy(p + end + 6, &ttl, 4);
        p[end + 10] = 0;
        p[end + 11] = 4;
        memcpy(p + end + 12, &ip, 4);
        end += 16;
        answers++;
    }
    p[7] = (uint8_t)answers;
    if (d->mode == FAKE_DNS_ANSWER && !known)
        p[3] = 0x83; /* NXDOMAIN */
    return end;
}

static inline void *fake_dns_run(void *arg)
{
    struct fake_dns *d = arg;
    for (;;) {
        uint8_t packet[1500];
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(d->fd, packet, 512, 0, (struct sockaddr *)&from, &from_len);
        if (n == 1)
            return NULL; /* fake_dns_stop */
        if (n < 17)
            continue;
        pthread_mutex_lock(&d->lock);
        d->questions++;
        size_t len = d->mode == FAKE_DNS_SILENT ? 0 : fake_dns_reply(d, packet, (size_t)n);
        pthread_mutex_unlock(&d->lock);
        if (len)
            sendto(d->fd, packet, len, 0, (struct sockaddr *)&from, from_len);
    }
}

static inline void fake_dns_start(struct fake_dns *d)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    memset(d, 0, sizeof(*d));
    pthread_mutex_init(&d->lock, NULL);
    d->fd = socket(AF_INET, SOCK_DGRAM, 0);
    bind(d->fd, (struct sockaddr *)&a, sizeof(a));
    getsockname(d->fd, (struct sockaddr *)&a, &len);
    d->port = ntohs(a.sin_port);
    pthread_create(&d->thread, NULL, fake_dns_run, d);
}

static inline void fake_dns_stop(struct fake_dns *d)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(d->port)};
    sendto(d->fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a));
    pthread_join(d->thread, NULL);
    close(d->fd);
}

/* The records from now on: name of all, then addresses ("a.test", n, ips). */
static inline void fake_dns_set(struct fake_dns *d, enum fake_dns_mode mode, const char *name, unsigned count,
                                const uint32_t *ips, uint32_t ttl)
{
    pthread_mutex_lock(&d->lock);
    d->mode = mode;
    memset(d->records, 0, sizeof(d->records));
    for (unsigned i = 0; i < count && i < FAKE_DNS_RECORDS - 1; i++) {
        memcpy(d->records[i].name, name, strlen(name));
        d->records[i].ip = ips[i];
        d->records[i].ttl = ttl;
    }
    pthread_mutex_unlock(&d->lock);
}

#endif
