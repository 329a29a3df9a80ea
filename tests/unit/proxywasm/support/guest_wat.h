/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scripted guest as WebAssembly text, for each ABI version.
 */
#ifndef TEST_GUEST_WAT_H
#define TEST_GUEST_WAT_H

#include "base/strbuf.h"

#include <proxywasm/types.h>

/* Imports every host function that the version has. */
void guest_wat(struct strbuf *out, enum pw_abi_version abi);
/* Text to binary; aborts with the parser's message when it is wrong. Free with free(). */
char *guest_wasm(const char *wat, size_t *len);

#endif
