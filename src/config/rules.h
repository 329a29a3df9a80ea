/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value against the API's rules for it. Pure: the result is a text that says what the value must be, or
 * none.
 */
#ifndef WEIR_CONFIG_RULES_H
#define WEIR_CONFIG_RULES_H

#include "base/strbuf.h"
#include "config/meta.h"

/* Each appends to `why` and returns false when the value breaks a rule. */
bool rules_check_string(const struct meta_rules *r, struct slice s, struct strbuf *why);
bool rules_check_bytes(const struct meta_rules *r, size_t len, struct strbuf *why);
bool rules_check_i64(const struct meta_rules *r, int64_t value, struct strbuf *why);
bool rules_check_u64(const struct meta_rules *r, uint64_t value, struct strbuf *why);
bool rules_check_double(const struct meta_rules *r, double value, struct strbuf *why);
bool rules_check_duration(const struct meta_rules *r, int64_t seconds, int32_t nanos, struct strbuf *why);
bool rules_check_enum(const struct meta_rules *r, int value, struct strbuf *why);
/* `noun` is "items" or "keys". */
bool rules_check_count(const struct meta_rules *r, size_t count, const char *noun, struct strbuf *why);

#endif
