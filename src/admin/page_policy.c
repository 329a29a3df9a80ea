/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /policy/reload and /plugins/release: what an operator does about plugins while the proxy runs.
 */
#include "admin/page.h"
#include "filters/wasm/wasm_service.h"

#include <inttypes.h>

void page_policy_reload(const struct admin_request *request, struct admin_response *response)
{
    struct admin_process process = *request->process;
    if (!process.reload_policy(process.ctx, &response->body))
        response->status = 400;
}

void page_plugins_release(const struct admin_request *request, struct admin_response *response)
{
    char name[256];
    bool named = admin_query(request, "plugin", name, sizeof(name));
    uint32_t count = wasm_service_release(request->process->wasm, named ? name : NULL);
    if (count == 0 && named)
        admin_fail(response, 404, "no plugin \"%s\" is in quarantine", name);
    else
        strbuf_printf(&response->body, "%" PRIu32 " let out of quarantine\n", count);
}
