/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A response's head (RFC 9112 4 and 6.3): status line, framing by what was asked, 101 and 2xx to CONNECT.
 */
#include "http/h1_codec.h"

#include "base/assert.h"
#include "http/chars.h"
#include "http/status.h"

/* "HTTP/1.1 200 OK", where " OK" or "OK" may be missing: many servers leave it out. */
const struct http_error *h1_status_line_parse(struct h1_text *head, struct h1_status_line *line)
{
    char *p = head->ptr;
    const char *end = head->ptr + head->len + H1_PAD;
    if (head->len < 14 || memcmp(p, "HTTP/1.", 7) != 0 || p[7] < '0' || p[7] > '9' || p[8] != ' ')
        return &http_error_bad_status_line;
    line->http_10 = p[7] == '0';
    line->digits = slice_of(p + 9, 3);
    line->status = status_parse(line->digits);
    if (line->status == 0 || (p[12] != ' ' && p[12] != '\r'))
        return &http_error_bad_status_line;
    const char *stop = chars_skip_value(p + 12, end);
    if (stop[0] != '\r' || stop[1] != '\n')
        return *stop == '\r' ? &http_error_bare_cr : &http_error_bad_status_line;
    line->reason = p[12] == ' ' ? slice_trim(slice_of(p + 13, (size_t)(stop - p - 13))) : SLICE_EMPTY;
    line->fields = p + (stop - p) + 2;
    return NULL;
}

/* Status line and fields into a new map, `:status` first. */
static const struct http_error *parse_fields(struct h1_codec *c, struct arena *arena, struct h1_text *head,
                                             struct h1_status_line *line, struct h1_fields *f)
{
    *f = (struct h1_fields){.map = h1_map_create(c, arena, c->scan.lines)};
    if (!f->map || header_map_append(f->map, HDR_STATUS, header_id_name(HDR_STATUS), line->digits,
                                     SLICE_EMPTY) != HEADER_OK)
        return &http_error_headers_too_large;
    f->spelling = f->map->spelling;
    if (f->spelling && c->settings.keys.preserve_reason)
        f->spelling->reason = line->reason;
    const struct http_error *e = h1_fields_parse(f, line->fields, head);
    if (e)
        return e;
    /* A Host field means nothing in a response; it was kept out of the map. */
    if (f->has_transfer_encoding && (line->status < 200 || line->status == 204))
        return &http_error_transfer_encoding_refused;
    if (f->has_length && (line->status < 200 || line->status == 204)) {
        if (f->length > 0)
            return &http_error_content_length_refused;
        header_map_remove_id(f->map, HDR_CONTENT_LENGTH);
    }
    return NULL;
}

const struct http_error *h1_informational_parse(struct h1_codec *c, struct h1_text *head,
                                                struct h1_status_line *line, struct header_map **map)
{
    struct h1_fields f;
    const struct http_error *e = parse_fields(c, &c->scratch, head, line, &f);
    if (e)
        return e;
    e = h1_fields_drop_listed(&f, false);
    header_map_remove_id(f.map, HDR_CONNECTION);
    header_map_remove_id(f.map, HDR_UPGRADE);
    *map = f.map;
    return e;
}

static const struct http_error *decide_framing(struct h1_codec *c, struct h1_fields *f, unsigned status)
{
    if (c->stream.upgraded) {
        /* What a server says about the length of a tunnel means nothing (RFC 9110 9.3.6). */
        header_map_remove_id(f->map, HDR_CONTENT_LENGTH);
        c->recv = H1_RECV_OPAQUE;
        return NULL;
    }
    if (f->has_transfer_encoding) {
        if (f->has_length && !(f->chunked && c->settings.allow_chunked_length))
            return &http_error_length_and_chunked;
        if (!f->chunked)
            return &http_error_bad_transfer_encoding;
        if (c->http_10)
            return &http_error_transfer_encoding_refused;
        header_map_remove_id(f->map, HDR_CONTENT_LENGTH);
    }
    if (c->head_request || status_bodiless(status)) {
        c->recv = H1_RECV_DONE;
    } else if (f->has_transfer_encoding) {
        c->recv = H1_RECV_CHUNKED;
    } else if (f->has_length) {
        c->recv = f->length > 0 ? H1_RECV_LENGTH : H1_RECV_DONE;
        c->recv_left = f->length;
    } else {
        c->recv = H1_RECV_UNTIL_CLOSE;
        c->close_after = true;
    }
    return NULL;
}

const struct http_error *h1_response_parse(struct h1_codec *c, struct h1_text *head,
                                           struct h1_status_line *line, struct header_map **map)
{
    struct h1_fields f;
    WEIR_ASSERT(line->status >= 200 || line->status == 101);
    WEIR_ASSERT(c->recv == H1_RECV_HEAD && c->send != H1_SEND_HEAD);
    if (line->status == 101 && !c->upgrade_request)
        return &http_error_unexpected_upgrade;
    const struct http_error *e = parse_fields(c, c->stream.arena, head, line, &f);
    if (e)
        return e;
    c->http_10 = line->http_10;
    c->stream.protocol = line->http_10 ? HTTP_10 : HTTP_11;
    c->stream.upgraded =
        line->status == 101 || (c->connect_request && line->status >= 200 && line->status < 300);
    e = decide_framing(c, &f, line->status);
    if (!e)
        e = h1_fields_drop_listed(&f, false);
    if (e)
        return e;
    if (line->status != 101) {
        header_map_remove_id(f.map, HDR_CONNECTION);
        header_map_remove_id(f.map, HDR_UPGRADE);
    }
    if (f.close || c->stream.upgraded || (c->http_10 && !f.keep_alive))
        c->close_after = true;
    *map = f.map;
    return NULL;
}
