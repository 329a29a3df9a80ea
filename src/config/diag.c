/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects and prints what a load has to say. Running out of memory here loses texts, never the fact that
 * there was an error.
 */
#include "config/diag.h"

#include "base/assert.h"
#include "config/limits.h"

#include <stdio.h>
#include <stdlib.h>

/* 100 errors of 3 KiB and 1,000 notes of 1 KiB. */
#define DIAG_ARENA_BYTES_MAX (4u << 20)

void config_diag_init(struct config_diag *d)
{
    *d = (struct config_diag){0};
    arena_init(&d->arena, DIAG_ARENA_BYTES_MAX, NULL);
    map_init(&d->notes_by_path);
}

void config_diag_fini(struct config_diag *d)
{
    map_fini(&d->notes_by_path);
    arena_fini(&d->arena);
    *d = (struct config_diag){0};
}

void config_diag_verror(struct config_diag *d, struct config_pos pos, const char *path, const char *fmt,
                        va_list args)
{
    WEIR_ASSERT(path != NULL);
    d->errors_total++;
    if (d->errors_count >= CONFIG_ERRORS_MAX)
        return;
    if (!d->errors)
        d->errors = ARENA_NEW_N(&d->arena, struct config_error, CONFIG_ERRORS_MAX);
    if (!d->errors)
        return;
    char text[CONFIG_MESSAGE_BYTES_MAX];
    vsnprintf(text, sizeof text, fmt, args);
    const char *kept_path = arena_strdup(&d->arena, slice_str(path));
    const char *kept_text = arena_strdup(&d->arena, slice_str(text));
    if (!kept_path || !kept_text)
        return;
    d->errors[d->errors_count] = (struct config_error){pos, kept_path, kept_text, d->errors_count};
    d->errors_count++;
}

void config_diag_error(struct config_diag *d, struct config_pos pos, const char *path, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    config_diag_verror(d, pos, path, fmt, args);
    va_end(args);
}

void config_diag_end_load(struct config_diag *d)
{
    d->load_errors = d->errors_count;
}

bool config_diag_has_below(const struct config_diag *d, const char *path)
{
    size_t len = strlen(path);
    for (uint32_t i = 0; i < d->load_errors; i++) {
        const char *other = d->errors[i].path;
        if (strncmp(other, path, len) == 0 && (other[len] == '\0' || strchr(".[{", other[len])))
            return true;
    }
    return false;
}

void config_diag_note(struct config_diag *d, struct config_pos pos, const char *path_pattern,
                      const char *reason, bool deprecated)
{
    struct config_note *note = map_get(&d->notes_by_path, slice_str(path_pattern));
    if (note) {
        note->count++;
        return;
    }
    if (d->notes_count >= CONFIG_NOTES_MAX)
        return;
    if (!d->notes)
        d->notes = ARENA_NEW_N(&d->arena, struct config_note *, CONFIG_NOTES_MAX);
    note = ARENA_NEW(&d->arena, struct config_note);
    char *path = arena_strdup(&d->arena, slice_str(path_pattern));
    if (!d->notes || !note || !path || !map_put(&d->notes_by_path, slice_str(path), note))
        return;
    *note = (struct config_note){pos, path, reason, 1, deprecated};
    d->notes[d->notes_count++] = note;
}

void config_pos_print(struct config_pos pos, struct strbuf *out)
{
    if (!pos.file)
        return;
    strbuf_append_str(out, pos.file);
    if (pos.line > 0)
        strbuf_printf(out, ":%u:%u", pos.line, pos.column);
}

static int compare_errors(const void *a, const void *b)
{
    const struct config_error *x = a;
    const struct config_error *y = b;
    /* Two files keep the order in which they were read. */
    bool same_file = x->pos.file == y->pos.file;
    if (same_file && x->pos.line != y->pos.line)
        return x->pos.line < y->pos.line ? -1 : 1;
    if (same_file && x->pos.column != y->pos.column)
        return x->pos.column < y->pos.column ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void print_head(struct strbuf *out, struct config_pos pos, const char *path)
{
    if (pos.file) {
        config_pos_print(pos, out);
        strbuf_append_str(out, ": ");
    }
    if (path[0] != '\0') {
        strbuf_append_str(out, path);
        strbuf_append_str(out, ": ");
    }
}

void config_diag_print_errors(struct config_diag *d, struct strbuf *out)
{
    if (d->errors_count > 1)
        qsort(d->errors, d->errors_count, sizeof d->errors[0], compare_errors);
    for (uint32_t i = 0; i < d->errors_count; i++) {
        print_head(out, d->errors[i].pos, d->errors[i].path);
        strbuf_append_str(out, d->errors[i].text);
        strbuf_append_char(out, '\n');
    }
    if (d->errors_total > d->errors_count)
        strbuf_printf(out, "and %u more errors\n", d->errors_total - d->errors_count);
}

void config_diag_print_notes(const struct config_diag *d, struct strbuf *out)
{
    for (uint32_t i = 0; i < d->notes_count; i++) {
        const struct config_note *note = d->notes[i];
        print_head(out, note->pos, note->path);
        strbuf_printf(out, "%s: %s", note->deprecated ? "deprecated" : "inert", note->reason);
        if (note->count > 1)
            strbuf_printf(out, " (%u times)", note->count);
        strbuf_append_char(out, '\n');
    }
}
