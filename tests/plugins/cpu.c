/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.c: work that is nothing but computing, for the benchmark: "sha256 BYTES" hashes that many bytes per
 * request and answers with the first of them in x-cpu, "json BYTES" parses a document of about that size. It
 * calls the host as little as it can and must never measure the host.
 */
#include <wsdk.h>
#include <wsdk/json.h>

#define ROUNDS 64

struct root {
    bool json;
    size_t bytes;
    struct wsdk_bytes text; /* what is hashed or parsed */
};

static const uint32_t constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void sha256_block(uint32_t state[8], const unsigned char *block)
{
    uint32_t w[ROUNDS], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < ROUNDS; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(v, state, sizeof(v));
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[i] + w[i];
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof(v[0]));
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

/* FIPS 180-4. */
static uint32_t sha256_first_word(struct wsdk_bytes text)
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned char last[128] = {0};
    size_t at = 0;
    for (; text.len - at >= 64; at += 64)
        sha256_block(state, (const unsigned char *)text.data + at);
    size_t rest = text.len - at, size = rest < 56 ? 64 : 128;
    if (rest > 0)
        memcpy(last, text.data + at, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[size - 1 - (size_t)i] = (unsigned char)((uint64_t)text.len * 8 >> 8 * i);
    for (size_t i = 0; i < size; i += 64)
        sha256_block(state, last + i);
    return state[0];
}

static struct wsdk_bytes make_text(struct wsdk_context *ctx, const struct root *root)
{
    static const char entry[] =
        "{\"id\":12345,\"name\":\"some name\",\"tags\":[\"a\",\"b\",true,null,1.5e3]},";
    char *text = wsdk_alloc(ctx, root->bytes + sizeof(entry) + 8);
    size_t len = 0;
    if (text == NULL)
        return WSDK_NONE;
    if (!root->json) {
        for (; len < root->bytes; len++)
            text[len] = (char)('a' + len % 26);
        return (struct wsdk_bytes){text, len};
    }
    text[len++] = '[';
    while (len < root->bytes) {
        memcpy(text + len, entry, sizeof(entry) - 1);
        len += sizeof(entry) - 1;
    }
    memcpy(text + len, "0]", 2);
    return (struct wsdk_bytes){text, len + 2};
}

static bool configure(struct wsdk_context *ctx, size_t bytes)
{
    struct root *root = wsdk_state(ctx);
    struct wsdk_bytes text, word;
    if (wsdk_configuration(ctx, bytes, &text) != WSDK_OK)
        return false;
    word = wsdk_before(text, " ");
    root->json = wsdk_equal(word, WSDK_STR("json"));
    for (size_t i = word.len + 1; i < text.len; i++)
        root->bytes = root->bytes * 10 + (size_t)(text.data[i] - '0');
    root->text = make_text(ctx, root);
    return root->json || wsdk_equal(word, WSDK_STR("sha256"));
}

static enum wsdk_action response_headers(struct wsdk_context *ctx, size_t count, bool end)
{
    const struct root *root = wsdk_root_state(ctx);
    char out[24];
    size_t len;
    (void)count;
    (void)end;
    if (root->json) {
        struct wsdk_json *doc = wsdk_json_parse(ctx, root->text);
        len = wsdk_format(out, sizeof(out), "%d", doc != NULL && wsdk_json_ok(doc));
    } else {
        len = wsdk_format(out, sizeof(out), "%08x", sha256_first_word(root->text));
    }
    wsdk_header_add(ctx, WSDK_RESPONSE_HEADERS, WSDK_STR("x-cpu"), (struct wsdk_bytes){out, len});
    return WSDK_CONTINUE;
}

#define CALLBACKS(ON)                                                                                        \
    ON(on_configure, configure)                                                                              \
    ON(on_response_headers, response_headers)
WSDK_PLUGIN("cpu", sizeof(struct root), 0, CALLBACKS);
