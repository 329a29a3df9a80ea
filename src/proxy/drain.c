/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process-wide drain states.
 */
#include "proxy/drain.h"

atomic_bool drain_healthcheck_failed;
atomic_bool drain_requested;
