/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /plugins: what every Wasm plugin is and costs.
 */
#include "admin/page.h"
#include "admin/plugin_costs.h"
#include "base/assert.h"
#include "filters/wasm/wasm_service.h"

#include <inttypes.h>

struct plugin_list {
    const struct wasm_service *wasm;
    struct strbuf *out;
    bool json;
    bool any;
};

struct field {
    const char *name;
    const char *text; /* NULL: a number */
    uint64_t number;
};

#define FIELDS_MAX 40

static size_t collect(const struct wasm_plugin_report *r, struct field fields[FIELDS_MAX])
{
    size_t n = 0;
#define TEXT(member) fields[n++] = (struct field){#member, r->member, 0}
#define NUMBER(member)                                                                                       \
    fields[n++] = (struct field)                                                                             \
    {                                                                                                        \
#member, NULL, r->member                                                                             \
    }
    TEXT(root_id);
    TEXT(vm_id);
    TEXT(state);
    TEXT(runtime);
    TEXT(engine);
    TEXT(abi);
    TEXT(sha256);
    TEXT(failure_policy);
    TEXT(policy_rule);
    NUMBER(code_bytes);
    NUMBER(load_ns);
    fields[n++] = (struct field){"from_cache", r->from_cache ? "true" : "false", 0};
    NUMBER(vms);
    NUMBER(workers_silent);
    NUMBER(memory_bytes);
    NUMBER(host_bytes);
    NUMBER(streams);
    NUMBER(callouts_active);
    NUMBER(callout_bytes);
    NUMBER(callouts_started);
    NUMBER(calls);
    NUMBER(host_calls);
    NUMBER(time_ns);
    NUMBER(traps);
    NUMBER(timeouts);
    NUMBER(respawns);
    NUMBER(quarantines);
    fields[n++] = (struct field){"time_share_passed", NULL, r->seats.time_share_passed};
    fields[n++] = (struct field){"streams_refused", NULL, r->seats.streams_refused};
    fields[n++] = (struct field){"streams_delayed", NULL, r->seats.streams_delayed};
    fields[n++] = (struct field){"calls_skipped", NULL, r->seats.calls_skipped};
    fields[n++] = (struct field){"pauses_ended", NULL, r->seats.pauses_ended};
    WEIR_ASSERT(n <= FIELDS_MAX);
#undef TEXT
#undef NUMBER
    return n;
}

static void append_text(struct strbuf *out, const char *plugin, const struct field *f)
{
    if (f->text)
        strbuf_printf(out, "%s::%s::%s\n", plugin, f->name, f->text);
    else
        strbuf_printf(out, "%s::%s::%" PRIu64 "\n", plugin, f->name, f->number);
}

static void append_json(struct strbuf *out, const struct field *f)
{
    strbuf_printf(out, ",\n   \"%s\": ", f->name);
    if (f->text)
        strbuf_append_json(out, slice_str(f->text));
    else
        strbuf_printf(out, "%" PRIu64, f->number);
}

static void append_plugin(void *arg, const struct wasm_plugin_report *r)
{
    struct plugin_list *list = arg;
    struct field fields[FIELDS_MAX];
    size_t count = collect(r, fields);
    if (list->json) {
        strbuf_append_str(list->out, list->any ? ",\n  {\n   \"name\": " : "\n  {\n   \"name\": ");
        strbuf_append_json(list->out, slice_str(r->name));
    }
    for (size_t i = 0; i < count; i++) {
        if (list->json)
            append_json(list->out, &fields[i]);
        else
            append_text(list->out, r->name[0] ? r->name : "(unnamed)", &fields[i]);
    }
    if (list->json)
        plugin_costs_json(list->wasm, r, list->out);
    else
        plugin_costs_text(list->wasm, r, r->name[0] ? r->name : "(unnamed)", list->out);
    if (list->json)
        strbuf_append_str(list->out, "\n  }");
    list->any = true;
}

void page_plugins(const struct admin_request *request, struct admin_response *response)
{
    char format[16] = "text";
    struct plugin_list list = {.wasm = request->process->wasm, .out = &response->body};
    if (admin_query(request, "format", format, sizeof(format)) && strcmp(format, "text") != 0 &&
        strcmp(format, "json") != 0) {
        admin_fail(response, 400, "unknown format \"%s\": use text or json", format);
        return;
    }
    list.json = strcmp(format, "json") == 0;
    if (list.json) {
        response->content_type = "application/json";
        strbuf_append_str(&response->body, "{\n \"plugins\": [");
    }
    wasm_service_report(request->process->wasm, append_plugin, &list);
    if (list.json)
        strbuf_append_str(&response->body, "\n ]\n}\n");
}
