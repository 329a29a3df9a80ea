/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins: an immutable copy of one plugin configuration, counted and shared between threads. Knows no VM.
 */
#include "proxywasm/vm_impl.h"

#include "base/refs.h"

#include <stdlib.h>

/* Copies `text` to *at, which advances past it and a NUL. */
static struct slice plugin_keep(char **at, struct pw_slice text)
{
    char *start = *at;
    if (text.len)
        memcpy(start, text.ptr, text.len);
    start[text.len] = '\0';
    *at += text.len + 1;
    return slice_of(start, text.len);
}

int pw_plugin_create(const struct pw_plugin_config *config, struct pw_plugin **out)
{
    *out = NULL;
    if (!config || config->size < sizeof(*config))
        return PW_ERR_INVALID_ARGUMENT;
    if (config->name.len > IDENTITY_BYTES_MAX || config->root_id.len > IDENTITY_BYTES_MAX ||
        config->key.len > IDENTITY_BYTES_MAX || config->configuration.len > CONFIGURATION_BYTES_MAX)
        return PW_ERR_LIMIT;
    size_t text = config->name.len + config->root_id.len + config->key.len + config->configuration.len + 4;
    struct pw_plugin *plugin = calloc(1, sizeof(*plugin) + text);
    if (!plugin)
        return PW_ERR_NOMEM;
    atomic_init(&plugin->refs, 1);
    char *at = plugin->text;
    plugin->name = plugin_keep(&at, config->name);
    plugin->root_id = plugin_keep(&at, config->root_id);
    plugin->key = plugin_keep(&at, config->key);
    plugin->configuration = plugin_keep(&at, config->configuration);
    WEIR_ASSERT(at == plugin->text + text);
    plugin->property_get = config->property_get;
    plugin->property_ctx = config->property_ctx;
    plugin->allow_on_headers_stop_iteration = config->allow_on_headers_stop_iteration;
    *out = plugin;
    return PW_OK;
}

struct pw_plugin *pw_plugin_ref(struct pw_plugin *plugin)
{
    refs_take(&plugin->refs);
    return plugin;
}

void pw_plugin_unref(struct pw_plugin **plugin)
{
    struct pw_plugin *p = *plugin;
    *plugin = NULL;
    if (!p)
        return;
    if (refs_drop(&p->refs))
        free(p);
}
