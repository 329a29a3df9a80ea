/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's configuration check loads a plugin as Envoy itself does. Every capability is taken from the plugin,
 * so that what is asked is what its imports and exports are worth, and not what it thinks of a configuration.
 * It never trusts what Envoy prints to be short, or to come.
 */
#include "cli/envoy.h"

#include "cli/cli.h"
#include "cli/spawn.h"

#include <signal.h>
#include <stdio.h>

/* A module that starts with a loop has Envoy for this long. */
#define ANSWER_SECONDS 60u
#define OUTPUT_BYTES   (64u << 10)
#define TYPE           "type.googleapis.com/envoy.extensions."

static void put_configuration(struct strbuf *out, const char *plugin)
{
    strbuf_append_str(
        out, "{static_resources: {listeners: [{name: verify, address: {socket_address: {address: 127.0.0.1, "
             "port_value: 0}}, filter_chains: [{filters: [{name: http, typed_config: {\"@type\": " TYPE
             "filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: verify, "
             "route_config: {}, http_filters: [{name: wasm, typed_config: {\"@type\": " TYPE
             "filters.http.wasm.v3.Wasm, config: {name: verify, capability_restriction_config: "
             "{allowed_capabilities: {none: {}}}, vm_config: {runtime: envoy.wasm.runtime.v8, code: {local: "
             "{filename: ");
    strbuf_append_json(out, slice_str(plugin));
    strbuf_append_str(out, "}}}}}}, {name: router, typed_config: {\"@type\": " TYPE
                           "filters.http.router.v3.Router}}]}}]}]}]}}");
}

/* "envoy  version: COMMIT/1.40.0/Clean/..." */
static bool take_version(struct slice text, struct slice *version)
{
    struct slice part;
    ptrdiff_t at = slice_find(text, SLICE_LIT("version: "));

    if (at < 0 || slice_find(text, SLICE_LIT("envoy")) < 0)
        return false;
    text = slice_skip(text, (size_t)at);
    return slice_split(&text, '/', &part) && slice_split(&text, '/', version);
}

/* The first of its lines about Wasm says why; what follows is how far that went. */
static struct slice reason_of(struct slice text)
{
    struct slice line;

    while (slice_split(&text, '\n', &line)) {
        ptrdiff_t at = slice_find(line, SLICE_LIT("[error][wasm] "));
        if (at < 0)
            continue;
        line = slice_skip(line, (size_t)at);
        at = slice_find(line, SLICE_LIT(".cc:"));
        line = at < 0 ? line : slice_skip(line, (size_t)at);
        at = slice_find(line, SLICE_LIT("] "));
        return at < 0 ? line : slice_skip(line, (size_t)at + 2);
    }
    return SLICE_LIT("it gives no reason");
}

static json_t *answer(const char *program, struct slice version, int status, struct slice text)
{
    json_t *says = status == 0 ? json_null()
                   : status == 128 + SIGALRM
                       ? json_string("it did not answer: the plugin starts with a loop?")
                       : cli_json_string(reason_of(text));

    return json_pack("{s:o, s:o, s:b, s:o}", "program", cli_json_string(slice_str(program)), "version",
                     cli_json_string(version), "loads", status == 0, "says", says);
}

json_t *envoy_ask(const char *program, const char *plugin, char *why, size_t why_bytes)
{
    const char *ask_version[] = {program, "--version", NULL};
    struct spawn spawn = {.argv = ask_version, .limit_seconds = ANSWER_SECONDS};
    struct strbuf version_text, text, config;
    struct slice version;
    json_t *result = NULL;

    strbuf_init(&version_text, OUTPUT_BYTES);
    strbuf_init(&text, OUTPUT_BYTES);
    strbuf_init(&config, OUTPUT_BYTES);
    int status = spawn_run(&spawn, &version_text);
    if (status == 0 && take_version(strbuf_slice(&version_text), &version)) {
        put_configuration(&config, plugin);
        const char *validate[] = {program, "--mode",        "validate",           "-l",
                                  "error", "--config-yaml", strbuf_cstr(&config), NULL};
        spawn.argv = validate;
        status = spawn_run(&spawn, &text);
        result = answer(program, version, status, strbuf_slice(&text));
    } else if (status == 127) {
        (void)snprintf(why, why_bytes, "%s cannot be started", program);
    } else {
        (void)snprintf(why, why_bytes, "%s is no Envoy: it does not tell a version", program);
    }
    strbuf_fini(&version_text);
    strbuf_fini(&text);
    strbuf_fini(&config);
    return result;
}
