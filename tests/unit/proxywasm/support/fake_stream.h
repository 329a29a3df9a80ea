/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An embedder's stream for tests: four header maps, four buffers, a few properties, and a record of what the
 * library asked for.
 */
#ifndef TEST_FAKE_STREAM_H
#define TEST_FAKE_STREAM_H

#include "base/slice.h"

#include <proxywasm/proxywasm.h>

#define FAKE_PAIRS 64
#define FAKE_TEXT  256

struct fake_map {
    bool exists;
    size_t count;
    struct {
        char name[FAKE_TEXT];
        char value[FAKE_TEXT];
        size_t value_len;
    } pairs[FAKE_PAIRS];
};

struct fake_stream {
    struct fake_map maps[4];
    char *buffers[4];
    size_t buffer_len[4];
    enum pw_status write_status; /* what map and buffer writes answer */
    unsigned continued[4];
    unsigned closed[4];
    unsigned replies;
    struct pw_local_reply reply; /* of the last one; texts copied below */
    char reply_details[FAKE_TEXT];
    char reply_body[FAKE_TEXT];
    char reply_header[FAKE_TEXT]; /* "name=value" of the first */
    unsigned route_clears;
    unsigned vm_failures;
    char property_path[FAKE_TEXT]; /* of the last get or set */
    size_t property_path_len;
    char property_value[FAKE_TEXT]; /* of the last set */
    char order[64];                 /* one letter per "afterwards" callback: c x r f */
    /* Called at the end of an "afterwards" callback, if set. */
    void (*after)(struct fake_stream *fake, char what);
    void *after_ctx;
};

extern const struct pw_stream_ops fake_stream_ops;

void fake_stream_init(struct fake_stream *fake);
void fake_stream_fini(struct fake_stream *fake);
void fake_add(struct fake_stream *fake, enum pw_map map, const char *name, const char *value);
/* "" when absent. */
const char *fake_get(const struct fake_stream *fake, enum pw_map map, const char *name);
void fake_body(struct fake_stream *fake, enum pw_buffer buffer, const char *text);

#endif
