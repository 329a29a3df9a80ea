/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the HTTP/1 codec costs alone: nanoseconds and cycles for reading a request and writing its answer, as
 * a server, and for writing a request and reading its answer, as a client. No sockets. Prints one line per
 * case.
 */
#include "base/assert.h"
#include "http/h1.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#else
static uint64_t __rdtsc(void)
{
    return 0;
}
#endif

#define ROUNDS  400000u
#define BATCHES 5

struct side {
    struct http_codec *codec;
    struct block_pool pool;
    struct arena_cache cache;
    struct arena arena;
    struct chain in;
    struct chain out;
    struct codec_stream *stream;
    uint64_t answered;
};

static bool on_begin(void *conn, struct codec_stream *s)
{
    struct side *side = conn;
    s->user = side;
    s->arena = &side->arena;
    return true;
}

static void answer(struct codec_stream *s)
{
    struct side *side = s->user;
    struct header_map *m = arena_alloc(&side->arena, sizeof(*m));
    struct chain body;
    header_map_init(m, &side->arena, 100, 65536);
    header_map_append(m, HDR_STATUS, SLICE_LIT(":status"), SLICE_LIT("200"), SLICE_EMPTY);
    header_map_append(m, HDR_CONTENT_LENGTH, SLICE_LIT("content-length"), SLICE_LIT("2"), SLICE_EMPTY);
    header_map_append(m, HDR_CONTENT_TYPE, SLICE_LIT("content-type"), SLICE_LIT("text/plain"), SLICE_EMPTY);
    header_map_append(m, HDR_DATE, SLICE_LIT("date"), SLICE_LIT("Sun, 06 Nov 1994 08:49:37 GMT"),
                      SLICE_EMPTY);
    header_map_append(m, HDR_SERVER, SLICE_LIT("server"), SLICE_LIT("envoy"), SLICE_EMPTY);
    codec_send_headers(s, m, false);
    chain_init(&body);
    chain_append_copy(&body, &side->pool, SLICE_LIT("ok"));
    codec_send_data(s, &body, true);
    side->answered++;
}

static void on_headers(struct codec_stream *s, struct header_map *m, bool end)
{
    if (end && header_map_has_id(m, HDR_METHOD))
        answer(s);
}

static void on_data(struct codec_stream *s, struct chain *data, bool end)
{
    (void)data;
    if (end && s->protocol == HTTP_11 && ((struct side *)s->user)->stream == NULL)
        answer(s);
}

static void on_reset(struct codec_stream *s, const struct http_error *error)
{
    (void)s;
    fprintf(stderr, "h1_bench: %s\n", error->text);
    WEIR_ASSERT(false);
}

static void on_closed(struct codec_stream *s)
{
    (void)s;
}

static const struct codec_events events = {
    .stream_begin = on_begin,
    .headers = on_headers,
    .data = on_data,
    .reset = on_reset,
    .closed = on_closed,
};

static void side_init(struct side *s, bool client)
{
    static const struct h1_settings settings = {.allow_absolute_url = true};
    *s = (struct side){0};
    block_pool_init(&s->pool, 16);
    arena_init(&s->arena, 1u << 20, &s->cache);
    chain_init(&s->in);
    chain_init(&s->out);
    s->codec = client ? h1_client_create(&settings, &events, s, &s->pool, &s->out)
                      : h1_server_create(&settings, &events, s, &s->pool, &s->out);
    WEIR_ASSERT(s->codec);
}

static void side_fini(struct side *s)
{
    codec_destroy(&s->codec);
    chain_fini(&s->in);
    chain_fini(&s->out);
    arena_fini(&s->arena);
    arena_cache_fini(&s->cache);
    block_pool_fini(&s->pool);
}

/* What recv() leaves behind: bytes at the start of a block from the pool. */
static void receive(struct side *s, struct slice bytes)
{
    struct block *b = block_get(&s->pool);
    memcpy(b->data, bytes.ptr, bytes.len);
    b->used = (uint32_t)bytes.len;
    chain_append_block(&s->in, b, slice_of(b->data, bytes.len));
    block_unref(&b);
    const struct http_error *e = codec_recv(s->codec, &s->in);
    WEIR_ASSERT(!e && chain_empty(&s->in));
}

static void serve(struct side *s, struct slice request)
{
    receive(s, request);
    chain_clear(&s->out);
    arena_fini(&s->arena);
}

static void ask(struct side *s, struct slice response)
{
    struct header_map *m = arena_alloc(&s->arena, sizeof(*m));
    header_map_init(m, &s->arena, 100, 65536);
    header_map_append(m, HDR_AUTHORITY, SLICE_LIT(":authority"), SLICE_LIT("localhost:8080"), SLICE_EMPTY);
    header_map_append(m, HDR_PATH, SLICE_LIT(":path"), SLICE_LIT("/productpage?u=normal"), SLICE_EMPTY);
    header_map_append(m, HDR_METHOD, SLICE_LIT(":method"), SLICE_LIT("GET"), SLICE_EMPTY);
    header_map_append(m, HDR_USER_AGENT, SLICE_LIT("user-agent"), SLICE_LIT("curl/7.88.1"), SLICE_EMPTY);
    header_map_append(m, HDR_ACCEPT, SLICE_LIT("accept"), SLICE_LIT("*/*"), SLICE_EMPTY);
    header_map_append(m, HDR_X_FORWARDED_PROTO, SLICE_LIT("x-forwarded-proto"), SLICE_LIT("http"),
                      SLICE_EMPTY);
    header_map_append(m, HDR_X_REQUEST_ID, SLICE_LIT("x-request-id"),
                      SLICE_LIT("3f2a9f0c-6f57-4c3f-a3a1-0c3a5f6b7c8d"), SLICE_EMPTY);
    s->stream = codec_stream_open(s->codec, s, &s->arena);
    WEIR_ASSERT(s->stream);
    codec_send_headers(s->stream, m, true);
    chain_clear(&s->out);
    receive(s, response);
    arena_fini(&s->arena);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static const char *only = ""; /* cases whose names have this in them */

static void run(const char *name, bool client, struct slice bytes)
{
    if (!strstr(name, only))
        return;
    struct side s;
    double best_ns = 1e18, best_cycles = 1e18;
    side_init(&s, client);
    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now_ns();
        uint64_t cycles = __rdtsc();
        for (uint32_t i = 0; i < ROUNDS; i++)
            client ? ask(&s, bytes) : serve(&s, bytes);
        double ns = (now_ns() - start) / ROUNDS, c = (double)(__rdtsc() - cycles) / ROUNDS;
        best_ns = ns < best_ns ? ns : best_ns;
        best_cycles = c < best_cycles ? c : best_cycles;
    }
    printf("%-34s %8.1f ns %8.0f cycles\n", name, best_ns, best_cycles);
    side_fini(&s);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        only = argv[1];
    run("server: curl GET, small answer", false,
        SLICE_LIT("GET /productpage?u=normal HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\n"
                  "Accept: */*\r\n\r\n"));
    run("server: browser GET, small answer", false,
        SLICE_LIT(
            "GET /a/long/path/to/some/resource.html?with=query&and=more HTTP/1.1\r\nHost: www.example.com\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
            "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
            "Referer: https://www.example.com/start\r\nConnection: keep-alive\r\n"
            "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n"
            "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
            "Sec-Fetch-Site: same-origin\r\nPriority: u=0, i\r\n\r\n"));
    run("server: POST 5 bytes", false,
        SLICE_LIT("POST /api HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n"
                  "Content-Length: 5\r\n\r\nhello"));
    run("server: POST chunked", false,
        SLICE_LIT("POST /api HTTP/1.1\r\nHost: localhost:8080\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "5\r\nhello\r\n0\r\n\r\n"));
    run("client: GET, answer with length", true,
        SLICE_LIT("HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                  "Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"));
    return 0;
}
