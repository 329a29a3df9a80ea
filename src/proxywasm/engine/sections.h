/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of a WebAssembly binary, and the parts of its data section, for those who write a module anew
 * (WebAssembly 3.0, 5.5). What is read is not checked beyond that it ends: the compiler does that afterwards.
 */
#ifndef PROXYWASM_ENGINE_SECTIONS_H
#define PROXYWASM_ENGINE_SECTIONS_H

#include "base/slice.h"
#include "proxywasm/engine/section_ids.h"

#include <stdbool.h>
#include <stdint.h>

#define MODULE_HEADER_BYTES 8

#define DATA_ACTIVE  0 /* of memory 0 */
#define DATA_PASSIVE 1
#define OP_I32_CONST 0x41
#define OP_END       0x0b

/* What put_u32 writes, and what put_active_segment writes before the bytes. */
#define VARINT_BYTES         5
#define ACTIVE_SEGMENT_BYTES 13
/* What a module may grow by beyond its segments: id, length and count of the data section, and a data count
 * section. */
#define MODULE_GROWTH_BYTES 18

struct section {
    uint8_t id;
    struct slice content;
    struct slice whole; /* with id and length */
};

struct active_segment {
    uint32_t offset;
    struct slice bytes;
};

/* Each takes what it read from the front of *rest, and is false when that is not there whole. */
bool read_varint(struct slice *rest, uint32_t *out);
bool read_signed_varint(struct slice *rest, uint32_t *out);
/* A length and so many bytes. */
bool read_sized(struct slice *rest, struct slice *out);
/* A segment of memory 0 at a constant, or a passive one: its whole in *passive, which is empty otherwise. */
bool read_segment(struct slice *rest, struct slice *passive, struct active_segment *active);
/* *rest is not empty. */
bool read_section(struct slice *rest, struct section *out);

struct writer {
    char *at; /* with enough space behind it */
};

void put(struct writer *w, struct slice bytes);
void put_byte(struct writer *w, uint8_t byte);
void put_zeros(struct writer *w, size_t count);
/* Always VARINT_BYTES, so that lengths are known beforehand. */
void put_u32(struct writer *w, uint32_t value);
/* The head of a segment of memory 0; its bytes follow. */
void put_active_segment(struct writer *w, uint32_t offset, uint32_t len);

/* What a data section becomes. */
struct data_section {
    uint32_t count; /* of segments */
    uint32_t bytes; /* of all that put() writes */
    void (*put)(struct writer *w, const void *context);
    const void *context;
};

/* Writes a module whose sections read_section() has read all, with another data section and count of
 * segments. */
void put_module(struct writer *w, struct slice code, const struct data_section *data);

#endif
