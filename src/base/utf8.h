/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether bytes are UTF-8 (RFC 3629). Never changes or converts text.
 */
#ifndef WEIR_BASE_UTF8_H
#define WEIR_BASE_UTF8_H

#include "base/slice.h"

/* Length of the well-formed sequence at p, of which `left` > 0 bytes are there; 0: it is not one. */
size_t utf8_sequence(const unsigned char *p, size_t left);
/* No overlong forms, no surrogates, nothing above U+10FFFF. The empty text is fine. */
bool utf8_valid(struct slice s);

#endif
