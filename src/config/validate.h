/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finished document against the API's rules: what must be set, bounds, patterns, counts, and which enum
 * values Weir takes. The same for texts and for bytes. It must not change the document.
 */
#ifndef WEIR_CONFIG_VALIDATE_H
#define WEIR_CONFIG_VALIDATE_H

#include "config/doc.h"

/* Everything below doc->root, with the messages inside Anys. Reports into `diag`. */
void validate_doc(const struct config_doc *doc, struct config_diag *diag);

#endif
