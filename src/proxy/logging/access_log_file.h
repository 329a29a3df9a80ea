/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access log that writes lines to a file or a standard stream through the log thread.
 */
#ifndef WEIR_PROXY_ACCESS_LOG_FILE_H
#define WEIR_PROXY_ACCESS_LOG_FILE_H

#include "proxy/logging/access_log.h"

/*
 * Takes `format` and `filter` (NULL: log all) over, also on failure. `path` may be /dev/stdout or
 * /dev/stderr. NULL with errno when the file cannot be opened for appending.
 */
struct access_log *access_log_file_create(const char *path, struct stream_format *format,
                                          struct stream_predicate *filter);
/* Frees the calling thread's buffer; the last thing that a thread which wrote does. */
void access_log_file_thread_end(void);

#endif
