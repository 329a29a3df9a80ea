/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns a pattern in RE2's syntax into one that the regex crate reads with the same meaning.
 */
#ifndef WEIR_PROXY_REGEX_SYNTAX_H
#define WEIR_PROXY_REGEX_SYNTAX_H

#include "base/strbuf.h"

/* Appends the translation. NULL, or what is wrong with the pattern (a constant). */
const char *regex_translate(struct slice re2, struct strbuf *out);

#endif
