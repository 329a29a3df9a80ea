/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calendar arithmetic of IMF-fixdate. No locale, no time zone, no libc clock.
 */
#include "http/date.h"

#include "base/assert.h"

#define DATE_YEAR_10000_S 253402300800u

static char *put2(char *p, unsigned n)
{
    p[0] = (char)('0' + n / 10 % 10);
    p[1] = (char)('0' + n % 10);
    return p + 2;
}

static char *put_text(char *p, const char *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}

struct slice date_format(uint64_t unix_s, char out[DATE_BYTES])
{
    static const char days[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    WEIR_ASSERT(unix_s < DATE_YEAR_10000_S);
    unsigned day = (unsigned)(unix_s / 86400), second = (unsigned)(unix_s % 86400);
    /* Years that begin in March, in eras of 400 years, so that the leap day comes last. */
    unsigned shifted = day + 719468u;
    unsigned era = shifted / 146097, of_era = shifted % 146097;
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * of_year + 2) / 153;
    unsigned month_day = of_year - (153 * march_month + 2) / 5 + 1;
    unsigned month = march_month < 10 ? march_month + 2 : march_month - 10; /* 0: January */
    unsigned year = year_of_era + era * 400 + (month < 2);

    char *p = put_text(out, days + (size_t)(day % 7) * 3, 3);
    p = put2(put_text(p, ", ", 2), month_day);
    *p++ = ' ';
    p = put_text(p, months + (size_t)month * 3, 3);
    *p++ = ' ';
    p = put2(put2(p, year / 100), year % 100);
    *p++ = ' ';
    p = put2(p, second / 3600);
    *p++ = ':';
    p = put2(p, second / 60 % 60);
    *p++ = ':';
    p = put2(p, second % 60);
    p = put_text(p, " GMT", 4);
    WEIR_ASSERT(p == out + DATE_BYTES);
    return slice_of(out, DATE_BYTES);
}
