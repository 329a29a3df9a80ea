/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /plugins: what every Wasm plugin is and costs.
 */
#include "admin/page.h"
#include "filters/wasm/wasm_service.h"

#include <inttypes.h>

struct plugin_list {
    struct strbuf *out;
    bool json;
    bool any;
};

struct field {
    const char *name;
    const char *text; /* NULL: a number */
    uint64_t number;
};

#define FIELDS_MAX 24

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
    NUMBER(calls);
    NUMBER(host_calls);
    NUMBER(time_ns);
    NUMBER(traps);
    NUMBER(timeouts);
    NUMBER(respawns);
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
        strbuf_append_str(list->out, "\n  }");
    list->any = true;
}

void page_plugins(const struct admin_request *request, struct admin_response *response)
{
    char format[16] = "text";
    struct plugin_list list = {.out = &response->body};
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
