/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the head of an answer for what it says of the host. Changes nothing in it.
 */
#include "upstream/host_watch.h"

#include "upstream/health_host.h"

/* HTTP statuses that stand for gRPC's 0 to 16; a number that gRPC does not know is an error of the server. */
static unsigned http_of_grpc(struct slice text, unsigned otherwise)
{
    static const uint16_t statuses[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                        400, 409, 400, 501, 500, 503, 500, 401};
    uint64_t status;
    if (!slice_parse_u64(text, &status))
        return otherwise;
    return status < WEIR_ARRAY_LEN(statuses) ? statuses[status] : 500;
}

void host_watch_headers(struct host *h, uint32_t worker, unsigned status, const struct header_map *headers,
                        bool grpc, uint64_t now_ms)
{
    if (grpc)
        status = http_of_grpc(header_map_get_id(headers, HDR_GRPC_STATUS), status);
    outlier_status(h, worker, status);
    if (h->checks && header_map_find(headers, SLICE_LIT("x-envoy-immediate-health-check-fail")))
        health_host_failed(h, now_ms);
}
