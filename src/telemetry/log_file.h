/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log thread, for log.c only; everybody else uses log.h.
 */
#ifndef WEIR_TELEMETRY_LOG_FILE_H
#define WEIR_TELEMETRY_LOG_FILE_H

#include <stdbool.h>

/* false when the thread cannot be made. */
bool log_writer_start(void);
/* Writes all that is queued, then ends the thread. Not started is fine. */
void log_writer_stop(void);

#endif
