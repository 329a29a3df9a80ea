/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the user: read whole up to a cap, written whole. It must never overwrite without being told.
 */
#ifndef WEIR_CLI_FILE_H
#define WEIR_CLI_FILE_H

#include "base/strbuf.h"

/* What failed, for people: "cannot open x.wasm: No such file or directory". */
struct file_error {
    char text[512];
};

/* Reads `path` ("-": standard input) into *out, which is initialised here and empty on failure. */
bool file_read(const char *path, size_t max_bytes, struct strbuf *out, struct file_error *error);
/* Creates `path`; a file that is there already is an error unless `replace`. */
bool file_write(const char *path, struct slice content, bool replace, struct file_error *error);
/* mkdir -p. */
bool file_make_directory(const char *path, struct file_error *error);
bool file_exists(const char *path);
bool file_is_directory(const char *path);
/* "DIR/NAME" into `out` of CLI_PATH_BYTES; false when it does not fit. */
bool file_join(char *out, const char *directory, const char *name);
/*
 * A place for NAME in the tool's own cache: $WEIRCTL_CACHE_DIR/NAME, $XDG_CACHE_HOME/weirctl/NAME or
 * ~/.cache/weirctl/NAME, into `out` of CLI_PATH_BYTES. The directory that holds it is made, NAME is not.
 * False: there is no place.
 */
bool file_cache_place(char *out, const char *name);
/* The part behind the last slash. */
const char *file_base_name(const char *path);

#endif
