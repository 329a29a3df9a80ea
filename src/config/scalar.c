/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and times from text and back. The C library's parsers are only given text whose form was
 * checked here, so locale, hexadecimal floats and trailing garbage play no part.
 */
#include "config/scalar.h"

#include "base/assert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Seconds of 10,000 years: the bound of google.protobuf.Duration. */
#define DURATION_SECONDS_MAX 315576000000
#define NUMBER_BYTES_MAX     400

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(struct slice s, size_t from)
{
    size_t n = 0;
    while (from + n < s.len && is_digit(s.ptr[from + n]))
        n++;
    return n;
}

/* JSON's number, with an optional '+' as YAML has it. */
static bool is_number(struct slice s)
{
    size_t i = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+');
    size_t whole = count_digits(s, i);
    if (whole == 0 || (whole > 1 && s.ptr[i] == '0'))
        return false;
    i += whole;
    if (i < s.len && s.ptr[i] == '.') {
        size_t part = count_digits(s, i + 1);
        if (part == 0)
            return false;
        i += 1 + part;
    }
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        i++;
        i += i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+');
        size_t exponent = count_digits(s, i);
        if (exponent == 0)
            return false;
        i += exponent;
    }
    return i == s.len;
}

static enum scalar_result parse_checked_double(struct slice s, double *out)
{
    if (s.len >= NUMBER_BYTES_MAX)
        return SCALAR_RANGE;
    char text[NUMBER_BYTES_MAX];
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    *out = strtod(text, NULL);
    return isfinite(*out) ? SCALAR_OK : SCALAR_RANGE;
}

static bool parse_hex(struct slice s, uint64_t *out, enum scalar_result *result)
{
    if (s.len < 3 || s.ptr[0] != '0' || (s.ptr[1] | 0x20) != 'x')
        return false;
    *result = SCALAR_OK;
    *out = 0;
    for (size_t i = 2; i < s.len; i++) {
        char c = ascii_lower(s.ptr[i]);
        int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        if (*out >> 60)
            *result = SCALAR_RANGE;
        *out = (*out << 4) | (uint64_t)digit;
    }
    return true;
}

/* Magnitude and sign; both integer readers share it. */
static enum scalar_result parse_integer(struct slice s, bool *negative, uint64_t *magnitude)
{
    *negative = s.len > 0 && s.ptr[0] == '-';
    struct slice digits = s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+') ? slice_skip(s, 1) : s;
    enum scalar_result result;
    if (parse_hex(digits, magnitude, &result))
        return result;
    if (!is_number(s))
        return SCALAR_SYNTAX;
    if (count_digits(digits, 0) == digits.len)
        return slice_parse_u64(digits, magnitude) ? SCALAR_OK : SCALAR_RANGE;
    double d;
    if (parse_checked_double(digits, &d) != SCALAR_OK)
        return SCALAR_RANGE;
    if (d != floor(d))
        return SCALAR_SYNTAX;
    if (d >= 18446744073709551616.0)
        return SCALAR_RANGE;
    *magnitude = (uint64_t)d;
    return SCALAR_OK;
}

enum scalar_result scalar_i64(struct slice s, int64_t *out)
{
    bool negative;
    uint64_t magnitude;
    enum scalar_result result = parse_integer(s, &negative, &magnitude);
    if (result != SCALAR_OK)
        return result;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return SCALAR_RANGE;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return SCALAR_OK;
}

enum scalar_result scalar_u64(struct slice s, uint64_t *out)
{
    bool negative;
    enum scalar_result result = parse_integer(s, &negative, out);
    if (result == SCALAR_OK && negative && *out > 0)
        return SCALAR_RANGE;
    return result;
}

enum scalar_result scalar_double(struct slice s, double *out)
{
    static const struct {
        const char *text;
        double value;
    } words[] = {
        {"NaN", NAN},       {".nan", NAN},        {"Infinity", INFINITY}, {"-Infinity", -INFINITY},
        {".inf", INFINITY}, {"-.inf", -INFINITY},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(words); i++) {
        if (slice_eq(s, slice_str(words[i].text))) {
            *out = words[i].value;
            return SCALAR_OK;
        }
    }
    return is_number(s) ? parse_checked_double(s, out) : SCALAR_SYNTAX;
}

bool scalar_bool(struct slice s, bool *out)
{
    static const char *const words[][3] = {
        {"y", "Y", "Y"}, {"yes", "Yes", "YES"}, {"true", "True", "TRUE"},    {"on", "On", "ON"},
        {"n", "N", "N"}, {"no", "No", "NO"},    {"false", "False", "FALSE"}, {"off", "Off", "OFF"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(words); i++) {
        for (size_t j = 0; j < 3; j++) {
            if (slice_eq(s, slice_str(words[i][j]))) {
                *out = i < WEIR_ARRAY_LEN(words) / 2;
                return true;
            }
        }
    }
    return false;
}

/* Decimals after a point as nanoseconds. */
static bool parse_nanos(struct slice digits, int32_t *nanos)
{
    if (digits.len == 0 || digits.len > 9 || count_digits(digits, 0) != digits.len)
        return false;
    int32_t value = 0;
    for (size_t i = 0; i < 9; i++)
        value = value * 10 + (i < digits.len ? digits.ptr[i] - '0' : 0);
    *nanos = value;
    return true;
}

enum scalar_result scalar_duration(struct slice s, int64_t *seconds, int32_t *nanos)
{
    if (s.len < 2 || s.ptr[s.len - 1] != 's')
        return SCALAR_SYNTAX;
    bool negative = s.ptr[0] == '-';
    struct slice rest = slice_skip(slice_take(s, s.len - 1), negative);
    ptrdiff_t point = slice_find_char(rest, '.');
    struct slice whole = point >= 0 ? slice_take(rest, (size_t)point) : rest;
    uint64_t value = 0;
    *nanos = 0;
    if (whole.len == 0 || count_digits(whole, 0) != whole.len)
        return SCALAR_SYNTAX;
    if (point >= 0 && !parse_nanos(slice_skip(rest, (size_t)point + 1), nanos))
        return SCALAR_SYNTAX;
    if (!slice_parse_u64(whole, &value) || value > DURATION_SECONDS_MAX)
        return SCALAR_RANGE;
    *seconds = negative ? -(int64_t)value : (int64_t)value;
    *nanos = negative ? -*nanos : *nanos;
    return SCALAR_OK;
}

static bool parse_fixed(struct slice s, size_t from, size_t len, int *out)
{
    if (from + len > s.len || count_digits(slice_take(slice_skip(s, from), len), 0) != len)
        return false;
    *out = 0;
    for (size_t i = 0; i < len; i++)
        *out = *out * 10 + (s.ptr[from + i] - '0');
    return true;
}

/* The zone at the end: 'Z' or +hh:mm. */
static bool parse_zone(struct slice s, int64_t *offset_s)
{
    *offset_s = 0;
    if (s.len == 1 && (s.ptr[0] == 'Z' || s.ptr[0] == 'z'))
        return true;
    int hours;
    int minutes;
    if (s.len != 6 || (s.ptr[0] != '+' && s.ptr[0] != '-') || s.ptr[3] != ':' ||
        !parse_fixed(s, 1, 2, &hours) || !parse_fixed(s, 4, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *offset_s = (hours * 3600 + minutes * 60) * (s.ptr[0] == '-' ? -1 : 1);
    return true;
}

enum scalar_result scalar_timestamp(struct slice s, int64_t *seconds, int32_t *nanos)
{
    struct tm tm = {0};
    if (s.len < 20 || s.ptr[4] != '-' || s.ptr[7] != '-' || (s.ptr[10] | 0x20) != 't' || s.ptr[13] != ':' ||
        s.ptr[16] != ':' || !parse_fixed(s, 0, 4, &tm.tm_year) || !parse_fixed(s, 5, 2, &tm.tm_mon) ||
        !parse_fixed(s, 8, 2, &tm.tm_mday) || !parse_fixed(s, 11, 2, &tm.tm_hour) ||
        !parse_fixed(s, 14, 2, &tm.tm_min) || !parse_fixed(s, 17, 2, &tm.tm_sec))
        return SCALAR_SYNTAX;
    if (tm.tm_year < 1 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
        return SCALAR_RANGE;
    int day = tm.tm_mday;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    size_t at = 19;
    *nanos = 0;
    if (s.ptr[at] == '.') {
        size_t digits = count_digits(s, at + 1);
        if (!parse_nanos(slice_take(slice_skip(s, at + 1), digits), nanos))
            return SCALAR_SYNTAX;
        at += 1 + digits;
    }
    int64_t offset_s;
    if (!parse_zone(slice_skip(s, at), &offset_s))
        return SCALAR_SYNTAX;
    *seconds = (int64_t)timegm(&tm) - offset_s;
    return tm.tm_mday == day ? SCALAR_OK : SCALAR_RANGE; /* timegm turns 31 April into 1 May */
}

/* Decimals in groups of three, none when zero. */
static void print_nanos(uint32_t nanos, char *out, size_t size)
{
    if (nanos == 0)
        out[0] = '\0';
    else if (nanos % 1000000 == 0)
        snprintf(out, size, ".%03u", nanos / 1000000);
    else if (nanos % 1000 == 0)
        snprintf(out, size, ".%06u", nanos / 1000);
    else
        snprintf(out, size, ".%09u", nanos);
}

void scalar_print_duration(int64_t seconds, int32_t nanos, char *out)
{
    char decimals[16];
    bool negative = seconds < 0 || nanos < 0;
    print_nanos((uint32_t)(nanos < 0 ? -(int64_t)nanos : nanos), decimals, sizeof decimals);
    uint64_t whole = seconds < 0 ? 0 - (uint64_t)seconds : (uint64_t)seconds;
    snprintf(out, SCALAR_TEXT_BYTES, "%s%llu%ss", negative ? "-" : "", (unsigned long long)whole, decimals);
}

void scalar_print_timestamp(int64_t seconds, int32_t nanos, char *out)
{
    char decimals[16];
    print_nanos((uint32_t)nanos, decimals, sizeof decimals);
    time_t t = (time_t)seconds;
    struct tm tm = {0};
    if (!gmtime_r(&t, &tm))
        memset(&tm, 0, sizeof tm);
    char date[40];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, SCALAR_TEXT_BYTES, "%s%sZ", date, decimals);
}

void scalar_print_double(double d, char *out)
{
    if (isnan(d) || isinf(d)) {
        snprintf(out, SCALAR_TEXT_BYTES, "%s",
                 isnan(d) ? "\"NaN\""
                 : d > 0  ? "\"Infinity\""
                          : "\"-Infinity\"");
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(out, SCALAR_TEXT_BYTES, "%.*g", precision, d);
        if (strtod(out, NULL) == d)
            return;
    }
}
