/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_host.c: see fake_host.h. It plays logs, configuration, header maps and local replies; all other calls
 * are only recorded.
 */
#include "fake_host.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const uint8_t host_nargs[] = {
#define ROW(name, nargs) nargs,
    PW_NULL_HOST_FUNCTIONS(ROW)
#undef ROW
};

static const uint8_t callback_nargs[] = {
#define ROW(name, nargs, has_result) nargs,
    PW_NULL_CALLBACKS(ROW)
#undef ROW
};

static const char *at(uint64_t address)
{
    return (const char *)(uintptr_t)address;
}

static void put(uint64_t slot, uint64_t value)
{
    assert_int_equal(slot % 8, 0);
    *(uint64_t *)(uintptr_t)slot = value;
}

static void copy_text(char *to, size_t cap, uint64_t data, uint64_t len)
{
    assert_true(len < cap);
    if (len != 0)
        memcpy(to, at(data), len);
    to[len] = '\0';
}

static void give(struct fake_host *fake, const void *data, size_t len, uint64_t slot, uint64_t len_slot)
{
    void *copy = NULL;
    if (len != 0) {
        copy = fake->plugin->allocate(fake->instance, len);
        assert_non_null(copy);
        assert_int_equal((uintptr_t)copy % 8, 0);
        memcpy(copy, data, len);
    }
    put(slot, (uintptr_t)copy);
    put(len_slot, len);
}

static void add(struct fake_map *map, const char *name, size_t name_len, const char *value, size_t value_len)
{
    assert_true(map->count < FAKE_HEADERS_MAX);
    struct fake_header *header = &map->items[map->count++];
    copy_text(header->name, sizeof(header->name), (uintptr_t)name, name_len);
    copy_text(header->value, sizeof(header->value), (uintptr_t)value, value_len);
}

static uint32_t u32_at(const char *data)
{
    uint32_t number;
    memcpy(&number, data, sizeof(number));
    return number;
}

static void read_pairs(struct fake_map *map, const char *data, size_t len)
{
    map->count = 0;
    if (len == 0)
        return;
    uint32_t count = u32_at(data);
    const char *text = data + 4 + 8 * (size_t)count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t name_len = u32_at(data + 4 + 8 * i), value_len = u32_at(data + 8 + 8 * i);
        add(map, text, name_len, text + name_len + 1, value_len);
        text += name_len + value_len + 2;
        assert_int_equal(text[-1], 0);
    }
    assert_ptr_equal(text, data + len);
}

static void give_pairs(struct fake_host *fake, const struct fake_map *map, const uint64_t *args)
{
    static char data[64 * 1024]; /* tests run one at a time */
    size_t len = 4 + 8 * map->count;
    uint32_t count = (uint32_t)map->count;
    memcpy(data, &count, 4);
    for (size_t i = 0; i < map->count; i++) {
        uint32_t lens[2] = {(uint32_t)strlen(map->items[i].name), (uint32_t)strlen(map->items[i].value)};
        memcpy(data + 4 + 8 * i, lens, 8);
        memcpy(data + len, map->items[i].name, lens[0] + 1);
        memcpy(data + len + lens[0] + 1, map->items[i].value, lens[1] + 1);
        len += lens[0] + lens[1] + 2;
    }
    give(fake, data, map->count == 0 ? 0 : len, args[1], args[2]);
}

static int32_t play_log(struct fake_host *fake, const uint64_t *args)
{
    assert_true(fake->log_count < FAKE_LOGS_MAX);
    fake->log_levels[fake->log_count] = (uint32_t)args[0];
    copy_text(fake->logs[fake->log_count++], sizeof(fake->logs[0]), args[1], args[2]);
    return 0;
}

static int32_t play_header_get(struct fake_host *fake, const uint64_t *args)
{
    const struct fake_map *map = &fake->maps[args[0]];
    for (size_t i = 0; i < map->count; i++) {
        const struct fake_header *header = &map->items[i];
        if (strlen(header->name) == args[2] && strncasecmp(header->name, at(args[1]), args[2]) == 0) {
            give(fake, header->value, strlen(header->value), args[3], args[4]);
            return 0;
        }
    }
    return 1;
}

static int32_t play_reply(struct fake_host *fake, const uint64_t *args)
{
    fake->replies++;
    fake->reply_status = (uint32_t)args[0];
    copy_text(fake->reply_details, sizeof(fake->reply_details), args[1], args[2]);
    copy_text(fake->reply_body, sizeof(fake->reply_body), args[3], args[4]);
    read_pairs(&fake->reply_headers, at(args[5]), args[6]);
    return 0;
}

static int32_t play_buffer(struct fake_host *fake, const uint64_t *args)
{
    if (args[0] != 7 || args[1] > fake->configuration_len)
        return 1;
    size_t len = fake->configuration_len - args[1];
    give(fake, fake->configuration + args[1], len < args[2] ? len : args[2], args[3], args[4]);
    return 0;
}

static int32_t host_call(void *host_ctx, uint32_t function, const uint64_t *args, size_t nargs)
{
    struct fake_host *fake = host_ctx;
    assert_true(function < PW_NULL_HOST_FUNCTION_COUNT);
    assert_int_equal(nargs, host_nargs[function]);
    fake->last_function = function;
    fake->last_nargs = nargs;
    if (nargs != 0)
        memcpy(fake->last_args, args, nargs * sizeof(*args));
    switch (function) {
    case PW_NULL_HOST_proxy_log:
        return play_log(fake, args);
    case PW_NULL_HOST_proxy_get_log_level:
        put(args[0], 2);
        return 0;
    case PW_NULL_HOST_proxy_get_buffer_bytes:
        return play_buffer(fake, args);
    case PW_NULL_HOST_proxy_get_header_map_value:
        return play_header_get(fake, args);
    case PW_NULL_HOST_proxy_get_header_map_pairs:
        give_pairs(fake, &fake->maps[args[0]], args);
        return 0;
    case PW_NULL_HOST_proxy_set_header_map_pairs:
        read_pairs(&fake->maps[args[0]], at(args[1]), args[2]);
        return 0;
    case PW_NULL_HOST_proxy_add_header_map_value:
        add(&fake->maps[args[0]], at(args[1]), args[2], at(args[3]), args[4]);
        return 0;
    case PW_NULL_HOST_proxy_send_local_response:
        return play_reply(fake, args);
    default:
        return fake->answer;
    }
}

void fake_open(struct fake_host *fake, const struct pw_null_plugin *plugin)
{
    memset(fake, 0, sizeof(*fake));
    assert_non_null(plugin);
    assert_int_equal(plugin->size, sizeof(struct pw_null_plugin));
    assert_int_equal(plugin->version, PW_NULL_CONTRACT_VERSION);
    assert_string_equal(plugin->abi, "0.2.1");
    fake->plugin = plugin;
    fake->table = (struct pw_null_host){sizeof(struct pw_null_host), PW_NULL_CONTRACT_VERSION, host_call};
    fake->instance = plugin->instance_create(&fake->table, fake);
    assert_non_null(fake->instance);
}

void fake_open_file(struct fake_host *fake, const char *name)
{
    char path[FAKE_TEXT_BYTES];
    snprintf(path, sizeof(path), "%s/%s.so", WEIR_TEST_PLUGIN_DIR, name);
    void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* never closed: leak reports need its symbols */
    if (file == NULL)
        fail_msg("%s", dlerror());
    pw_null_plugin_entry_fn entry;
    *(void **)&entry = dlsym(file, PW_NULL_ENTRY_SYMBOL);
    assert_non_null(entry);
    fake_open(fake, entry());
}

void fake_close(struct fake_host *fake)
{
    fake->plugin->instance_destroy(fake->instance);
}

uint64_t fake_call(struct fake_host *fake, enum pw_null_callback callback, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t args[5] = {a, b, c, 0, 0};
    uint64_t result = 0;
    assert_int_equal(fake->plugin->call(fake->instance, callback, args, callback_nargs[callback], &result),
                     PW_NULL_DONE);
    return result;
}

bool fake_configure(struct fake_host *fake, const char *json)
{
    fake->configuration = json;
    fake->configuration_len = strlen(json);
    fake_call(fake, PW_NULL_CB_proxy_on_context_create, 1, 0, 0);
    return fake_call(fake, PW_NULL_CB_proxy_on_configure, 1, fake->configuration_len, 0) != 0;
}

void fake_stream(struct fake_host *fake, uint32_t id)
{
    fake_call(fake, PW_NULL_CB_proxy_on_context_create, id, 1, 0);
}

void fake_clear(struct fake_host *fake)
{
    memset(fake->maps, 0, sizeof(fake->maps));
    fake->replies = 0;
}

void fake_header(struct fake_host *fake, uint32_t map, const char *name, const char *value)
{
    add(&fake->maps[map], name, strlen(name), value, strlen(value));
}

const char *fake_value(const struct fake_map *map, const char *name)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->items[i].name, name) == 0)
            return map->items[i].value;
    }
    return NULL;
}

bool fake_logged(const struct fake_host *fake, uint32_t level, const char *text)
{
    for (size_t i = 0; i < fake->log_count; i++) {
        if (fake->log_levels[i] >= level && strstr(fake->logs[i], text) != NULL)
            return true;
    }
    return false;
}
