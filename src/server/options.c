/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing the command line. One row per flag; both "--flag value" and "--flag=value". It only parses: nothing
 * is opened here.
 */
#include "server/options.h"

#include "base/assert.h"
#include "server/hot_restart.h"
#include "weir_version.h"

#include <inttypes.h>
#include <stdio.h>

#define CONCURRENCY_MAX 1024u
#define DRAIN_TIME_MAX  86400u /* a day */
#define STREAM_VMS_MAX  16384u /* of 4 GiB of addresses each: half of what there is */
#define COMPILE_S_MAX   86400u
#define COMPILE_MIB_MIN 64u        /* less and the compiler does not start */
#define COMPILE_MIB_MAX (1u << 20) /* 1 TiB */
#define USAGE_BYTES_MAX (16u << 10)

enum flag_id {
    FLAG_CONFIG,
    FLAG_CONFIG_YAML,
    FLAG_MODE,
    FLAG_CONCURRENCY,
    FLAG_BASE_ID,
    FLAG_BASE_ID_DYNAMIC,
    FLAG_BASE_ID_PATH,
    FLAG_RESTART_EPOCH,
    FLAG_PARENT_SHUTDOWN_TIME,
    FLAG_DRAIN_STRATEGY,
    FLAG_DISABLE_HOT_RESTART,
    FLAG_SKIP_NO_PARENT,
    FLAG_SKIP_PARENT_STATS,
    FLAG_HOT_RESTART_VERSION,
    FLAG_LOG_LEVEL,
    FLAG_COMPONENT_LOG_LEVEL,
    FLAG_LOG_PATH,
    FLAG_DRAIN_TIME,
    FLAG_POLICY,
    FLAG_CACHE_DIR,
    FLAG_NATIVE_DIR,
    FLAG_COMPILE_MEMORY,
    FLAG_COMPILE_CPU,
    FLAG_COMPILE_TIME,
    FLAG_STREAM_VMS,
    FLAG_ADMIN_ADDRESS_PATH,
    FLAG_VERSION,
    FLAG_HELP,
    FLAG_IGNORED, /* Envoy's, harmless to ignore */
};

struct flag {
    const char *name;
    char letter; /* 0: none */
    enum flag_id id;
    bool value;
    const char *help; /* NULL: not shown */
};

static const struct flag flags[] = {
    {"config-path", 'c', FLAG_CONFIG, true, "the bootstrap configuration: YAML or JSON"},
    {"config-yaml", 0, FLAG_CONFIG_YAML, true, "configuration as text, laid over that of -c"},
    {"policy", 0, FLAG_POLICY, true, "what plugins may do and use (docs/policy.md)"},
    {"mode", 0, FLAG_MODE, true,
     "serve (default), or validate: check the configuration, list what is inert, exit"},
    {"concurrency", 0, FLAG_CONCURRENCY, true,
     "worker threads (default: the cores that this process may use)"},
    {"log-level", 'l', FLAG_LOG_LEVEL, true, "trace, debug, info (default), warning, error, critical or off"},
    {"component-log-level", 0, FLAG_COMPONENT_LOG_LEVEL, true, "levels of components: wasm:debug,http:trace"},
    {"log-path", 0, FLAG_LOG_PATH, true, "the log goes to this file instead of stderr"},
    {"drain-time-s", 0, FLAG_DRAIN_TIME, true,
     "how long requests may go on after SIGTERM (default 600, 30 at most)"},
    {"drain-strategy", 0, FLAG_DRAIN_STRATEGY, true,
     "gradual (default) or immediate: how a replaced process sends clients to its successor"},
    {"base-id", 0, FLAG_BASE_ID, true, "number that keeps several proxies on one host apart"},
    {"use-dynamic-base-id", 0, FLAG_BASE_ID_DYNAMIC, false, "take a base id that nobody has"},
    {"base-id-path", 0, FLAG_BASE_ID_PATH, true, "write the base id to this file"},
    {"restart-epoch", 0, FLAG_RESTART_EPOCH, true,
     "0 (default) starts; N+1 replaces the process of the same base id with epoch N"},
    {"parent-shutdown-time-s", 0, FLAG_PARENT_SHUTDOWN_TIME, true,
     "how long a replaced process may finish its requests (default 900)"},
    {"skip-hot-restart-on-no-parent", 0, FLAG_SKIP_NO_PARENT, false,
     "start although the process to replace is not there"},
    {"skip-hot-restart-parent-stats", 0, FLAG_SKIP_PARENT_STATS, false,
     "do not add the replaced process's statistics"},
    {"disable-hot-restart", 0, FLAG_DISABLE_HOT_RESTART, false, "this process cannot be replaced"},
    {"hot-restart-version", 0, FLAG_HOT_RESTART_VERSION, false,
     "print which processes can replace each other"},
    {"admin-address-path", 0, FLAG_ADMIN_ADDRESS_PATH, true,
     "write the address of the admin interface to this file"},
    {"wasm-cache-dir", 0, FLAG_CACHE_DIR, true,
     "private directory for compiled plugins (default: the user's cache; none: off)"},
    {"native-plugin-dir", 0, FLAG_NATIVE_DIR, true, "where NAME.so of the null runtime lies (default: none)"},
    {"wasm-compile-memory-max-mib", 0, FLAG_COMPILE_MEMORY, true,
     "memory that compiling one plugin may take (default 2048)"},
    {"wasm-compile-cpu-max-s", 0, FLAG_COMPILE_CPU, true, "processor time of the same (default 120)"},
    {"wasm-compile-time-max-s", 0, FLAG_COMPILE_TIME, true, "time on the clock of the same (default 300)"},
    {"wasm-stream-vms", 0, FLAG_STREAM_VMS, true,
     "VMs of plugins with sharing STREAM that may live at the same time (default 4096)"},
    {"version", 0, FLAG_VERSION, false, "print the version"},
    {"help", 'h', FLAG_HELP, false, "print this"},
    {"file-flush-interval-msec", 0, FLAG_IGNORED, true, NULL},
    {"socket-path", 0, FLAG_IGNORED, true, NULL},
    {"socket-mode", 0, FLAG_IGNORED, true, NULL},
    {"cpuset-threads", 0, FLAG_IGNORED, false, NULL},
};

static void print_usage(struct strbuf *out)
{
    strbuf_append_str(out, "usage: weir -c FILE [options]\n\n");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(flags); i++) {
        const struct flag *f = &flags[i];
        char left[64];
        if (!f->help)
            continue;
        if (f->letter)
            snprintf(left, sizeof(left), "-%c, --%s%s", f->letter, f->name, f->value ? " VALUE" : "");
        else
            snprintf(left, sizeof(left), "    --%s%s", f->name, f->value ? " VALUE" : "");
        strbuf_printf(out, "  %-32s %s\n", left, f->help);
    }
    strbuf_append_str(
        out, "\nFlags and configuration are Envoy's; docs/configuration.md says what is accepted.\n");
}

static const struct flag *find_long(struct slice name)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(flags); i++) {
        if (slice_eq(slice_str(flags[i].name), name))
            return &flags[i];
    }
    return NULL;
}

static const struct flag *find_letter(char letter)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(flags); i++) {
        if (flags[i].letter == letter)
            return &flags[i];
    }
    return NULL;
}

static bool parse_number(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t value;
    if (!slice_parse_u64(slice_str(text), &value) || value < min || value > max)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool parse_component_levels(const char *text, struct server_options *o)
{
    struct slice rest = slice_str(text);
    for (struct slice part; slice_split(&rest, ',', &part);) {
        ptrdiff_t colon = slice_find_char(part, ':');
        enum log_component c;
        enum log_level level;
        if (colon < 0 || !log_component_parse(slice_take(part, (size_t)colon), &c) ||
            !log_level_parse(slice_skip(part, (size_t)colon + 1), &level))
            return false;
        size_t at = 0; /* the last one of a component counts */
        while (at < o->component_levels_count && o->component_levels[at].component != c)
            at++;
        WEIR_ASSERT(at < LOG_COMPONENT_COUNT);
        o->component_levels[at].component = c;
        o->component_levels[at].level = level;
        if (at == o->component_levels_count)
            o->component_levels_count++;
    }
    return true;
}

static bool parse_mode(const char *text, struct server_options *o)
{
    if (strcmp(text, "serve") == 0)
        o->mode = SERVER_SERVE;
    else if (strcmp(text, "validate") == 0)
        o->mode = SERVER_VALIDATE;
    else
        return false;
    return true;
}

static void note_ignored(struct server_options *o, const struct flag *f)
{
    strbuf_printf(&o->ignored, "%s--%s", o->ignored.len ? ", " : "", f->name);
}

/* NULL when taken, else what would have been right. */
static const char *take_flag(const struct flag *f, const char *value, struct server_options *o)
{
    switch (f->id) {
    case FLAG_CONFIG:
        o->config_path = value;
        return NULL;
    case FLAG_CONFIG_YAML:
        o->config_yaml = value;
        return NULL;
    case FLAG_POLICY:
        o->policy_path = value;
        return NULL;
    case FLAG_MODE:
        return parse_mode(value, o) ? NULL : "serve or validate";
    case FLAG_CONCURRENCY:
        return parse_number(value, 1, CONCURRENCY_MAX, &o->concurrency) ? NULL : "a number from 1 to 1024";
    case FLAG_BASE_ID:
        o->base_id_given = true;
        return parse_number(value, 0, UINT32_MAX, &o->base_id) ? NULL : "a number";
    case FLAG_BASE_ID_DYNAMIC:
        o->base_id_dynamic = true;
        return NULL;
    case FLAG_BASE_ID_PATH:
        o->base_id_path = value;
        return NULL;
    case FLAG_RESTART_EPOCH:
        return parse_number(value, 0, UINT32_MAX, &o->restart_epoch) ? NULL : "a number";
    case FLAG_PARENT_SHUTDOWN_TIME:
        return parse_number(value, 0, DRAIN_TIME_MAX, &o->parent_shutdown_time_s) ? NULL
                                                                                  : "a number of seconds";
    case FLAG_DRAIN_STRATEGY:
        o->drain_immediate = strcmp(value, "immediate") == 0;
        return o->drain_immediate || strcmp(value, "gradual") == 0 ? NULL : "gradual or immediate";
    case FLAG_DISABLE_HOT_RESTART:
        o->hot_restart_disabled = true;
        return NULL;
    case FLAG_SKIP_NO_PARENT:
        o->skip_no_parent = true;
        return NULL;
    case FLAG_SKIP_PARENT_STATS:
        o->skip_parent_stats = true;
        return NULL;
    case FLAG_HOT_RESTART_VERSION:
        o->mode = SERVER_PRINT;
        strbuf_append_str(&o->print, HOT_RESTART_VERSION "\n");
        return NULL;
    case FLAG_LOG_LEVEL:
        return log_level_parse(slice_str(value), &o->log_level)
                   ? NULL
                   : "trace, debug, info, warning, error, critical or off";
    case FLAG_COMPONENT_LOG_LEVEL:
        return parse_component_levels(value, o) ? NULL : "COMPONENT:LEVEL,... as wasm:debug,http:trace";
    case FLAG_LOG_PATH:
        o->log_path = value;
        return NULL;
    case FLAG_DRAIN_TIME:
        return parse_number(value, 0, DRAIN_TIME_MAX, &o->drain_time_s) ? NULL : "a number of seconds";
    case FLAG_CACHE_DIR:
        o->cache_dir = value;
        return NULL;
    case FLAG_NATIVE_DIR:
        o->native_dir = value;
        return NULL;
    case FLAG_COMPILE_MEMORY:
        return parse_number(value, COMPILE_MIB_MIN, COMPILE_MIB_MAX, &o->compile_memory_mib)
                   ? NULL
                   : "a number of MiB from 64 to 1048576";
    case FLAG_COMPILE_CPU:
        return parse_number(value, 1, COMPILE_S_MAX, &o->compile_cpu_s) ? NULL : "a number of seconds";
    case FLAG_COMPILE_TIME:
        return parse_number(value, 1, COMPILE_S_MAX, &o->compile_time_s) ? NULL : "a number of seconds";
    case FLAG_STREAM_VMS:
        return parse_number(value, 1, STREAM_VMS_MAX, &o->stream_vms) ? NULL : "a number from 1 to 16384";
    case FLAG_ADMIN_ADDRESS_PATH:
        o->admin_address_path = value;
        return NULL;
    case FLAG_VERSION:
        o->mode = SERVER_PRINT;
        strbuf_append_str(&o->print, "weir " WEIR_VERSION "\n");
        return NULL;
    case FLAG_HELP:
        o->mode = SERVER_PRINT;
        print_usage(&o->print);
        return NULL;
    case FLAG_IGNORED:
        note_ignored(o, f);
        return NULL;
    }
    WEIR_UNREACHABLE();
}

/* Splits "--name=value", "--name", "-c". *value is NULL when it is the next argument. */
static const struct flag *recognise(const char *arg, const char **value)
{
    *value = NULL;
    if (arg[0] != '-' || !arg[1])
        return NULL;
    if (arg[1] != '-') {
        *value = arg[2] ? arg + 2 : NULL;
        return find_letter(arg[1]);
    }
    struct slice name = slice_str(arg + 2);
    ptrdiff_t equals = slice_find_char(name, '=');
    if (equals < 0)
        return find_long(name);
    *value = name.ptr + equals + 1;
    return find_long(slice_take(name, (size_t)equals));
}

static bool check_whole(const struct server_options *o, char error[512])
{
    if (o->base_id_dynamic && (o->base_id_given || o->restart_epoch > 0)) {
        snprintf(error, 512,
                 "--use-dynamic-base-id is for a first process: it goes neither with --base-id nor with "
                 "--restart-epoch");
        return false;
    }
    if (o->hot_restart_disabled && o->restart_epoch > 0) {
        snprintf(error, 512, "--restart-epoch replaces a process: it does not go with --disable-hot-restart");
        return false;
    }
    if (o->mode == SERVER_PRINT || o->config_path || o->config_yaml)
        return true;
    snprintf(error, 512, "no configuration: give -c FILE, or --config-yaml TEXT");
    return false;
}

bool server_options_parse(int argc, char **argv, struct server_options *out, char error[512])
{
    *out = (struct server_options){.drain_time_s = 600, .parent_shutdown_time_s = 900, .log_level = LOG_INFO};
    strbuf_init(&out->ignored, USAGE_BYTES_MAX);
    strbuf_init(&out->print, USAGE_BYTES_MAX);
    for (int i = 1; i < argc; i++) {
        const char *value;
        const struct flag *f = recognise(argv[i], &value);
        if (!f) {
            snprintf(error, 512, "unknown argument \"%.200s\": --help lists the flags", argv[i]);
            return false;
        }
        if (f->value && !value && ++i < argc)
            value = argv[i];
        if (f->value != (value != NULL)) {
            snprintf(error, 512, "--%s %s", f->name, f->value ? "needs a value" : "takes no value");
            return false;
        }
        const char *wanted = take_flag(f, value, out);
        if (wanted) {
            snprintf(error, 512, "--%s: \"%.200s\" is not valid: use %s", f->name, value, wanted);
            return false;
        }
    }
    return check_whole(out, error);
}

void server_options_fini(struct server_options *o)
{
    strbuf_fini(&o->ignored);
    strbuf_fini(&o->print);
}
