/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: Envoy's flags, and the few of Weir's own.
 */
#ifndef WEIR_SERVER_OPTIONS_H
#define WEIR_SERVER_OPTIONS_H

#include "base/strbuf.h"
#include "telemetry/log.h"

enum server_mode {
    SERVER_SERVE,
    SERVER_VALIDATE,
    SERVER_PRINT /* --help, --version: the text is in `print` */
};

struct server_options {
    enum server_mode mode;
    const char *config_path; /* -c; borrowed from argv, as all strings here */
    const char *config_yaml;
    const char *policy_path;
    const char *log_path;
    const char *admin_address_path; /* the admin address is written there once bound */
    const char *cache_dir;          /* compiled plugins; NULL: the default place */
    const char *native_dir;         /* plugins of the null runtime */
    uint32_t compile_memory_mib;    /* limits of a compiler's process; 0: the default */
    uint32_t compile_cpu_s;
    uint32_t compile_time_s;
    uint32_t stream_vms;   /* 0: the default */
    uint32_t concurrency;  /* 0: not given */
    uint32_t drain_time_s; /* 600, as Envoy; stopping takes 30 s at most */
    /* Hot restart (server/hot_restart.h). */
    uint32_t base_id;
    uint32_t restart_epoch;
    uint32_t parent_shutdown_time_s; /* 900, as Envoy */
    const char *base_id_path;        /* the base id is written there */
    bool base_id_given;
    bool base_id_dynamic;
    bool hot_restart_disabled;
    bool skip_no_parent;
    bool skip_parent_stats;
    bool drain_immediate;
    enum log_level log_level;
    struct {
        enum log_component component;
        enum log_level level;
    } component_levels[LOG_COMPONENT_COUNT];
    size_t component_levels_count;
    struct strbuf ignored; /* flags of Envoy that are accepted without effect, ", "-separated */
    struct strbuf print;
};

/* false: *error holds one line that says what is wrong and what to do. Fini in both cases. */
bool server_options_parse(int argc, char **argv, struct server_options *out, char error[512]);
void server_options_fini(struct server_options *o);

#endif
