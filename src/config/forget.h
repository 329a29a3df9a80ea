/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and passwords that stand in a document itself.
 */
#ifndef WEIR_CONFIG_FORGET_H
#define WEIR_CONFIG_FORGET_H

#include "config/doc.h"

/* Once everything is built: overwrites what is marked as sensitive and keeps its length, so that dumps look
 * as before. Nothing can be built from the document any more. */
void config_forget_secrets(struct config_doc *doc);

#endif
