/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of the API (protoc-gen-validate's, as far as they occur; the generator refuses others). Header
 * names and values follow its well-known patterns, not RFC 9110: a ':' may lead a name.
 */
#include "config/rules.h"

#include "config/scalar.h"

#include <stdio.h>

static bool broken(struct strbuf *why, const char *text)
{
    strbuf_append_str(why, text);
    return false;
}

static size_t count_characters(struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool in_list(const struct meta_rules *r, struct slice s)
{
    for (const uint32_t *item = &meta_lists[r->list]; *item; item++) {
        if (slice_eq(s, slice_str(meta_str(*item))))
            return true;
    }
    return false;
}

static bool check_in(const struct meta_rules *r, struct slice s, struct strbuf *why)
{
    if (!(r->set & META_RULE_IN) || in_list(r, s))
        return true;
    strbuf_append_str(why, "must be one of ");
    for (const uint32_t *item = &meta_lists[r->list]; *item; item++)
        strbuf_printf(why, "%s%s", item == &meta_lists[r->list] ? "" : ", ", meta_str(*item));
    return false;
}

static bool in_set(const uint32_t *set, unsigned char c)
{
    return set[c >> 5] >> (c & 31) & 1;
}

static bool check_pattern(const struct meta_rules *r, struct slice s, struct strbuf *why)
{
    if (!(r->set & META_RULE_PATTERN))
        return true;
    const struct meta_pattern *p = &meta_patterns[r->pattern];
    /* "^[a]+[b]$" needs two bytes, "^[a]+$" one: its sets are equal. */
    size_t least = memcmp(p->body, p->last, sizeof p->body) == 0 ? 1 : 2;
    bool ok = s.len >= least && in_set(p->last, (unsigned char)s.ptr[s.len - 1]);
    for (size_t i = 0; ok && i + 1 < s.len; i++)
        ok = in_set(p->body, (unsigned char)s.ptr[i]);
    if (!ok)
        strbuf_printf(why, "must match %s", meta_str(p->text));
    return ok;
}

static bool is_header_name(struct slice s)
{
    if (s.len > 0 && s.ptr[0] == ':')
        s = slice_skip(s, 1);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_|~`", c)))
            return false;
    }
    return s.len > 0;
}

static bool is_header_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool has_line_end(struct slice s)
{
    return slice_find_char(s, '\r') >= 0 || slice_find_char(s, '\n') >= 0 || slice_find_char(s, '\0') >= 0;
}

static bool check_header(const struct meta_rules *r, struct slice s, struct strbuf *why)
{
    if (!(r->set & (META_RULE_HEADER | META_RULE_VALUE)))
        return true;
    if (r->set & META_RULE_LOOSE)
        return !has_line_end(s) || broken(why, "must not hold CR, LF or NUL");
    if (r->set & META_RULE_HEADER)
        return is_header_name(s) || broken(why, "must be an HTTP header name");
    return is_header_value(s) || broken(why, "must be an HTTP header value, without control characters");
}

static bool check_affixes(const struct meta_rules *r, struct slice s, struct strbuf *why)
{
    if ((r->set & META_RULE_PREFIX) && !slice_starts_with(s, slice_str(meta_str(r->prefix)))) {
        strbuf_printf(why, "must start with \"%s\"", meta_str(r->prefix));
        return false;
    }
    if ((r->set & META_RULE_SUFFIX) && !slice_ends_with(s, slice_str(meta_str(r->suffix)))) {
        strbuf_printf(why, "must end with \"%s\"", meta_str(r->suffix));
        return false;
    }
    return true;
}

static bool check_length(const struct meta_rules *r, size_t len, const char *noun, struct strbuf *why)
{
    if ((r->set & META_RULE_MIN_LEN) && len < r->min_len) {
        if (len == 0 && r->min_len == 1)
            strbuf_append_str(why, "must not be empty");
        else
            strbuf_printf(why, "must have at least %u %s, has %zu", r->min_len, noun, len);
        return false;
    }
    if ((r->set & META_RULE_MAX_LEN) && len > r->max_len) {
        strbuf_printf(why, "must have at most %u %s, has %zu", r->max_len, noun, len);
        return false;
    }
    return true;
}

bool rules_check_string(const struct meta_rules *r, struct slice s, struct strbuf *why)
{
    if ((r->set & META_RULE_SKIP_EMPTY) && s.len == 0)
        return true;
    if (!check_length(r, count_characters(s), "characters", why))
        return false;
    if ((r->set & META_RULE_MAX_BYTES) && s.len > r->max_bytes) {
        strbuf_printf(why, "must have at most %u bytes, has %zu", r->max_bytes, s.len);
        return false;
    }
    return check_in(r, s, why) && check_header(r, s, why) && check_affixes(r, s, why) &&
           check_pattern(r, s, why);
}

bool rules_check_bytes(const struct meta_rules *r, size_t len, struct strbuf *why)
{
    return ((r->set & META_RULE_SKIP_EMPTY) && len == 0) || check_length(r, len, "bytes", why);
}

/* `lo` and `hi` say whether the value keeps each bound; the texts are the bounds. */
static bool check_range(const struct meta_rules *r, bool lo, bool hi, const char *lo_text,
                        const char *hi_text, const char *value, struct strbuf *why)
{
    if (r->set & META_RULE_OUTSIDE) {
        if (lo || hi)
            return true;
        strbuf_printf(why, "must be at most %s or at least %s, is %s", hi_text, lo_text, value);
        return false;
    }
    if (!lo)
        strbuf_printf(why, "must be %s %s, is %s", r->set & META_RULE_LO_OPEN ? "more than" : "at least",
                      lo_text, value);
    else if (!hi)
        strbuf_printf(why, "must be %s %s, is %s", r->set & META_RULE_HI_OPEN ? "less than" : "at most",
                      hi_text, value);
    return lo && hi;
}

#define KEEPS_LO(r, v, member)                                                                               \
    (!((r)->set & META_RULE_LO) || (v) > (r)->lo.member ||                                                   \
     ((v) == (r)->lo.member && !((r)->set & META_RULE_LO_OPEN)))
#define KEEPS_HI(r, v, member)                                                                               \
    (!((r)->set & META_RULE_HI) || (v) < (r)->hi.member ||                                                   \
     ((v) == (r)->hi.member && !((r)->set & META_RULE_HI_OPEN)))

struct range_text {
    char lo[SCALAR_TEXT_BYTES];
    char hi[SCALAR_TEXT_BYTES];
    char value[SCALAR_TEXT_BYTES];
};

bool rules_check_i64(const struct meta_rules *r, int64_t value, struct strbuf *why)
{
    struct range_text t;
    snprintf(t.lo, sizeof t.lo, "%lld", (long long)r->lo.i);
    snprintf(t.hi, sizeof t.hi, "%lld", (long long)r->hi.i);
    snprintf(t.value, sizeof t.value, "%lld", (long long)value);
    return check_range(r, KEEPS_LO(r, value, i), KEEPS_HI(r, value, i), t.lo, t.hi, t.value, why);
}

bool rules_check_u64(const struct meta_rules *r, uint64_t value, struct strbuf *why)
{
    struct range_text t;
    snprintf(t.lo, sizeof t.lo, "%llu", (unsigned long long)r->lo.u);
    snprintf(t.hi, sizeof t.hi, "%llu", (unsigned long long)r->hi.u);
    snprintf(t.value, sizeof t.value, "%llu", (unsigned long long)value);
    return check_range(r, KEEPS_LO(r, value, u), KEEPS_HI(r, value, u), t.lo, t.hi, t.value, why);
}

bool rules_check_double(const struct meta_rules *r, double value, struct strbuf *why)
{
    struct range_text t;
    scalar_print_double(r->lo.d, t.lo);
    scalar_print_double(r->hi.d, t.hi);
    scalar_print_double(value, t.value);
    return check_range(r, KEEPS_LO(r, value, d), KEEPS_HI(r, value, d), t.lo, t.hi, t.value, why);
}

static void print_nanoseconds(int64_t ns, char *out)
{
    scalar_print_duration(ns / 1000000000, (int32_t)(ns % 1000000000), out);
}

bool rules_check_duration(const struct meta_rules *r, int64_t seconds, int32_t nanos, struct strbuf *why)
{
    struct range_text t;
    /* 9 x 10^9 s are 285 years: every bound is below, and nothing overflows. */
    int64_t clamped = seconds > 9000000000 ? 9000000000 : seconds < -9000000000 ? -9000000000 : seconds;
    int64_t value = clamped * 1000000000 + nanos;
    print_nanoseconds(r->lo.i, t.lo);
    print_nanoseconds(r->hi.i, t.hi);
    scalar_print_duration(seconds, nanos, t.value);
    return check_range(r, KEEPS_LO(r, value, i), KEEPS_HI(r, value, i), t.lo, t.hi, t.value, why);
}

bool rules_check_enum(const struct meta_rules *r, int value, struct strbuf *why)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    if ((r->set & META_RULE_NOT_IN) && in_list(r, slice_str(text)))
        return broken(why, "must not have this value");
    return true;
}

bool rules_check_count(const struct meta_rules *r, size_t count, const char *noun, struct strbuf *why)
{
    return check_length(r, count, noun, why);
}
