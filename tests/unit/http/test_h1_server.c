/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests, good and bad, as tables: each is fed whole, byte by byte and in every split in two, and must give
 * the same events each time.
 */
#include "h1_peer.h"

#define GET      "GET / HTTP/1.1\r\n"
#define HOST     "Host: h\r\n"
#define HEAD_GET "head [:authority=h] [:path=/] [:method=GET]"

enum setting {
    HTTP10 = 1,
    CHUNKED_LENGTH = 2,
    TRAILERS = 4,
    UPGRADE = 8,
    CONNECT = 16,
    NO_ABSOLUTE = 32,
    DEFAULT_HOST = 64,
    SMALL = 128
};

static struct h1_settings settings_of(unsigned flags)
{
    struct h1_settings s = {
        .accept_http_10 = flags & HTTP10,
        .allow_absolute_url = !(flags & NO_ABSOLUTE),
        .allow_chunked_length = flags & CHUNKED_LENGTH,
        .enable_trailers = flags & TRAILERS,
        .allow_upgrade = flags & UPGRADE,
        .allow_connect = flags & CONNECT,
    };
    if (flags & DEFAULT_HOST)
        s.default_host_for_http_10 = SLICE_LIT("default");
    if (flags & SMALL) {
        s.headers_count_max = 3;
        s.headers_bytes_max = 100;
        s.start_line_bytes_max = 40;
    }
    return s;
}

struct good_case {
    unsigned flags;
    const char *name;
    const char *input;
    const char *log;
};

struct bad_case {
    unsigned flags;
    const char *error;
    const char *input;
    size_t len; /* 0: strlen */
};

static const struct good_case good_cases[] = {
    {0, "smallest", GET HOST "\r\n", "begin\n" HEAD_GET "\nend\nclosed\n"},
    {0, "leading crlf", "\r\n\r\n" GET HOST "\r\n", "begin\n" HEAD_GET "\nend\nclosed\n"},
    {0, "names are folded, values trimmed", GET "hOsT: \t h \t \r\nX-A:b\r\nX-B: \r\nX-C:\r\n\r\n",
     "begin\n" HEAD_GET " [x-a=b] [x-b=] [x-c=]\nend\nclosed\n"},
    {0, "obs-text and htab inside", GET HOST "X: a\tb\xff c\r\n\r\n",
     "begin\n" HEAD_GET " [x=a\tb\xff c]\nend\nclosed\n"},
    {0, "any token is a method", "m-search!~ /x HTTP/1.1\r\n" HOST "\r\n",
     "begin\nhead [:authority=h] [:path=/x] [:method=m-search!~]\nend\nclosed\n"},
    {0, "length", "POST /p HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
     "begin\nhead [:authority=h] [:path=/p] [:method=POST] [content-length=5]\ndata hello\nend\nclosed\n"},
    {0, "length 0", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
     "begin\nhead [:authority=h] [:path=/] [:method=POST] [content-length=0]\nend\nclosed\n"},
    {0, "chunked",
     "POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: ChunKed\r\n\r\n5\r\nhello\r\n00001;x=\"y z\"\r\n,\r\nA\r\n0123456789\r\n0\r\n\r\n",
     "begin\nhead [:authority=h] [:path=/] [:method=POST]\ndata hello,0123456789\nend\nclosed\n"},
    {0, "empty chunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n000;a\r\n\r\n",
     "begin\nhead [:authority=h] [:path=/] [:method=POST]\nend\nclosed\n"},
    {0, "trailers dropped",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
     "begin\nhead [:authority=h] [:path=/] [:method=POST]\ndata a\nend\nclosed\n"},
    {TRAILERS, "trailers",
     "POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\nHost: evil\r\nContent-Length: 3\r\nZ:\r\n\r\n",
     "begin\nhead [:authority=h] [:path=/] [:method=POST]\ndata a\ntrailers [x=y] [z=]\nend\nclosed\n"},
    {TRAILERS, "only forbidden trailers",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: evil\r\n\r\n",
     "begin\nhead [:authority=h] [:path=/] [:method=POST]\nend\nclosed\n"},
    {CHUNKED_LENGTH, "length with chunked allowed",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "begin\nhead [:authority=h] [:path=/] [:method=POST]\nend\nclosed\n"},
    {0, "absolute form replaces host", "GET http://a.b:81/p?q HTTP/1.1\r\n" HOST "\r\n",
     "begin\nhead [:authority=a.b:81] [:path=/p?q] [:method=GET] [:scheme=http]\nend\nclosed\n"},
    {0, "absolute form without path", "GET HTTPS://a.b HTTP/1.1\r\n" HOST "\r\n",
     "begin\nhead [:authority=a.b] [:path=/] [:method=GET] [:scheme=https]\nend\nclosed\n"},
    {0, "absolute form with query only", "GET http://[::1]?q HTTP/1.1\r\n" HOST "\r\n",
     "begin\nhead [:authority=[::1]] [:path=/?q] [:method=GET] [:scheme=http]\nend\nclosed\n"},
    {0, "absolute OPTIONS without path", "OPTIONS http://a HTTP/1.1\r\n" HOST "\r\n",
     "begin\nhead [:authority=a] [:path=*] [:method=OPTIONS] [:scheme=http]\nend\nclosed\n"},
    {0, "asterisk form", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
     "begin\nhead [:authority=h] [:path=*] [:method=OPTIONS]\nend\nclosed\n"},
    {0, "hosts", GET "Host: [2001:db8::1]:65535\r\n\r\n",
     "begin\nhead [:authority=[2001:db8::1]:65535] [:path=/] [:method=GET]\nend\nclosed\n"},
    {0, "empty host", GET "Host:\r\n\r\n",
     "begin\nhead [:authority=] [:path=/] [:method=GET]\nend\nclosed\n"},
    {HTTP10, "1.0", "GET / HTTP/1.0\r\n" HOST "\r\n",
     "begin\nhead10 [:authority=h] [:path=/] [:method=GET]\nend\nclosed\n"},
    {HTTP10 | DEFAULT_HOST, "1.0 default host", "GET / HTTP/1.0\r\n\r\n",
     "begin\nhead10 [:authority=default] [:path=/] [:method=GET]\nend\nclosed\n"},
    {HTTP10, "1.0 absolute form without host", "GET http://a/ HTTP/1.0\r\n\r\n",
     "begin\nhead10 [:authority=a] [:path=/] [:method=GET] [:scheme=http]\nend\nclosed\n"},
    {0, "hop-by-hop fields go",
     GET HOST "Connection: keep-alive, X-Gone, TE\r\nKeep-Alive: 5\r\nProxy-Connection: "
              "keep-alive\r\nX-Gone: 1\r\nTE: gzip, trailers\r\nUpgrade: websocket\r\nX: y\r\n\r\n",
     "begin\n" HEAD_GET " [te=trailers] [x=y]\nend\nclosed\n"},
    {0, "te without trailers goes", GET HOST "TE: gzip;q=1\r\n\r\n", "begin\n" HEAD_GET "\nend\nclosed\n"},
    {UPGRADE, "h2c is not offered",
     GET HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
     "begin\n" HEAD_GET "\nend\nclosed\n"},
    {UPGRADE, "upgrade without connection", GET HOST "Upgrade: websocket\r\n\r\n",
     "begin\n" HEAD_GET "\nend\nclosed\n"},
    {UPGRADE, "upgrade with a body is a plain request",
     GET HOST "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
     "begin\n" HEAD_GET " [content-length=1]\ndata x\nend\nclosed\n"},
    {0, "expect is passed up", "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
     "begin\nhead [:authority=h] [:path=/] [:method=PUT] [expect=100-continue] [content-length=1]\ndata "
     "x\nend\nclosed\n"},
    {0, "pipelined",
     GET HOST "\r\n"
              "POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab"
              "\r\n" GET HOST "\r\n",
     "begin\n" HEAD_GET "\nend\nclosed\nbegin\nhead [:authority=h] [:path=/] [:method=POST] "
     "[content-length=2]\ndata ab\nend\nclosed\nbegin\n" HEAD_GET "\nend\nclosed\n"},
    {0, "nothing behind close", GET HOST "Connection: close\r\n\r\n" GET HOST "\r\n",
     "begin\n" HEAD_GET "\nend\nclosed\n"},
    {0, "nothing behind proxy-connection close", GET HOST "Proxy-Connection: close\r\n\r\n" GET HOST "\r\n",
     "begin\n" HEAD_GET "\nend\nclosed\n"},
    {HTTP10, "1.0 keep-alive",
     "GET / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n"
     "GET / HTTP/1.0\r\n" HOST "\r\n" GET HOST "\r\n",
     "begin\nhead10 [:authority=h] [:path=/] [:method=GET]\nend\nclosed\nbegin\nhead10 [:authority=h] "
     "[:path=/] [:method=GET]\nend\nclosed\n"},
    {SMALL, "at the limits", GET "Host: h\r\na: b\r\nc: d\r\n\r\n",
     "begin\n" HEAD_GET " [a=b] [c=d]\nend\nclosed\n"},
};

#define CHUNKED_POST "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
#define RAW(text)    text, sizeof(text) - 1

static const struct bad_case bad_cases[] = {
    /* request line */
    {0, "bad_method", " GET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_method", "G(T / HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_method", "GE\tT / HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_method", "\r\n\r\n\r\n" GET HOST "\r\n", 0},
    {0, "bad_method", "\r" GET HOST "\r\n", 0},
    {0, "bad_method", "\x16\x03\x01\x02", 0},
    {0, "bad_method", RAW("\0GET / HTTP/1.1\r\n" HOST "\r\n")},
    {0, "bad_method", "\xc3\xa9 / HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_method", ": / HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_request_line", "GET\r\n" HOST "\r\n", 0},
    {0, "bad_request_line", "GET /\r\n" HOST "\r\n", 0},
    {0, "bad_request_line", "GET  / HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_request_line", "GET \r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET /  HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET / HTTP/1.1 \r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET / x HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET / http/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET / HTTP/1.11\r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET / HTTP/1,1\r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET / HTTP/x.1\r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET / HTTP/1.\r\n" HOST "\r\n", 0},
    {0, "bad_version", "GET / \r\n" HOST "\r\n", 0},
    {0, "bad_version", RAW("GET / HTTP/1.1\0\r\n" HOST "\r\n")},
    {0, "bad_version", "GET / HTTP/1.1\t\r\n" HOST "\r\n", 0},
    {0, "version_unsupported", "GET / HTTP/2.0\r\n" HOST "\r\n", 0},
    {0, "version_unsupported", "GET / HTTP/1.2\r\n" HOST "\r\n", 0},
    {0, "version_unsupported", "GET / HTTP/0.9\r\n" HOST "\r\n", 0},
    {0, "version_unsupported", "GET / HTTP/3.0\r\n" HOST "\r\n", 0},
    {0, "http2_preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
    {0, "low_version", "GET / HTTP/1.0\r\n" HOST "\r\n", 0},
    {0, "bad_target", "GET foo HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_url", "GET * HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_target", "OPTIONS *x HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_target", "GET ?q HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_target", "GET h:80 HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_target", "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_target", "GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_target", "GET /a\tb HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_target", RAW("GET /a\0b HTTP/1.1\r\n" HOST "\r\n")},
    {0, "bad_target", "GET ://h/ HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_url", "GET http:/// HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_url", "GET http://u@h/ HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_url", "GET http://h:99999/ HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_url", "GET http://h#f HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_url", "GET http://[::1/ HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bad_scheme", "GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n", 0},
    {NO_ABSOLUTE, "bad_target", "GET http://h/ HTTP/1.1\r\n" HOST "\r\n", 0},
    {CONNECT, "bad_url", "CONNECT / HTTP/1.1\r\n" HOST "\r\n", 0},
    {CONNECT, "bad_url", "CONNECT h HTTP/1.1\r\n" HOST "\r\n", 0},
    {CONNECT, "bad_url", "CONNECT h: HTTP/1.1\r\n" HOST "\r\n", 0},
    {CONNECT, "bad_url", "CONNECT :80 HTTP/1.1\r\n" HOST "\r\n", 0},
    {CONNECT, "bad_url", "CONNECT [::1] HTTP/1.1\r\n" HOST "\r\n", 0},
    {CONNECT, "bad_url", "CONNECT http://h:1/ HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "connect_refused", "CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n", 0},
    {CONNECT, "body_disallowed", "CONNECT h:80 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n", 0},
    {CONNECT, "bad_transfer_encoding", "CONNECT h:80 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
     0},
    /* line ends */
    {0, "bare_lf", "GET / HTTP/1.1\n" HOST "\r\n", 0},
    {0, "bare_lf", GET "Host: h\n\r\n", 0},
    {0, "bare_lf", GET HOST "\n", 0},
    {0, "bare_lf", GET HOST "X: a\nb: c\r\n\r\n", 0},
    {0, "bad_method", "\n" GET HOST "\r\n", 0},
    {0, "bare_cr", "GET /\rx HTTP/1.1\r\n" HOST "\r\n", 0},
    {0, "bare_cr", "GET / HTTP/1.1\r\r\n" HOST "\r\n", 0},
    {0, "bare_cr", GET HOST "X: a\rb\r\n\r\n", 0},
    {0, "bare_cr", GET HOST "X: a\r\r\n\r\n", 0},
    {0, "bare_cr", GET HOST "\rX: a\r\n\r\n", 0},
    {0, "bare_cr", GET HOST "X\r: a\r\n\r\n", 0},
    {0, "bare_cr", GET HOST "\r\r\n\r\n", 0},
    /* fields */
    {0, "obs_fold", GET HOST "X: a\r\n b\r\n\r\n", 0},
    {0, "obs_fold", GET HOST "X: a\r\n\tb\r\n\r\n", 0},
    {0, "obs_fold", GET " Host: h\r\n\r\n", 0},
    {0, "obs_fold", GET HOST "X: a\r\n \r\n\r\n", 0},
    {0, "space_before_colon", GET "Host : h\r\n\r\n", 0},
    {0, "space_before_colon", GET HOST "Content-Length\t: 3\r\n\r\n", 0},
    {0, "bad_header_name", GET HOST ": a\r\n\r\n", 0},
    {0, "bad_header_name", GET HOST "X\r\n\r\n", 0},
    {0, "bad_header_name", GET HOST "X y: a\r\n\r\n", 0},
    {0, "bad_header_name", GET HOST "X(: a\r\n\r\n", 0},
    {0, "bad_header_name", GET HOST "X\x80: a\r\n\r\n", 0},
    {0, "bad_header_name", GET HOST ":path: /x\r\n\r\n", 0},
    {0, "bad_header_name", RAW(GET HOST "X\0: a\r\n\r\n")},
    {0, "bad_header_name", GET HOST "X\x01: a\r\n\r\n", 0},
    {0, "bad_header_value", RAW(GET HOST "X: a\0b\r\n\r\n")},
    {0, "bad_header_value", GET HOST "X: a\x01\r\n\r\n", 0},
    {0, "bad_header_value", GET HOST "X: \x7f\r\n\r\n", 0},
    {0, "bad_header_value", GET HOST "X: 0123456789abcdef0123456789abcdef\x1b\r\n\r\n", 0},
    {0, "bad_header_value", GET "Host: h\vx\r\n\r\n", 0},
    /* host */
    {0, "missing_host", GET "\r\n", 0},
    {0, "missing_host", "GET http://h/ HTTP/1.1\r\n\r\n", 0},
    {HTTP10, "missing_host", "GET / HTTP/1.0\r\n\r\n", 0},
    {0, "duplicate_host", GET HOST HOST "\r\n", 0},
    {0, "duplicate_host", GET HOST "host: other\r\n\r\n", 0},
    {0, "bad_host", GET "Host: a b\r\n\r\n", 0},
    {0, "bad_host", GET "Host: a/b\r\n\r\n", 0},
    {0, "bad_host", GET "Host: u@h\r\n\r\n", 0},
    {0, "bad_host", GET "Host: h:x\r\n\r\n", 0},
    {0, "bad_host", GET "Host: h:70000\r\n\r\n", 0},
    {0, "bad_host", GET "Host: [::1\r\n\r\n", 0},
    {0, "bad_host", GET "Host: []\r\n\r\n", 0},
    {0, "bad_host", GET "Host: [::1]x\r\n\r\n", 0},
    {0, "bad_host", GET "Host: h, g\r\n\r\n", 0},
    {0, "bad_host", GET "Host: h\\x\r\n\r\n", 0},
    {0, "bad_host", GET "Host: \xff\r\n\r\n", 0},
    {0, "bad_host", "GET http://ok/ HTTP/1.1\r\nHost: a b\r\n\r\n", 0},
    /* connection */
    {0, "connection_rejected", GET HOST "Connection: X-Forwarded-For\r\n\r\n", 0},
    {0, "connection_rejected", GET HOST "Connection: close, x-forwarded-proto\r\n\r\n", 0},
    {0, "connection_rejected", GET HOST "Connection: :path\r\n\r\n", 0},
    {0, "connection_rejected", GET HOST "Connection: a,b,c,d,e,f,g,h,i,j\r\n\r\n", 0},
    {0, "connection_rejected", GET HOST "Connection: a,b,c,d,e\r\nConnection: f,g,h,i,j\r\n\r\n", 0},
    /* framing */
    {0, "bad_content_length", GET HOST "Content-Length: \r\n\r\n", 0},
    {0, "bad_content_length", GET HOST "Content-Length: -1\r\n\r\n", 0},
    {0, "bad_content_length", GET HOST "Content-Length: +1\r\n\r\n", 0},
    {0, "bad_content_length", GET HOST "Content-Length: 1 1\r\n\r\n", 0},
    {0, "bad_content_length", GET HOST "Content-Length: 0x1\r\n\r\n", 0},
    {0, "bad_content_length", GET HOST "Content-Length: 1, 1\r\n\r\n", 0},
    {0, "bad_content_length", GET HOST "Content-Length: 18446744073709551616\r\n\r\n", 0},
    {0, "bad_content_length", GET HOST "Content-Length: 1.0\r\n\r\n", 0},
    {0, "duplicate_content_length", GET HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 0},
    {0, "duplicate_content_length", GET HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 0},
    {0, "length_and_chunked", GET HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {0, "length_and_chunked", GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 0},
    {CHUNKED_LENGTH, "length_and_chunked", GET HOST "Transfer-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
     0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: gzip\r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: \r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: identity\r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: chunked, gzip\r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: xchunked\r\n\r\n", 0},
    {0, "bad_transfer_encoding", GET HOST "Transfer-Encoding: \"chunked\"\r\n\r\n", 0},
    {0, "bad_header_value",
     GET HOST "Transfer-Encoding: \x0b"
              "chunked\r\n\r\n",
     0},
    {HTTP10, "transfer_encoding_refused", "GET / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 0},
    /* chunks */
    {0, "bad_chunk_size", CHUNKED_POST "\r\n\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST "g\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST "-1\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST "+1\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST "0x1\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST " 1\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST "1 \r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST "1 ;a\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST "1\t\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST ";a\r\n", 0},
    {0, "bad_chunk_size", CHUNKED_POST "1\n", 0},
    {0, "bad_chunk_size", RAW(CHUNKED_POST "1\0\r\n")},
    {0, "chunk_too_large", CHUNKED_POST "10000000000000000\r\n", 0},
    {0, "chunk_too_large", CHUNKED_POST "00000000000000001\r\n", 0},
    {0, "bare_cr", CHUNKED_POST "1\ra\r\n", 0},
    {0, "bare_cr", CHUNKED_POST "1;a\rb\r\n", 0},
    {0, "bad_chunk_extension", CHUNKED_POST "1;a\nx\r\n", 0},
    {0, "bad_chunk_extension", RAW(CHUNKED_POST "1;\0\r\n")},
    {0, "bad_chunk_end", CHUNKED_POST "1\r\nab\r\n", 0},
    {0, "bad_chunk_end", CHUNKED_POST "1\r\na\n0\r\n\r\n", 0},
    {0, "bad_chunk_end", CHUNKED_POST "1\r\na\rX", 0},
    {0, "bad_chunk_end", CHUNKED_POST "1\r\na0\r\n\r\n", 0},
    /* trailers: checked also where they are dropped */
    {0, "bare_lf", CHUNKED_POST "0\r\nX: y\n\r\n", 0},
    {0, "bare_lf", CHUNKED_POST "0\r\n\n", 0},
    {0, "obs_fold", CHUNKED_POST "0\r\n X: y\r\n\r\n", 0},
    {0, "space_before_colon", CHUNKED_POST "0\r\nX : y\r\n\r\n", 0},
    {0, "bad_header_name", CHUNKED_POST "0\r\nGET / HTTP/1.1\r\n\r\n", 0},
    {TRAILERS, "bad_header_value", CHUNKED_POST "0\r\nX: \x01\r\n\r\n", 0},
    {SMALL, "too_many_headers",
     "P / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n", 0},
    /* limits */
    {SMALL, "too_many_headers", GET HOST "a: b\r\nc: d\r\ne: f\r\n\r\n", 0},
    {SMALL, "request_line_too_long", "GET /0123456789012345678901234567890 HTTP/1.1\r\n" HOST "\r\n", 0},
    {SMALL, "request_line_too_long", "GET /01234567890123456789012345678901234567890123456789", 0},
    {SMALL, "headers_too_large",
     GET HOST
     "a: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\r\n\r\n",
     0},
    {SMALL, "headers_too_large",
     GET HOST
     "a: "
     "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
     0},
};

/* Feeds with cuts at `a` and `b`. */
static char *run_cut(const struct h1_settings *settings, struct slice input, size_t a, const char **error)
{
    struct peer p;
    peer_init(&p, settings, false);
    p.respond = "200";
    peer_feed(&p, slice_take(input, a));
    if (a < input.len)
        peer_feed(&p, slice_skip(input, a));
    *error = p.error ? p.error->name : NULL;
    char *log = strdup(peer_log(&p));
    peer_fini(&p);
    return log;
}

static char *run_bytes(const struct h1_settings *settings, struct slice input, const char **error)
{
    struct peer p;
    peer_init(&p, settings, false);
    p.respond = "200";
    for (size_t i = 0; i < input.len && !p.error; i++)
        peer_feed(&p, slice_take(slice_skip(input, i), 1));
    *error = p.error ? p.error->name : NULL;
    char *log = strdup(peer_log(&p));
    peer_fini(&p);
    return log;
}

static void check_log(const char *name, size_t cut, char *log, const char *expected)
{
    if (strcmp(log, expected) != 0)
        fail_msg("%s, cut at %zu:\n%s\nexpected:\n%s", name, cut, log, expected);
    free(log);
}

static void good_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(good_cases); i++) {
        const struct good_case *t = &good_cases[i];
        struct h1_settings settings = settings_of(t->flags);
        struct slice input = slice_str(t->input);
        const char *error;
        for (size_t cut = 0; cut <= input.len; cut++) {
            check_log(t->name, cut, run_cut(&settings, input, cut, &error), t->log);
            assert_null(error);
        }
        check_log(t->name, 0, run_bytes(&settings, input, &error), t->log);
        assert_null(error);
    }
}

static void check_bad(const struct bad_case *t, size_t cut, char *log, const char *error)
{
    char reset[128];
    snprintf(reset, sizeof(reset), "reset:%s\n", t->error);
    size_t n = strlen(reset), len = strlen(log);
    if (!error || strcmp(error, t->error) != 0 || len < n || strcmp(log + len - n, reset) != 0)
        fail_msg("%s, cut at %zu: got %s\n%s\n%s", t->error, cut, error ? error : "no error", t->input, log);
    free(log);
}

static void bad_requests(void **state)
{
    (void)state;
    assert_true(WEIR_ARRAY_LEN(bad_cases) > 100);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad_cases); i++) {
        const struct bad_case *t = &bad_cases[i];
        struct h1_settings settings = settings_of(t->flags);
        struct slice input = slice_of(t->input, t->len ? t->len : strlen(t->input));
        const char *error;
        for (size_t cut = 0; cut <= input.len; cut++) {
            char *log = run_cut(&settings, input, cut, &error);
            check_bad(t, cut, log, error);
        }
        char *log = run_bytes(&settings, input, &error);
        check_bad(t, 0, log, error);
    }
}

/* A wrong request line is answered although the head is not whole. */
static void wrong_line_is_answered_at_once(void **state)
{
    static const struct h1_settings settings;
    static const char *const lines[] = {"GET / HTTP/2.0\r\n", "GET / HTTP/1.0\r\n", "GARBAGE\r\n",
                                        "GET /\r\n", "GET / HTTP/1.1\n"};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(lines); i++) {
        struct peer p;
        peer_init(&p, &settings, false);
        p.answer_errors = true;
        peer_feed(&p, slice_str(lines[i]));
        assert_non_null(p.error);
        assert_non_null(strstr(peer_out(&p), "HTTP/1.1 "));
        assert_non_null(strstr(peer_out(&p), "content-length: 0\r\nconnection: close\r\n\r\n"));
        peer_fini(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_requests),
        cmocka_unit_test(bad_requests),
        cmocka_unit_test(wrong_line_is_answered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
