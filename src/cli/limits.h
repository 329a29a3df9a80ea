/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Caps of the command line tool. Files come from the user, but plugins and what they write may be hostile.
 */
#ifndef WEIR_CLI_LIMITS_H
#define WEIR_CLI_LIMITS_H

#define CLI_TEXT_BYTES_MAX   (4u << 20)          /* texts that people read: help, reports, messages */
#define CLI_FILE_BYTES_MAX   (64u << 20)         /* configurations, requests, answers, expectations */
#define CLI_MODULE_BYTES_MAX (256u << 20)        /* the library's own limit */
#define CLI_ARGS_MAX         256u                /* arguments of a program that weirctl starts */
#define CLI_OUTPUT_BYTES_MAX (16u << 20)         /* what a compiler prints */
#define CLI_PATH_BYTES       4096u               /* PATH_MAX */
#define CLI_LIST_MAX         10000u              /* requests in a file, rows of a report */
#define CLI_BODY_BYTES_MAX   (64u << 20)         /* a body in `plugin run`, what the plugin adds included */
#define CLI_HEADERS_MAX      1000u               /* fields of one map */
#define CLI_HEADERS_BYTES    (1u << 20)          /* names and values of one map */
#define CLI_LOG_LINES_MAX    100000u             /* of one run; more are counted */
#define CLI_LOG_BYTES_MAX    (64u << 20)         /* of one run */
#define CLI_QUICK_BYTES_MIN  (4u << 20)          /* modules from here on are compiled quickly, as in weir */
#define CLI_COMPILE_MEMORY   (UINT64_C(8) << 30) /* of the compiler: the user's own machine and plugin */
#define CLI_CACHE_BYTES_MAX  (UINT64_C(1) << 30) /* compiled modules of `plugin run` */
#define CLI_TICKS_MAX        1000000u            /* --ticks */
#define CLI_ANSWER_BYTES_MAX (1u << 16)          /* what a person types at a prompt */

#endif
