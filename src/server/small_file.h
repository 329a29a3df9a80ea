/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a few lines that the kernel makes (/proc, /sys). Must not be used for what a stranger may write at
 * length: what is beyond the buffer is not seen.
 */
#ifndef WEIR_SERVER_SMALL_FILE_H
#define WEIR_SERVER_SMALL_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Its text, with a NUL behind it. `root` is where /proc and /sys lie: "", or a made-up one. false: there is
 * no text. */
bool small_file_read(const char *root, const char *path, char *text, size_t size);

#endif
