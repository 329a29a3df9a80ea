/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times in access logs. The default format is printed by hand; everything else goes through strftime, with
 * Envoy's sub-second specifiers filled in first.
 */
#include "proxy/logging/log_operators.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* The result of one strftime call; a format is at most TIME_FORMAT_MAX. */
#define TIME_TEXT_MAX 512u

/* "2026-11-21T10:00:00.123Z" */
static bool append_default(const struct tm *tm, uint64_t ns, struct strbuf *out)
{
    return strbuf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm->tm_year + 1900, tm->tm_mon + 1,
                         tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec, (unsigned)(ns / 1000000));
}

/* The first `digits` digits of the nanoseconds. */
static void append_fraction(struct strbuf *out, uint64_t ns, int digits)
{
    char text[16];
    snprintf(text, sizeof(text), "%09" PRIu64, ns);
    strbuf_append(out, slice_of(text, (size_t)(digits < 9 ? digits : 9)));
}

/*
 * Sub-second specifiers at `p` (behind the '%'): "f", "3f", "E3S", "E*S". Appends to the strftime format;
 * returns how many characters it was, or 0.
 */
static size_t expand_fraction(const char *p, const struct tm *tm, uint64_t ns, struct strbuf *format)
{
    if (p[0] == 'f') {
        append_fraction(format, ns, 9);
        return 1;
    }
    if (p[0] >= '1' && p[0] <= '9' && p[1] == 'f') {
        append_fraction(format, ns, p[0] - '0');
        return 2;
    }
    if (p[0] == 'E' && p[1] >= '0' && p[1] <= '9' && (p[2] == 'S' || p[2] == 'f')) {
        if (p[2] == 'S')
            strbuf_printf(format, "%02d%s", tm->tm_sec, p[1] == '0' ? "" : ".");
        append_fraction(format, ns, p[1] - '0');
        return 3;
    }
    return 0;
}

bool log_time_format(uint64_t realtime_ns, const char *format, bool local, struct strbuf *out)
{
    time_t seconds = (time_t)(realtime_ns / 1000000000u);
    uint64_t ns = realtime_ns % 1000000000u;
    struct tm tm;
    if (!(local ? localtime_r(&seconds, &tm) : gmtime_r(&seconds, &tm)))
        return false;
    if (!format)
        return append_default(&tm, ns, out);
    struct strbuf expanded;
    strbuf_init(&expanded, TIME_TEXT_MAX);
    for (const char *p = format; *p; p++) {
        size_t used = 0;
        if (p[0] == '%' && p[1] == '%') {
            strbuf_append_str(&expanded, "%%");
            p++;
            continue;
        }
        if (p[0] == '%')
            used = expand_fraction(p + 1, &tm, ns, &expanded);
        if (p[0] == '%' && p[1] == 's' && !used) { /* strftime's %s would apply the local zone again */
            strbuf_printf(&expanded, "%" PRIu64, (uint64_t)seconds);
            used = 1;
        }
        if (used)
            p += used;
        else
            strbuf_append_char(&expanded, *p);
    }
    char text[TIME_TEXT_MAX];
    size_t n = expanded.failed ? 0 : strftime(text, sizeof(text), strbuf_cstr(&expanded), &tm);
    strbuf_fini(&expanded);
    return n > 0 && strbuf_append(out, slice_of(text, n));
}
