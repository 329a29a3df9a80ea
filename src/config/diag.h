/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load has to say: every error with file, line, column and field path, and every field that was
 * accepted without effect, once per path pattern. It only collects; the caller prints. One thread at a time.
 */
#ifndef WEIR_CONFIG_DIAG_H
#define WEIR_CONFIG_DIAG_H

#include "base/arena.h"
#include "base/map.h"
#include "base/strbuf.h"

#include <stdarg.h>

/* Line and column count from 1; 0 means unknown (protobuf bytes have no lines). `file` outlives the diag's
 * user: it is borrowed from the document or the source. NULL means no file. */
struct config_pos {
    const char *file;
    uint32_t line;
    uint32_t column;
};

struct config_error {
    struct config_pos pos;
    const char *path; /* "" for the document itself */
    const char *text; /* what is wrong; what to do */
    uint32_t order;
};

/* A field that was accepted though it does nothing, or is deprecated by the API. */
struct config_note {
    struct config_pos pos; /* of the first one */
    const char *path;      /* with [] for any index */
    const char *reason;
    uint32_t count;
    bool deprecated; /* else inert */
};

struct config_diag {
    struct arena arena;
    struct config_error *errors;
    uint32_t errors_count; /* kept */
    uint32_t errors_total; /* with those past CONFIG_ERRORS_MAX */
    uint32_t load_errors;  /* how many were kept when loading ended */
    struct config_note **notes;
    uint32_t notes_count;
    struct map notes_by_path;
};

void config_diag_init(struct config_diag *d);
void config_diag_fini(struct config_diag *d);

static inline bool config_diag_failed(const struct config_diag *d)
{
    return d->errors_total > 0;
}

/* The texts are copied, except pos.file. */
void config_diag_error(struct config_diag *d, struct config_pos pos, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void config_diag_verror(struct config_diag *d, struct config_pos pos, const char *path, const char *fmt,
                        va_list args) __attribute__((format(printf, 4, 0)));
/* From here on, errors are what is found in a document that is complete but for the errors until now. */
void config_diag_end_load(struct config_diag *d);
/* Was something reported at or below this path until config_diag_end_load? */
bool config_diag_has_below(const struct config_diag *d, const char *path);
/* `reason` must be constant text. */
void config_diag_note(struct config_diag *d, struct config_pos pos, const char *path_pattern,
                      const char *reason, bool deprecated);

/* Errors in the order of the source, one a line: `file:line:column: path: text`. */
void config_diag_print_errors(struct config_diag *d, struct strbuf *out);
/* Notes in the order of their first appearance: `file:line:column: path: inert: reason (3 times)`. */
void config_diag_print_notes(const struct config_diag *d, struct strbuf *out);
/* "file:line:column" as far as known; "" when nothing is. */
void config_pos_print(struct config_pos pos, struct strbuf *out);

#endif
