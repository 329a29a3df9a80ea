/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compress and uncompress: zlib streams, as Envoy. They work in steps and give up when the plugin's time is
 * over; what uncompress makes is capped, so that a small input cannot become all of the memory.
 */
#include "base/strbuf.h"
#include "filters/wasm/foreign.h"

#include <stdlib.h>
#include <zlib.h>

/* Input and output of one step: well under a millisecond. */
#define STEP_BYTES (32u << 10)

/* compress2 or uncompress of zlib, but stepwise and capped. */
static int run_steps(struct pw_foreign_call *call, z_stream *z, int (*step)(z_stream *, int), struct slice in,
                     struct strbuf *out)
{
    char *room = malloc(STEP_BYTES);
    int result = room ? Z_OK : Z_MEM_ERROR;
    while (result == Z_OK) {
        if (z->avail_in == 0 && in.len > 0) {
            struct slice part = slice_take(in, STEP_BYTES);
            in = slice_skip(in, part.len);
            z->next_in = (Bytef *)(uintptr_t)part.ptr;
            z->avail_in = (uInt)part.len;
        }
        z->next_out = (Bytef *)room;
        z->avail_out = STEP_BYTES;
        result = step(z, in.len == 0 ? Z_FINISH : Z_NO_FLUSH);
        size_t made = STEP_BYTES - z->avail_out;
        if (made > 0 && !strbuf_append(out, slice_of(room, made)))
            result = Z_MEM_ERROR;
        /* Z_FINISH with room left and no more input: the stream is cut short. */
        if (result == Z_BUF_ERROR)
            result = z->avail_out == 0 || in.len > 0 ? Z_OK : Z_DATA_ERROR;
        if (result == Z_OK && pw_foreign_overdue(call))
            result = Z_ERRNO;
    }
    free(room);
    return result;
}

static enum pw_status answer(struct pw_foreign_call *call, int result, struct strbuf *out)
{
    enum pw_status status = PW_STATUS_OK;
    if (result != Z_STREAM_END)
        status = result == Z_DATA_ERROR || result == Z_NEED_DICT ? PW_STATUS_SERIALIZATION_FAILURE
                                                                 : PW_STATUS_INTERNAL_FAILURE;
    else if (!pw_foreign_result(call, (struct pw_slice){strbuf_cstr(out), out->len}))
        status = PW_STATUS_INTERNAL_FAILURE;
    strbuf_fini(out);
    return status;
}

static int inflate_step(z_stream *z, int flush)
{
    int result = inflate(z, flush == Z_FINISH ? Z_SYNC_FLUSH : flush);
    return result == Z_BUF_ERROR && z->avail_in > 0 ? Z_OK : result;
}

enum pw_status foreign_compress(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    (void)ctx;
    z_stream z = {0};
    struct strbuf out;
    if (deflateInit(&z, Z_DEFAULT_COMPRESSION) != Z_OK)
        return PW_STATUS_INTERNAL_FAILURE;
    strbuf_init(&out, pw_foreign_output_max(call));
    int result = run_steps(call, &z, deflate, slice_of(arguments.ptr, arguments.len), &out);
    deflateEnd(&z);
    return answer(call, result, &out);
}

enum pw_status foreign_uncompress(void *ctx, struct pw_foreign_call *call, struct pw_slice arguments)
{
    (void)ctx;
    z_stream z = {0};
    struct strbuf out;
    if (inflateInit(&z) != Z_OK)
        return PW_STATUS_INTERNAL_FAILURE;
    strbuf_init(&out, pw_foreign_output_max(call));
    int result = run_steps(call, &z, inflate_step, slice_of(arguments.ptr, arguments.len), &out);
    inflateEnd(&z);
    return answer(call, result, &out);
}
