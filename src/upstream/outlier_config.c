/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's defaults of outlier detection.
 */
#include "upstream/outlier_config.h"

void outlier_config_defaults(struct outlier_config *c)
{
    *c = (struct outlier_config){
        .interval_ms = 10000,
        .base_ejection_ms = 30000,
        .max_ejection_ms = 300000,
        .consecutive_5xx = 5,
        .consecutive_gateway = 5,
        .consecutive_local = 5,
        .max_ejection_percent = 10,
        .uneject_on_health = true,
        .success_rate_hosts = 5,
        .success_rate_volume = 100,
        .success_rate_stdev_factor = 1900,
        .failure_percentage = 85,
        .failure_percentage_hosts = 5,
        .failure_percentage_volume = 50,
        .enforcing =
            {
#define OUTLIER_KIND_X(id, name, enforcing) [OUTLIER_##id] = (enforcing),
                OUTLIER_KINDS(OUTLIER_KIND_X)
#undef OUTLIER_KIND_X
            },
    };
}
