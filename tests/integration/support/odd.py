# SPDX-License-Identifier: Apache-2.0
"""Odd HTTP/1 requests, byte for byte: what scanners, broken clients and smugglers send. name -> bytes."""

HOST = b"host: test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
# Behind each of them comes a request that closes the connection: where one message ends shows in its answer.
SENTINEL = b"GET /sentinel HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n"


def start_lines():
    for method in (b"get", b"FOO", b"G", b"M-SEARCH", b"GET/", b"G@T", b"G\x00T", b"G\x80T", b"{GET}", b"GET:", b"", b"X" * 40,
                   b"X" * 300, b"TRACE", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"PRI"):
        yield b"method " + method[:12], method + b" / HTTP/1.1\r\n" + HOST + b"\r\n"
    for target in (b"*", b"", b"index", b"?q", b"/#f", b"/a b", b"/a\tb", b"/\x00", b"/\x7f", b"/\x80", b"/\xff", b"/%00", b"/%zz",
                   b"/%", b"//a", b"/a//b", b"/../b", b"/a/./b", b"/a/%2e%2e/b", b"/a%2fb", b"/a%5cb", b"/a\\b", b"/;a=b", b"/?a=b?c",
                   b"/?", b"/\"", b"/<>", b"/{}", b"/^`|", b"/" + b"x" * 5000, b"http://test", b"http://test/", b"HTTP://test/a",
                   b"https://test/", b"http://other/", b"http://test:80/", b"http://user@test/", b"http:///", b"http://", b"ftp://test/",
                   b"http:/a", b"test:80", b"/ HTTP/1.0", b"http://test?a", b"http://[::1]/", b"http://te st/"):
        yield b"target " + target[:24], b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"options of all", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"connect", b"CONNECT test:443 HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"connect to a path", b"CONNECT / HTTP/1.1\r\n" + HOST + b"\r\n"
    for version in (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"HTTP/11",
                    b"HTTP/1,1", b"http/1.1", b"HTTQ/1.1", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1.1 ", b"HTTP/1.1 x", b"HTTP/-1.1", b"HTTP/x.y",
                    b"ICE/1.0"):
        yield b"version " + version, b"GET / " + version + b"\r\n" + HOST + b"\r\n"
    yield b"no version", b"GET /\r\n" + HOST + b"\r\n"
    yield b"two spaces", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"two spaces before the version", b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"tabs", b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"a space first", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n"


def line_ends():
    yield b"lf only", b"GET / HTTP/1.1\nhost: test\n\n"
    yield b"lf after the start line", b"GET / HTTP/1.1\nhost: test\r\n\r\n"
    yield b"lf after a header", b"GET / HTTP/1.1\r\nhost: test\n\r\n"
    yield b"lf at the end", GET + b"\n"
    yield b"cr only", b"GET / HTTP/1.1\rhost: test\r\r"
    yield b"cr in the start line", b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"cr cr lf", b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n"
    yield b"cr cr lf at the end", GET + b"\r\r\n"
    yield b"cr in a value", GET + b"x-a: 1\rx-b: 2\r\n\r\n"
    yield b"an empty line first", b"\r\n" + GET + b"\r\n"
    yield b"an lf first", b"\n" + GET + b"\r\n"
    yield b"many empty lines first", b"\r\n" * 20 + GET + b"\r\n"
    yield b"a cr first", b"\r" + GET + b"\r\n"
    yield b"a nul first", b"\x00" + GET + b"\r\n"


def names():
    for c in [*range(0x00, 0x09), 0x0b, 0x0c, *range(0x0e, 0x21), *(b"\"(),/;<=>?@[\\]{}"), 0x7f, 0x80, 0xe9, 0xff, *(b"!#$%&'*+-.^_`|~")]:
        yield b"name with %02x" % c, GET + b"x-" + bytes([c]) + b"a: 1\r\n\r\n"
    yield b"empty name", GET + b": 1\r\n\r\n"
    yield b"space before the colon", GET + b"x-a : 1\r\n\r\n"
    yield b"tab before the colon", GET + b"x-a\t: 1\r\n\r\n"
    yield b"no colon", GET + b"x-a\r\n\r\n"
    yield b"only spaces", GET + b"  \r\n\r\n"
    yield b"a fold", GET + b"x-a: 1\r\n 2\r\n\r\n"
    yield b"a fold by tab", GET + b"x-a: 1\r\n\t2\r\n\r\n"
    yield b"a fold first", b"GET / HTTP/1.1\r\n host: test\r\n\r\n"
    yield b"a fold in host", b"GET / HTTP/1.1\r\nhost:\r\n test\r\n\r\n"
    yield b"an empty fold", GET + b"x-a: 1\r\n \r\n\r\n"
    yield b"a long name", GET + b"x" * 5000 + b": 1\r\n\r\n"
    yield b"a pseudo-header", GET + b":path: /other\r\n\r\n"
    yield b"upper case", b"GET / HTTP/1.1\r\nHOST: test\r\nX-A: 1\r\nx-A: 2\r\n\r\n"


def values():
    for c in [*range(0x00, 0x09), 0x0b, 0x0c, *range(0x0e, 0x20), 0x7f, 0x80, 0xe9, 0xff, 0x09]:
        yield b"value with %02x" % c, GET + b"x-a: 1" + bytes([c]) + b"2\r\n\r\n"
    yield b"empty value", GET + b"x-a:\r\nx-b: \r\n\r\n"
    yield b"blanks around a value", GET + b"x-a: \t 1 2 \t \r\n\r\n"
    yield b"nothing before a value", GET + b"x-a:1\r\n\r\n"
    yield b"a value of 50 KiB", GET + b"x-a: " + b"y" * 51200 + b"\r\n\r\n"
    yield b"headers over the limit", GET + b"x-a: " + b"y" * 70000 + b"\r\n\r\n"
    yield b"99 headers", GET + b"".join(b"x-%d: 1\r\n" % i for i in range(98)) + b"\r\n"
    yield b"200 headers", GET + b"".join(b"x-%d: 1\r\n" % i for i in range(200)) + b"\r\n"
    yield b"the same name often", GET + b"x-a: 1\r\n" * 50 + b"\r\n"


def hosts():
    for value in (b"", b"test:80", b"test:", b"test:x", b"test:99999", b"user@test", b"test/a", b"te st", b"te_st", b"[::1]", b"[::1]:80",
                  b"::1", b"TEST", b"test,other", b"test\x00", b"t\xe9st", b"test?", b"test#", b"te\tst", b"-", b".", b"%74est", b"'test'"):
        yield b"host " + value, b"GET / HTTP/1.1\r\nhost: " + value + b"\r\n\r\n"
    yield b"no host", b"GET / HTTP/1.1\r\n\r\n"
    yield b"no host in 1.0", b"GET / HTTP/1.0\r\n\r\n"
    yield b"two hosts", GET + b"host: test\r\n\r\n"
    yield b"two different hosts", GET + b"host: other\r\n\r\n"
    yield b"absolute without host", b"GET http://test/ HTTP/1.1\r\n\r\n"
    yield b"absolute and another host", b"GET http://one/ HTTP/1.1\r\nhost: two\r\n\r\n"


def lengths():
    for value in (b"0", b"5", b"+5", b"-5", b"5.0", b"0x5", b"05", b"0000000000000000000000005", b"5 ", b"\t5", b"5,5", b"5, 5", b"5,6", b"",
                  b" ", b"five", b"5 5", b"5;", b"5\x00", b"5\x0b", b"1e1", b"\xb2", b"9223372036854775807", b"18446744073709551615",
                  b"18446744073709551621", b"99999999999999999999999999", b"-0", b"_5", b"5_0"):
        yield b"length " + value, POST + b"content-length: " + value + b"\r\n\r\nhello"
    yield b"length twice", POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello"
    yield b"two lengths", POST + b"content-length: 5\r\ncontent-length: 50\r\n\r\nhello"
    yield b"a length with a blank name", POST + b"content-length : 5\r\n\r\nhello"
    yield b"a length with a fold", POST + b"content-length:\r\n 5\r\n\r\nhello"
    yield b"get with a body", GET + b"content-length: 5\r\n\r\nhello"
    yield b"head with a body", b"HEAD / HTTP/1.1\r\n" + HOST + b"content-length: 5\r\n\r\nhello"
    yield b"no length", POST + b"\r\nhello"
    yield b"a length that hides a request", POST + b"content-length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    yield b"a length that does not", POST + b"content-length: 0\r\n\r\n" + SMUGGLED


def codings():
    for value in (b"chunked", b"Chunked", b"CHUNKED", b"chunked, chunked", b"gzip, chunked", b"chunked, gzip", b"identity", b"identity, chunked",
                  b"chunked, identity", b"xchunked", b"chunkedx", b"chunked;q=1", b"\tchunked", b"chunked ", b"chunked\x0b", b"\x0bchunked", b"chunked\x00",
                  b"", b"chunked,", b",chunked", b"\"chunked\"", b"'chunked'", b"chun ked", b"gzip", b"trailers", b"chunked\xa0", b"[chunked]", b"c"):
        yield b"coding " + value, POST + b"transfer-encoding: " + value + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        yield b"length and coding " + value, (POST + b"content-length: 4\r\ntransfer-encoding: " + value
                                              + b"\r\n\r\n" + b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n")
    yield b"two codings", POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield b"two different codings", POST + b"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield b"coding, then length", POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED
    yield b"length, then coding", POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    yield b"a coding with a blank name", POST + b"transfer-encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield b"length and a coding with a blank name", POST + b"content-length: 5\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED
    yield b"a coding with a fold", POST + b"transfer-encoding:\r\n chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield b"a coding behind a bare lf", POST + b"x: y\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield b"a coding behind a bare cr", POST + b"x: y\rtransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"
    yield b"a coding with an underscore", POST + b"transfer_encoding: chunked\r\ncontent-length: 5\r\n\r\nhello"
    yield b"a coding in 1.0", b"POST / HTTP/1.0\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield b"get with a chunked body", GET + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    yield b"coding of connect", b"CONNECT test:80 HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"


def chunks():
    for size in (b"5", b"05", b"0000000000000005", b"00000000000000000000000000000005", b"5 ", b" 5", b"5\t", b"0x5", b"+5", b"-5", b"5h", b"h5", b"",
                 b"5;", b"5;a", b"5;a=b", b"5;a=\"b\"", b"5; a=b", b"5 ;a=b", b"5;a=\"\r\n\"", b"5;\x00", b"5;" + b"x" * 300, b"5;" + b"x" * 20000,
                 b"5\n", b"5\r", b"5\x00", b"5,5", b"FFFFFFFFFFFFFFFF5", b"8000000000000005", b"10000000000000005", b"5;a\nb", b"\"5\"", b"5.0"):
        yield b"chunk size " + size[:20], CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n"
    yield b"chunk size in upper case", CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n"
    yield b"chunk size in lower case", CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n"
    yield b"chunk ended by lf", CHUNKED + b"5\nhello\n0\n\n"
    yield b"chunk data ended by lf", CHUNKED + b"5\r\nhello\n0\r\n\r\n"
    yield b"chunk without an end", CHUNKED + b"5\r\nhello0\r\n\r\n"
    yield b"chunk longer than said", CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n"
    yield b"chunk shorter than said", CHUNKED + b"6\r\nhello\r\n0\r\n\r\n"
    yield b"last chunk of many zeros", CHUNKED + b"5\r\nhello\r\n000\r\n\r\n"
    yield b"last chunk with an extension", CHUNKED + b"0;a=b\r\n\r\n"
    yield b"last chunk ended by lf", CHUNKED + b"5\r\nhello\r\n0\r\n\n"
    yield b"no last line", CHUNKED + b"0\r\n" + SMUGGLED
    yield b"a trailer", CHUNKED + b"5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"
    for name in (b"content-length: 5", b"transfer-encoding: chunked", b"host: other", b"connection: close", b"x t: 1", b"x-t : 1", b": 1", b"x-t", b"x-t: a\x00b",
                 b":path: /", b"te: a", b"content-length : 5"):
        yield b"trailer " + name, CHUNKED + b"5\r\nhello\r\n0\r\n" + name + b"\r\n\r\n"
    yield b"trailer ended by lf", CHUNKED + b"0\r\nx-t: 1\n\r\n"
    yield b"trailers over the limit", CHUNKED + b"0\r\nx-t: " + b"y" * 70000 + b"\r\n\r\n"
    yield b"a request behind the last chunk", CHUNKED + b"0\r\n\r\n" + SMUGGLED


def connections():
    for value in (b"close", b"Close", b"keep-alive", b"close, x-a", b"x-a", b"x-a, x-b", b"host", b"content-length", b"transfer-encoding", b"cookie", b"", b",",
                  b"x-a,close", b"upgrade", b"keep-alive, close", b"te", b"authorization", b"close\x0b", b"clos\xc3\xa9"):
        yield b"connection " + value, GET + b"connection: " + value + b"\r\nx-a: 1\r\nx-b: 2\r\ncookie: c=d\r\nauthorization: e\r\n\r\n"
    yield b"connection twice", GET + b"connection: keep-alive\r\nconnection: close\r\n\r\n"
    yield b"connection names the length", POST + b"connection: content-length\r\ncontent-length: 5\r\n\r\nhello"
    yield b"keep-alive", GET + b"keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\n\r\n"
    yield b"te", GET + b"te: trailers\r\n\r\n"
    yield b"te named", GET + b"te: trailers\r\nconnection: te\r\n\r\n"
    yield b"te of more", GET + b"te: gzip, trailers\r\nconnection: te\r\n\r\n"
    yield b"upgrade to h2c", GET + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"
    yield b"upgrade to nothing", GET + b"upgrade: websocket\r\n\r\n"
    yield b"upgrade with a body", POST + b"connection: upgrade\r\nupgrade: foo\r\ncontent-length: 5\r\n\r\nhello"
    yield b"expect", POST + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\nhello"
    yield b"expect in capitals", POST + b"expect: 100-Continue\r\ncontent-length: 5\r\n\r\nhello"
    yield b"expect without a body", GET + b"expect: 100-continue\r\n\r\n"
    yield b"expect the unknown", POST + b"expect: magic\r\ncontent-length: 5\r\n\r\nhello"
    yield b"trailer is announced", GET + b"trailer: x-t\r\n\r\n"
    for name in (b"x-forwarded-for: 1.2.3.4", b"x-forwarded-for: nonsense", b"x-forwarded-proto: https", b"x-forwarded-proto: gopher", b"x-forwarded-host: other",
                 b"x-envoy-internal: true", b"x-envoy-original-path: /x", b"x-envoy-decorator-operation: x", b"x-envoy-max-retries: 3",
                 b"x-envoy-upstream-rq-timeout-ms: 5000", b"x-envoy-expected-rq-timeout-ms: 1", b"x-envoy-attempt-count: 9", b"x-envoy-downstream-service-node: x",
                 b"via: 1.1 me", b"x-request-id: mine", b"forwarded: for=1.2.3.4", b"proxy-authorization: x", b"cookie: a=b; c=d", b"x-envoy-peer-metadata: x",
                 b"x-envoy-external-address: 9.9.9.9", b"x-envoy-ip-tags: a", b"x-envoy-force-trace: true", b"date: now", b"server: me"):
        yield b"header " + name.split(b":")[0] + b" " + name.split(b": ")[1], GET + name + b"\r\n\r\n"
    yield b"two requests", GET + b"\r\n" + GET + b"x: 2\r\n\r\n"
    yield b"five requests", (GET + b"\r\n") * 5
    yield b"a good and a bad one", GET + b"\r\n" + b"BAD\r\n\r\n"
    yield b"cookies twice", GET + b"cookie: a=b\r\ncookie: c=d\r\n\r\n"


def corpus():
    found = {}
    for group in (start_lines, line_ends, names, values, hosts, lengths, codings, chunks, connections):
        for name, data in group():
            text = name.decode("latin-1").encode("unicode_escape").decode()
            while text in found:  # cut names of long things
                text += "+"
            found[text] = data
    return found
