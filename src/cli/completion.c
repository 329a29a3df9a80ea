/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion for bash, made from the tables of the commands. Operands are files: bash knows these.
 */
#include "cli/command.h"

void completion_print_bash(FILE *out)
{
    fputs("# weirctl: source <(weirctl completion bash)\n"
          "_weirctl() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} words=\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        words='plugin completion --help --version'\n"
          "    elif [[ ${COMP_WORDS[1]} == completion ]]; then\n"
          "        words=bash\n"
          "    elif ((COMP_CWORD == 2)); then\n"
          "        words='",
          out);
    for (size_t i = 0; i < command_plugin_count; i++)
        fprintf(out, "%s%s", i ? " " : "", command_plugin[i]->name);
    fputs("'\n    elif [[ $word == -* ]]; then\n        case ${COMP_WORDS[2]} in\n", out);
    for (size_t i = 0; i < command_plugin_count; i++) {
        const struct command *c = command_plugin[i];
        fprintf(out, "        %s) words='", c->name);
        for (size_t o = 0; o < c->options_count; o++)
            fprintf(out, "--%s ", c->options[o].name);
        fputs("--json --help' ;;\n", out);
    }
    fputs("        esac\n    fi\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
          "}\n"
          "complete -o default -F _weirctl weirctl\n",
          out);
}
