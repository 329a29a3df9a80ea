/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding out what a project is, by the files in it. It must never run anything.
 */
#include "cli/project.h"

#include "base/assert.h"
#include "cli/file.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool project_name_valid(const char *name)
{
    size_t len = strlen(name);
    bool letter = (name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z');
    return letter && len <= PROJECT_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

static bool has_file(const struct project *p, const char *name)
{
    char path[CLI_PATH_BYTES];
    return file_join(path, p->directory, name) && file_exists(path);
}

static bool file_contains(const struct project *p, const char *name, const char *text)
{
    char path[CLI_PATH_BYTES];
    struct file_error error;
    struct strbuf content;
    if (!file_join(path, p->directory, name) || !file_read(path, CLI_FILE_BYTES_MAX, &content, &error))
        return false;
    bool found = slice_find(strbuf_slice(&content), slice_str(text)) >= 0;
    strbuf_fini(&content);
    return found;
}

static bool has_ending(const char *name, const char *const *endings)
{
    for (; *endings; endings++)
        if (slice_ends_with(slice_str(name), slice_str(*endings)))
            return true;
    return false;
}

static size_t list_sources(const char *directory, const char *const *endings, char **out, size_t max)
{
    struct dirent **entries;
    size_t found = 0;
    int n = scandir(directory, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char path[CLI_PATH_BYTES];
        if (has_ending(entries[i]->d_name, endings) && file_join(path, directory, entries[i]->d_name)) {
            if (found < max)
                out[found] = slice_strdup(slice_str(path));
            found++;
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return found;
}

size_t project_sources(const struct project *project, const char *const *endings, char **out, size_t max)
{
    char directory[CLI_PATH_BYTES];
    size_t found = list_sources(project->directory, endings, out, max);
    if (found < max && file_join(directory, project->directory, "src"))
        found += list_sources(directory, endings, out + found, max - found);
    return found;
}

static const struct language *detect(const struct project *p)
{
    static const char *const cpp[] = {".cc", ".cpp", ".cxx", NULL}, *const c[] = {".c", NULL};
    if (has_file(p, "Cargo.toml"))
        return language_find("rust");
    if (has_file(p, "go.mod"))
        return language_find(file_contains(p, "go.mod", "tetratelabs/proxy-wasm-go-sdk") ? "tinygo" : "go");
    if (has_file(p, "package.json"))
        return language_find("assemblyscript");
    if (project_sources(p, cpp, NULL, 0) > 0)
        return language_find("cpp");
    return project_sources(p, c, NULL, 0) > 0 ? language_find("c") : NULL;
}

/* runtime-config.json: {"config": {"rootIds": ["NAME"]}} */
static void read_name(struct project *p)
{
    char path[CLI_PATH_BYTES];
    const char *base = file_base_name(p->directory);
    json_t *config =
        file_join(path, p->directory, "runtime-config.json") ? json_load_file(path, 0, NULL) : NULL;
    const json_t *ids = json_object_get(json_object_get(config, "config"), "rootIds");
    const char *id = json_string_value(json_array_get(ids, 0));
    if (id && project_name_valid(id))
        snprintf(p->name, sizeof(p->name), "%s", id);
    else
        snprintf(p->name, sizeof(p->name), "%.63s", project_name_valid(base) ? base : "plugin");
    json_decref(config);
}

bool project_open(struct project *out, const char *directory, const struct language *language,
                  struct project_error *error)
{
    char *real = realpath(directory, NULL);
    *out = (struct project){0};
    if (!real || !file_is_directory(real) || strlen(real) >= sizeof(out->directory)) {
        snprintf(error->text, sizeof(error->text), "%.300s is no directory: %s", directory,
                 real ? "give the project's directory" : strerror(errno));
        free(real);
        return false;
    }
    snprintf(out->directory, sizeof(out->directory), "%s", real);
    free(real);
    out->language = language ? language : detect(out);
    if (!out->language) {
        snprintf(
            error->text, sizeof(error->text),
            "%.300s holds no plugin project: no Cargo.toml, go.mod, package.json, .cc or .c file; weirctl "
            "plugin init makes one",
            directory);
        return false;
    }
    read_name(out);
    return true;
}
