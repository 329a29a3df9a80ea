/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A made-up root of the file system, for what reads /proc and /sys. One at a time; must not leave anything
 * behind.
 */
#ifndef WEIR_TESTS_FAKE_ROOT_H
#define WEIR_TESTS_FAKE_ROOT_H

/* Where it lies, while there is one. */
extern char fake_root[];

/* Set-up and tear-down of a test. */
int fake_root_make(void **state);
int fake_root_remove(void **state);
/* Writes a file below the root, with its directories. */
void fake_root_put(const char *path, const char *text);

#endif
