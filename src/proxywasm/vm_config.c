/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks and copies the configuration of a VM. The environment is refused when a name is empty, comes twice,
 * or holds '=' or NUL: getenv in the guest would give something that nobody wrote.
 */
#include "proxywasm/vm_config.h"

#include "base/map.h"
#include "proxywasm/message.h"

#include <stdlib.h>

static bool name_ok(struct pw_slice name)
{
    struct slice s = slice_from_pw(name);
    return s.len > 0 && slice_find_char(s, '=') < 0 && slice_find_char(s, '\0') < 0;
}

static int environment_check(const struct pw_vm_config *config, struct pw_message *why)
{
    struct map seen;
    map_init(&seen);
    int error = PW_OK;
    size_t bytes = 0;
    for (size_t i = 0; i < config->environment_count && !error; i++) {
        struct slice name = slice_from_pw(config->environment[i].name);
        struct slice value = slice_from_pw(config->environment[i].value);
        bytes += name.len + value.len + 2;
        if (!name_ok(config->environment[i].name) || slice_find_char(value, '\0') >= 0)
            error = message_error(PW_ERR_INVALID_ARGUMENT, why,
                                  "environment variable " SLICE_FMT ": bad name or value", SLICE_ARG(name));
        else if (bytes > ENVIRONMENT_BYTES_MAX || i >= ENVIRONMENT_COUNT_MAX)
            error =
                message_error(PW_ERR_LIMIT, why, "the environment is larger than %u variables or %u bytes",
                              ENVIRONMENT_COUNT_MAX, ENVIRONMENT_BYTES_MAX);
        else if (map_has(&seen, name))
            error = message_error(PW_ERR_INVALID_ARGUMENT, why,
                                  "environment variable " SLICE_FMT " is given twice", SLICE_ARG(name));
        else if (!map_put(&seen, name, &seen))
            error = message_error(PW_ERR_NOMEM, why, "out of memory");
    }
    map_fini(&seen);
    return error;
}

static int config_check(const struct pw_vm_config *config, struct pw_message *why)
{
    if (!config || config->size < sizeof(*config))
        return message_error(PW_ERR_INVALID_ARGUMENT, why, "struct pw_vm_config has the wrong size");
    if (config->vm_id.len > IDENTITY_BYTES_MAX)
        return message_error(PW_ERR_LIMIT, why, "vm_id is longer than %u bytes", IDENTITY_BYTES_MAX);
    if (config->configuration.len > CONFIGURATION_BYTES_MAX)
        return message_error(PW_ERR_LIMIT, why, "VM configuration is longer than %u bytes",
                             CONFIGURATION_BYTES_MAX);
    if (config->capabilities_count > CAPABILITIES_MAX)
        return message_error(PW_ERR_LIMIT, why, "more than %u capabilities", CAPABILITIES_MAX);
    return environment_check(config, why);
}

static void text_add(char **at, struct pw_slice s)
{
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
}

static struct slice text_keep(char **at, struct pw_slice s)
{
    char *start = *at;
    text_add(at, s);
    *(*at)++ = '\0';
    return slice_of(start, s.len);
}

static int environment_copy(struct pw_vm *vm, const struct pw_vm_config *config, char **at)
{
    if (config->environment_count == 0)
        return PW_OK;
    vm->environment = calloc(config->environment_count, sizeof(*vm->environment));
    if (!vm->environment)
        return PW_ERR_NOMEM;
    vm->environment_count = config->environment_count;
    for (size_t i = 0; i < vm->environment_count; i++) {
        char *start = *at;
        text_add(at, config->environment[i].name);
        *(*at)++ = '=';
        text_add(at, config->environment[i].value);
        *(*at)++ = '\0';
        vm->environment[i].text = slice_of(start, (size_t)(*at - start) - 1);
        vm->environment_bytes += (size_t)(*at - start);
    }
    return PW_OK;
}

int vm_config_init(struct pw_vm *vm, const struct pw_vm_config *config, struct pw_message *why)
{
    int error = config_check(config, why);
    if (error)
        return error;
    vm->limits = config->limits;
    pw_limits_fill(&vm->limits);
    denied_init(&vm->denied, config->capabilities, config->capabilities_count);

    size_t bytes = config->vm_id.len + config->configuration.len + 2;
    for (size_t i = 0; i < config->environment_count; i++)
        bytes += config->environment[i].name.len + config->environment[i].value.len + 2;
    vm->text = malloc(bytes);
    if (!vm->text)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    vm->text_bytes = bytes;
    char *at = vm->text;
    vm->vm_id = text_keep(&at, config->vm_id);
    vm->configuration = text_keep(&at, config->configuration);
    if (environment_copy(vm, config, &at) != PW_OK)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    WEIR_ASSERT(at == vm->text + bytes);
    return PW_OK;
}

void vm_config_fini(struct pw_vm *vm)
{
    free(vm->environment);
    vm->environment = NULL;
    vm->environment_count = 0;
    free(vm->text);
    vm->text = NULL;
}
