/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.c: a small printf. libc's own would bring 20 kB and three WASI imports into every plugin. It writes
 * never beyond its buffer; a conversion it does not know is copied as it stands.
 */
#include <wsdk/text.h>

struct sink {
    char *to;
    size_t cap, len; /* cap counts the NUL */
};

struct conversion {
    bool zero;      /* pad with 0 */
    bool hex;       /* base 16 */
    bool negative;  /* write a minus */
    int width;      /* at least so many characters */
    int precision;  /* of %s; -1: none */
    uint64_t value; /* of a number */
};

static void sink_put(struct sink *sink, char c)
{
    if (sink->len + 1 < sink->cap)
        sink->to[sink->len++] = c;
}

static void sink_text(struct sink *sink, const char *text, int precision)
{
    if (text == NULL)
        text = precision < 0 ? "(null)" : "";
    for (size_t i = 0; (precision < 0 || i < (size_t)precision) && text[i] != '\0'; i++)
        sink_put(sink, text[i]);
}

static void sink_number(struct sink *sink, const struct conversion *c)
{
    char digits[24];
    int n = 0;
    unsigned base = c->hex ? 16 : 10;
    uint64_t value = c->value;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    int pad = c->width - n - (c->negative ? 1 : 0);
    if (c->negative && c->zero)
        sink_put(sink, '-');
    for (; pad > 0; pad--)
        sink_put(sink, c->zero ? '0' : ' ');
    if (c->negative && !c->zero)
        sink_put(sink, '-');
    while (n > 0)
        sink_put(sink, digits[--n]);
}

/* Flags, width and precision; returns the format behind them. The list is a pointer so that %*s moves it. */
static const char *conversion_open(struct conversion *c, const char *format, va_list *list)
{
    *c = (struct conversion){.precision = -1};
    if (*format == '0') {
        c->zero = true;
        format++;
    }
    for (; *format >= '0' && *format <= '9' && c->width < 100; format++)
        c->width = c->width * 10 + (*format - '0');
    if (format[0] == '.' && format[1] == '*') {
        c->precision = va_arg(*list, int);
        format += 2;
    }
    return format;
}

static uint64_t conversion_number(struct conversion *c, char size, bool is_signed, va_list *list)
{
    int64_t number;
    if (!is_signed) {
        switch (size) {
        case 'q':
            return va_arg(*list, unsigned long long);
        case 'l':
            return va_arg(*list, unsigned long);
        case 'z':
            return va_arg(*list, size_t);
        default:
            return va_arg(*list, unsigned);
        }
    }
    if (size == 'q')
        number = va_arg(*list, long long);
    else if (size == 'l' || size == 'z')
        number = va_arg(*list, long);
    else
        number = va_arg(*list, int);
    c->negative = number < 0;
    return number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
}

/* One conversion; `format` points behind the %. Returns the format behind it. */
static const char *convert(struct sink *sink, const char *format, va_list *list)
{
    struct conversion c;
    char size = 0;
    const char *start = format;
    format = conversion_open(&c, format, list);
    for (; *format == 'l' || *format == 'z'; format++)
        size = size == 'l' ? 'q' : *format;
    switch (*format) {
    case 's':
        sink_text(sink, va_arg(*list, const char *), c.precision);
        return format + 1;
    case 'c':
        sink_put(sink, (char)va_arg(*list, int));
        return format + 1;
    case 'd':
    case 'i':
    case 'u':
    case 'x':
        c.hex = *format == 'x';
        c.value = conversion_number(&c, size, *format == 'd' || *format == 'i', list);
        sink_number(sink, &c);
        return format + 1;
    case 'p':
        c.hex = true;
        c.value = (uintptr_t)va_arg(*list, void *);
        sink_number(sink, &c);
        return format + 1;
    case '%':
        sink_put(sink, '%');
        return format + 1;
    default:
        sink_put(sink, '%');
        return start;
    }
}

size_t wsdk_format_list(char *to, size_t cap, const char *format, va_list list)
{
    struct sink sink = {.to = to, .cap = cap};
    va_list mine;
    if (cap == 0)
        return 0;
    va_copy(mine, list); /* a parameter of type va_list has no address that convert could take */
    while (*format != '\0') {
        if (*format == '%')
            format = convert(&sink, format + 1, &mine);
        else
            sink_put(&sink, *format++);
    }
    va_end(mine);
    to[sink.len] = '\0';
    return sink.len;
}

size_t wsdk_format(char *to, size_t cap, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    size_t len = wsdk_format_list(to, cap, format, list);
    va_end(list);
    return len;
}
