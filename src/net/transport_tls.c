/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS transport: AWS-LC between a connection's chains and its socket. The library reads from the socket
 * itself; what it writes is collected and leaves in one system call. It never blocks, never renegotiates, and
 * holds at most a few records of either direction.
 *
 * Ends, as Envoy has them: close_notify from the peer is its half-close, and so is a TCP end without one (a
 * truncation cannot be told from it by the owner; HTTP framing does that). Our half-close sends close_notify
 * and leaves the TCP connection open. A close sends close_notify when all that was written has gone out.
 */
#include "base/assert.h"
#include "net/conn_private.h"
#include "net/limits.h"
#include "net/tls.h"
#include "net/tls_context_private.h"
#include "net/tls_sessions.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

/* What records have beside the bytes in them is less than this part: 22 of 16,384. */
#define TLS_OVERHEAD_PART 256u

/* --- between the library and the socket --- */

static int bio_read(BIO *bio, char *dst, int len)
{
    struct tls_conn *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (WEIR_UNLIKELY(!chain_empty(&t->early))) {
        size_t n = chain_copy_out(&t->early, 0, dst, (size_t)len);
        chain_drain(&t->early, n);
        return (int)n;
    }
    if (t->ended)
        return 0;
    ssize_t n = -1;
    if (!t->dry && t->budget > 0) {
        do {
            n = recv(t->conn->fd, dst, (size_t)len, 0);
        } while (n < 0 && errno == EINTR);
        if (n > 0) {
            t->dry = n < len; /* asking again would only say so */
            t->budget -= (size_t)n < t->budget ? (size_t)n : t->budget;
            return (int)n;
        }
        if (n == 0) {
            t->ended = true;
            return 0;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            t->error = errno;
            if (SSL_in_init(t->ssl)) /* part of the reason why the handshake failed */
                ERR_put_error(ERR_LIB_SYS, 0, t->error, __FILE__, __LINE__);
            return -1;
        }
    }
    BIO_set_retry_read(bio);
    return -1;
}

static int bio_write(BIO *bio, const char *src, int len)
{
    struct tls_conn *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (chain_append_copy(&t->sealed, &t->conn->loop->blocks, slice_of(src, (size_t)len)))
        return len;
    t->error = ENOMEM;
    return -1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
    WEIR_ASSERT(method && BIO_meth_set_read(method, bio_read) && BIO_meth_set_write(method, bio_write) &&
                BIO_meth_set_ctrl(method, bio_ctrl));
}

/* Sends what is sealed. 0, -EAGAIN, or another negative errno. `end_follows`: the end of TCP comes right
 * behind it and takes these bytes along, instead of being a packet of its own. */
static int flush_sealed_with(struct tls_conn *t, bool end_follows)
{
    int rc = 0;
    int flags = MSG_NOSIGNAL | (end_follows ? MSG_MORE : 0);
    while (rc == 0 && !chain_empty(&t->sealed)) {
        struct iovec iov[NET_WRITE_IOV];
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = chain_iov(&t->sealed, iov, NET_WRITE_IOV)};
        size_t had = t->sealed.bytes;
        ssize_t n = sendmsg(t->conn->fd, &msg, flags);
        if (n >= 0)
            chain_drain(&t->sealed, (size_t)n);
        if (n < 0 && errno != EINTR)
            rc = errno == EWOULDBLOCK ? -EAGAIN : -errno;
        else if (n >= 0 && (size_t)n < had)
            rc = -EAGAIN;
    }
    t->conn->sealed_bytes = t->sealed.bytes;
    return rc;
}

static int flush_sealed(struct tls_conn *t)
{
    return flush_sealed_with(t, false);
}

/* The library has failed for good: the peer gets its alert if the socket takes it, the owner the reason. */
static int session_failed(struct tls_conn *t)
{
    if (!t->failed) {
        t->failed = true;
        tls_error_take(t);
        (void)flush_sealed(t);
        chain_clear(&t->sealed);
        t->conn->sealed_bytes = 0;
        if (t->error == 0)
            t->error = EPROTO;
    }
    return -t->error;
}

/* A fresh look at the socket. */
static void new_event(struct tls_conn *t)
{
    size_t share = conn_read_share(t->conn);
    t->budget = share + share / TLS_OVERHEAD_PART; /* or the share would be missed, and another begin */
    t->dry = t->dry_before;
    t->dry_before = false;
}

/* --- the handshake --- */

static void note_server_name(struct tls_conn *t)
{
    const char *name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
    if (name && t->info->server_name.len == 0) {
        struct slice kept = arena_dup(&t->info->arena, slice_str(name));
        if (kept.ptr)
            t->info->server_name = kept;
    }
}

static int tls_handshake(struct conn *conn)
{
    struct tls_conn *t = conn->transport_state;
    new_event(t);
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    int error = SSL_get_error(t->ssl, rc);
    note_server_name(t);
    if (rc == 1) {
        tls_peer_count_check(t);
        tls_peer_describe(t);
        conn->recv_more = !t->dry || SSL_has_pending(t->ssl); /* the peer's first bytes came along */
        t->dry_before = t->dry && conn->recv_more;
        rc = flush_sealed(t);
        return rc == -EAGAIN ? 0 : rc;
    }
    if (error == SSL_ERROR_WANT_READ && !t->ended) {
        rc = flush_sealed(t);
        conn->want_write = rc == -EAGAIN;
        return rc < 0 ? rc : -EAGAIN;
    }
    if (t->ended && t->error == 0)
        t->error = ECONNRESET; /* the peer has gone in the middle of it */
    t->info->version = slice_str(SSL_get_version(t->ssl));
    tls_peer_count_check(t);
    return session_failed(t);
}

/* --- reading --- */

/* One SSL_read into the end of `in`. >0, 0: nothing now, negative: t says what. */
static int read_once(struct tls_conn *t, struct chain *in)
{
    size_t room;
    int n;
    char *tail = chain_tail_space(in, &room);
    if (tail && room >= TLS_READ_TAIL_MIN) {
        n = SSL_read(t->ssl, tail, (int)room);
        if (n > 0)
            chain_tail_commit(in, (size_t)n);
        return n;
    }
    struct block *b = block_get(&t->conn->loop->blocks);
    if (!b) {
        t->error = ENOMEM;
        return -1;
    }
    n = SSL_read(t->ssl, b->data, (int)b->cap);
    if (n > 0) {
        b->used = (uint32_t)n;
        if (!chain_append_block(in, b, slice_of(b->data, (size_t)n))) {
            t->error = ENOMEM;
            n = -1;
        }
    }
    block_unref(&b);
    return n;
}

/* SSL_read has nothing (more). */
static void read_ended(struct tls_conn *t, int n)
{
    int error = SSL_get_error(t->ssl, n);
    if (t->error == 0 && error == SSL_ERROR_ZERO_RETURN)
        t->eof_due = true;
    else if (t->error != 0 || error != SSL_ERROR_WANT_READ)
        (void)session_failed(t);
}

/* All that this event may bring: no whole record stays behind, because the socket would not tell of it. */
static ssize_t tls_recv(struct conn *conn, struct chain *in, size_t max)
{
    struct tls_conn *t = conn->transport_state;
    size_t got = 0;
    int n = 0;
    (void)max;
    conn->recv_more = false;
    if (t->failed)
        return -t->error;
    if (t->eof_due)
        return 0;
    new_event(t);
    do {
        n = read_once(t, in);
        got += n > 0 ? (size_t)n : 0;
    } while (n > 0 && !(t->dry && !SSL_has_pending(t->ssl))); /* reading on would only say so */
    if (n <= 0)
        read_ended(t, n);
    if (!chain_empty(&t->sealed)) { /* an answer to a KeyUpdate */
        conn->sealed_bytes = t->sealed.bytes;
        loop_at_turn_end(conn->loop, &conn->flush);
    }
    if (got > 0) {
        conn->recv_more = t->eof_due || t->failed;
        return (ssize_t)got;
    }
    if (t->failed)
        return -t->error;
    return t->eof_due ? 0 : -EAGAIN;
}

/* --- writing --- */

/* Seals one record from the front of `out`; bytes taken, or a negative errno. Small pieces share a record;
 * large ones are not copied together. */
static ssize_t seal_record(struct tls_conn *t, struct chain *out)
{
    char gathered[TLS_RECORD_BYTES];
    struct slice bytes = chain_front(out);
    if (bytes.len < TLS_GATHER_BELOW && out->count > 1) {
        size_t n = 0;
        for (size_t i = 0; i < out->count; i++) {
            struct slice part = chain_seg_at(out, i);
            if (part.len >= TLS_GATHER_BELOW || n + part.len > sizeof(gathered))
                break;
            memcpy(gathered + n, part.ptr, part.len);
            n += part.len;
        }
        bytes = slice_of(gathered, n);
    }
    int n = SSL_write(t->ssl, bytes.ptr, (int)(bytes.len < TLS_RECORD_BYTES ? bytes.len : TLS_RECORD_BYTES));
    if (n <= 0)
        return session_failed(t);
    chain_drain(out, (size_t)n);
    return n;
}

static ssize_t tls_send(struct conn *conn, struct chain *out)
{
    struct tls_conn *t = conn->transport_state;
    size_t taken = 0;
    if (t->failed)
        return -t->error;
    int rc = flush_sealed(t);
    for (unsigned batch = 0; rc == 0 && batch < NET_WRITES_PER_FLUSH && !chain_empty(out); batch++) {
        while (!chain_empty(out) && t->sealed.bytes < TLS_BATCH_BYTES) {
            ssize_t n = seal_record(t, out);
            if (n < 0)
                return n;
            taken += (size_t)n;
        }
        rc = flush_sealed(t);
    }
    if (rc < 0 && rc != -EAGAIN)
        return rc;
    return taken > 0 || rc == 0 ? (ssize_t)taken : -EAGAIN;
}

static int tls_shutdown(struct conn *conn)
{
    struct tls_conn *t = conn->transport_state;
    if (!t->failed) {
        ERR_clear_error();
        if (!(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN))
            (void)SSL_shutdown(t->ssl);
        ERR_clear_error();
        int rc = flush_sealed_with(t, conn->linger);
        conn->want_write = rc == -EAGAIN;
        if (rc < 0)
            return rc == -EAGAIN ? 0 : rc; /* TCP's end must not overtake these bytes */
    }
    /* Lingering: nothing of ours follows, and the peer may wait for the end of TCP. */
    if (conn->linger && shutdown(conn->fd, SHUT_WR) != 0)
        return -errno;
    return 0;
}

/* --- the life of it --- */

static void tls_destroy(struct conn *conn)
{
    struct tls_conn *t = conn->transport_state;
    conn->transport_state = NULL;
    conn->sealed_bytes = 0;
    if (!t->failed && !conn->cut && conn->close_reason == CONN_CLOSE_LOCAL && chain_empty(&t->sealed) &&
        !SSL_in_init(t->ssl) && !conn->write_shut) {
        (void)SSL_shutdown(t->ssl);
        /* After the peer's end nothing is left unread, for which closing would drop these bytes. */
        (void)flush_sealed_with(t, t->ended);
        conn->sealed_bytes = 0;
    }
    ERR_clear_error();
    SSL_free(t->ssl);
    chain_fini(&t->early);
    chain_fini(&t->sealed);
    tls_info_unref(&t->info);
    free(t);
}

const struct transport_ops transport_tls = {
    .name = "tls",
    .handshake = tls_handshake,
    .recv = tls_recv,
    .send = tls_send,
    .shutdown = tls_shutdown,
    .destroy = tls_destroy,
};

static struct tls_info *info_create(const struct tls_context *context)
{
    struct tls_info *info = calloc(1, sizeof(*info));
    if (!info)
        return NULL;
    info->refs = 1;
    arena_init(&info->arena, TLS_INFO_BYTES_MAX, NULL);
    arena_lend(&info->arena, info->first, sizeof(info->first));
    info->context = tls_context_ref(context);
    return info;
}

struct tls_info *tls_info_ref(struct tls_info *info)
{
    WEIR_ASSERT(info->refs > 0 && info->refs < UINT32_MAX);
    info->refs++;
    return info;
}

void tls_info_unref(struct tls_info **info)
{
    struct tls_info *dead = *info;
    *info = NULL;
    if (!dead)
        return;
    WEIR_ASSERT(dead->refs > 0);
    if (--dead->refs > 0)
        return;
    arena_fini(&dead->arena);
    tls_context_unref(&dead->context);
    free(dead);
}

static struct tls_conn *tls_conn_create(struct conn *conn, const struct tls_context *context)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    struct tls_conn *t = calloc(1, sizeof(*t));
    struct tls_info *info = t ? info_create(context) : NULL;
    SSL *ssl = info ? SSL_new(context->identities[0].ctx) : NULL;
    BIO *bio = ssl ? BIO_new(method) : NULL;
    if (!bio) {
        SSL_free(ssl);
        tls_info_unref(&info);
        free(t);
        ERR_clear_error();
        return NULL;
    }
    t->ssl = ssl;
    t->info = info;
    t->context = context;
    t->identity = &context->identities[0];
    t->conn = conn;
    chain_init(&t->early);
    chain_init(&t->sealed);
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, t);
    SSL_set_shed_handshake_config(ssl, 1);
    tls_check_attach(&t->check, ssl);
    return t;
}

bool tls_start_server(struct conn *conn, const struct tls_context *context, uint64_t timeout_ms)
{
    WEIR_ASSERT(context->server && conn->transport == &transport_raw);
    struct tls_conn *t = tls_conn_create(conn, context);
    if (!t)
        return false;
    SSL_set_accept_state(t->ssl);
    if (!chain_move(&t->early, &conn->in, conn->in.bytes)) {
        tls_info_unref(&t->info);
        SSL_free(t->ssl);
        chain_fini(&t->early);
        free(t);
        return false;
    }
    conn->transport = &transport_tls;
    conn->transport_state = t;
    conn_start_handshake(conn, timeout_ms, !chain_empty(&t->early));
    return true;
}

static bool set_options(struct tls_conn *t, const struct tls_client_options *o)
{
    SSL *ssl = t->ssl;
    char name[256];
    uint8_t wire[TLS_CLIENT_ALPN_BYTES_MAX];
    size_t n = 0;
    if (o->server_name.len > 0 && o->server_name.len < sizeof(name)) {
        memcpy(name, o->server_name.ptr, o->server_name.len);
        name[o->server_name.len] = '\0';
        if (!SSL_set_tlsext_host_name(ssl, name))
            return false;
        t->check.sni = arena_dup(&t->info->arena, o->server_name);
    }
    if (o->wanted_san.len > 0) {
        struct slice name_kept = arena_dup(&t->info->arena, o->wanted_san);
        if (!name_kept.ptr)
            return false;
        tls_check_want_san(&t->check, ssl, name_kept);
    }
    for (size_t i = 0; i < o->alpn_count; i++) {
        if (o->alpn[i].len == 0 || o->alpn[i].len > 255 || n + 1 + o->alpn[i].len > sizeof(wire))
            continue;
        wire[n++] = (uint8_t)o->alpn[i].len;
        memcpy(wire + n, o->alpn[i].ptr, o->alpn[i].len);
        n += o->alpn[i].len;
    }
    if (n > 0 && SSL_set_alpn_protos(ssl, wire, (unsigned)n) != 0)
        return false;
    SSL_set_enforce_rsa_key_usage(ssl, t->context->enforce_rsa_usage);
    t->sessions = o->sessions;
    struct ssl_session_st *kept =
        o->sessions && !o->session ? tls_sessions_take(o->sessions, t->context) : NULL;
    bool ok = !(o->session || kept) || SSL_set_session(ssl, kept ? kept : o->session) == 1;
    if (kept)
        tls_sessions_release(kept);
    return ok;
}

bool tls_start_client(struct conn *conn, const struct tls_context *context,
                      const struct tls_client_options *options)
{
    WEIR_ASSERT(!context->server && conn->transport == &transport_raw);
    struct tls_conn *t = tls_conn_create(conn, context);
    if (!t)
        return false;
    SSL_set_connect_state(t->ssl);
    if (!set_options(t, options)) {
        ERR_clear_error();
        tls_info_unref(&t->info);
        SSL_free(t->ssl);
        free(t);
        return false;
    }
    conn->transport = &transport_tls;
    conn->transport_state = t;
    return true;
}

struct tls_info *tls_info_of(const struct conn *conn)
{
    if (conn->transport != &transport_tls || !conn->transport_state)
        return NULL;
    return ((const struct tls_conn *)conn->transport_state)->info;
}

struct conn *tls_conn_of(const struct ssl_st *ssl)
{
    const struct tls_conn *t = SSL_get_app_data(ssl);
    return t->conn;
}
