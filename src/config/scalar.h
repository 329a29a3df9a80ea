/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to values, as proto3's JSON mapping and Envoy's YAML reading have them. Pure functions; nothing here
 * knows about fields or positions.
 */
#ifndef WEIR_CONFIG_SCALAR_H
#define WEIR_CONFIG_SCALAR_H

#include "base/arena.h"

enum scalar_result {
    SCALAR_OK = 0,
    SCALAR_SYNTAX = -1, /* not of this form at all */
    SCALAR_RANGE = -2,  /* of this form, but it does not fit */
};

/* Decimal, 0x hexadecimal, or a whole number in floating form ("1e3"). A leading zero is a syntax error: one
 * reader would take 010 for 8, another for 10. */
enum scalar_result scalar_i64(struct slice s, int64_t *out);
enum scalar_result scalar_u64(struct slice s, uint64_t *out);
/* JSON's form, also NaN, Infinity, -Infinity and YAML's .nan, .inf, -.inf. */
enum scalar_result scalar_double(struct slice s, double *out);
/* y yes true on, n no false off, in lower, Capital or UPPER case: what Envoy reads from a plain YAML scalar.
 */
bool scalar_bool(struct slice s, bool *out);
/* "1.5s": up to 9 decimals, within 10,000 years. */
enum scalar_result scalar_duration(struct slice s, int64_t *seconds, int32_t *nanos);
/* RFC 3339. */
enum scalar_result scalar_timestamp(struct slice s, int64_t *seconds, int32_t *nanos);
/* Into `out`, which holds SCALAR_TEXT_BYTES. */
#define SCALAR_TEXT_BYTES 64
void scalar_print_duration(int64_t seconds, int32_t nanos, char *out);
void scalar_print_timestamp(int64_t seconds, int32_t nanos, char *out);
/* The shortest text that reads back as the same number. NaN and infinities as proto3 JSON names them. */
void scalar_print_double(double d, char *out);

#endif
