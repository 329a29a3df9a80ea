/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weirctl plugin init: a new project from the templates. It writes all files or none, and never over a file
 * that is there.
 */
#include "base/assert.h"
#include "cli/commands.h"
#include "cli/file.h"
#include "cli/language.h"
#include "cli/picker.h"
#include "cli/project.h"
#include "cli/template.h"

#include <stdlib.h>
#include <unistd.h>

enum { OPTION_LANG, OPTION_NAME };
static const struct command_option options[] = {
    [OPTION_LANG] = {'l', "lang", "LANG", "c, cpp, rust, go, tinygo or assemblyscript (default: it asks)"},
    [OPTION_NAME] = {'n', "name", "NAME", "The plugin's name (default: the directory's)"},
};

static int init_run(struct cli *cli, int argc, char **argv);
const struct command command_init = {
    .name = "init",
    .operands = "[DIR]",
    .summary = "Write a new plugin project that builds and passes its own test",
    .options = options,
    .options_count = WEIR_ARRAY_LEN(options),
    .notes = "DIR is made when it is missing (default: the current one). Files that are there stay: then\n"
             "nothing is written.\n",
    .run = init_run,
};

#define FILES_MAX 32

struct init {
    struct cli *cli;
    const char *directory;
    char name[PROJECT_NAME_MAX + 1];
    const struct language *language;
    const struct template_file *files[FILES_MAX];
    size_t files_count;
};

static bool choose_language(struct init *in)
{
    struct picker_item items[16];
    WEIR_ASSERT(languages_count <= WEIR_ARRAY_LEN(items));
    for (size_t i = 0; i < languages_count; i++)
        items[i] = (struct picker_item){languages[i].id, languages[i].title, languages[i].summary};
    int chosen = picker_choose(in->cli, "Which language?", items, languages_count);
    if (chosen >= 0) {
        in->language = &languages[chosen];
        return true;
    }
    if (chosen == PICKER_CANCELLED)
        cli_error(in->cli, "no language was chosen: give --lang %s", language_list());
    else
        cli_error(in->cli, "that is no language that is known: give %s", language_list());
    return false;
}

/* The directory's own name, also for "." and for one that does not exist yet. */
static bool choose_name(struct init *in, const char *wanted)
{
    char *real = realpath(in->directory, NULL), *end = NULL;
    if (!real && (real = slice_strdup(slice_str(in->directory))))
        end = real + strlen(real);
    while (end && end > real && end[-1] == '/') /* "new/" */
        *--end = '\0';
    const char *base = file_base_name(real ? real : in->directory);
    const char *name = wanted ? wanted : base;
    bool valid = project_name_valid(name);
    if (valid)
        snprintf(in->name, sizeof(in->name), "%.63s", name);
    else
        cli_error(
            in->cli,
            "\"%.100s\" cannot be the plugin's name: give --name with letters, digits, - and _, a letter "
            "first, at most %d",
            name, PROJECT_NAME_MAX);
    free(real);
    return valid;
}

static void choose_files(struct init *in)
{
    for (size_t i = 0; i < template_files_count; i++) {
        const struct template_file *file = &template_files[i];
        if (strcmp(file->set, "common") != 0 && strcmp(file->set, in->language->id) != 0)
            continue;
        WEIR_ASSERT(in->files_count < FILES_MAX);
        in->files[in->files_count++] = file;
    }
}

static bool nothing_in_the_way(struct init *in)
{
    char path[CLI_PATH_BYTES];
    for (size_t i = 0; i < in->files_count; i++) {
        if (!file_join(path, in->directory, in->files[i]->path)) {
            cli_error(in->cli, "the path is too long");
            return false;
        }
        if (file_exists(path)) {
            cli_error(in->cli, "%s is there already and nothing was written: choose another directory", path);
            return false;
        }
    }
    return true;
}

static bool write_file(struct init *in, const struct template_file *file, const struct template_word *words,
                       size_t count)
{
    char path[CLI_PATH_BYTES], parent[CLI_PATH_BYTES];
    struct file_error error;
    struct strbuf content;
    file_join(path, in->directory, file->path);
    snprintf(parent, sizeof(parent), "%.*s", (int)(file_base_name(path) - path), path);
    strbuf_init(&content, CLI_TEXT_BYTES_MAX);
    template_expand(&content, file->content, words, count);
    bool done = (!*parent || file_make_directory(parent, &error)) &&
                file_write(path, strbuf_slice(&content), false, &error);
    strbuf_fini(&content);
    if (!done)
        cli_error(in->cli, "%s", error.text);
    return done;
}

static bool write_all(struct init *in)
{
    char ident[PROJECT_NAME_MAX + 1];
    snprintf(ident, sizeof(ident), "%s", in->name);
    for (char *c = ident; *c; c++)
        if (*c == '-')
            *c = '_';
    const struct template_word words[] = {{"NAME", in->name},
                                          {"IDENT", ident},
                                          {"LANGUAGE", in->language->title},
                                          {"SETUP", in->language->setup},
                                          {"SOURCE", in->language->source}};
    for (size_t i = 0; i < in->files_count; i++)
        if (!write_file(in, in->files[i], words, WEIR_ARRAY_LEN(words)))
            return false;
    return true;
}

static void report(const struct init *in)
{
    struct cli *cli = in->cli;
    json_t *files = json_array();
    for (size_t i = 0; i < in->files_count; i++)
        json_array_append_new(files, json_string(in->files[i]->path));
    if (cli->json) {
        cli_print_json(cli, json_pack("{s:b, s:o, s:s, s:s, s:o}", "ok", 1, "directory",
                                      cli_json_string(slice_str(in->directory)), "name", in->name, "language",
                                      in->language->id, "files", files));
        return;
    }
    fprintf(cli->out, "%s: a plugin in %s, in %s\n", in->name, in->language->title, in->directory);
    for (size_t i = 0; i < in->files_count; i++)
        fprintf(cli->out, "  %s\n", in->files[i]->path);
    fprintf(cli->out, "\nNext: weirctl plugin test %s\n", in->directory);
    json_decref(files);
}

static int init_run(struct cli *cli, int argc, char **argv)
{
    struct command_parse p;
    struct init in = {.cli = cli, .directory = "."};
    const char *name = NULL;
    command_parse_init(&p, cli, &command_init, argc, argv);
    for (int option; (option = command_next(&p)) != COMMAND_END;) {
        if (option == COMMAND_STOP)
            return p.status;
        if (option == OPTION_NAME)
            name = p.value;
        else if (!(in.language = language_find(p.value)))
            return command_bad_value(&p, option, language_list());
    }
    if (!command_operands(&p, 0, 1))
        return p.status;
    if (p.operands_count == 1)
        in.directory = p.operands[0];
    if (!choose_name(&in, name) || (!in.language && !choose_language(&in)))
        return CLI_USAGE;
    choose_files(&in);
    if (!nothing_in_the_way(&in))
        return CLI_USAGE;
    if (!write_all(&in))
        return CLI_FAILED;
    report(&in);
    return CLI_OK;
}
