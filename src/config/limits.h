/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caps of the configuration room, each with its unit and reason. A configuration may come from a control
 * plane, so none of them may be left to the sender.
 */
#ifndef WEIR_CONFIG_LIMITS_H
#define WEIR_CONFIG_LIMITS_H

/* Bytes of one source text: a module of 24 MB given inline is 32 MB of base64. */
#define CONFIG_SOURCE_BYTES_MAX (64u << 20)
/* Bytes of everything one document keeps: structs, positions, and inline code twice (in its Any and
 * unpacked). */
#define CONFIG_ARENA_BYTES_MAX (512u << 20)
/* Nested containers of a text, and nested messages of protobuf bytes: protobuf's own limit is 100. */
#define CONFIG_DEPTH_MAX 100
/* Values of one text as written. */
#define CONFIG_NODES_MAX 2000000u
/* Values read from one text with every alias followed: stops "billion laughs". */
#define CONFIG_VALUES_MAX 4000000u
/* Anchors of one text. */
#define CONFIG_ANCHORS_MAX 4096u
/* Errors shown of one run: more help nobody, and a hostile text may hold millions. */
#define CONFIG_ERRORS_MAX 100u
/* Distinct inert or deprecated fields kept of one run. */
#define CONFIG_NOTES_MAX 1000u
/* Bytes of one shown path and one shown message. */
#define CONFIG_PATH_BYTES_MAX    1024u
#define CONFIG_MESSAGE_BYTES_MAX 2048u
/* Bytes of one JSON dump: what CONFIG_ARENA_BYTES_MAX can grow to when escaped. */
#define CONFIG_DUMP_BYTES_MAX (1024u << 20)
/* Sources of one document: a file and --config-yaml. */
#define CONFIG_SOURCES_MAX 4u

#endif
