/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picker. On a terminal it reads single keys in raw mode; signals stay off meanwhile, so that Ctrl-C
 * cannot leave the terminal raw.
 */
#include "cli/picker.h"

#include "base/slice.h"
#include "cli/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

enum key { KEY_NONE, KEY_UP, KEY_DOWN, KEY_ENTER, KEY_CANCEL, KEY_NUMBER };

static int read_byte(void)
{
    unsigned char byte;
    ssize_t n;
    do {
        n = read(STDIN_FILENO, &byte, 1);
    } while (n < 0 && errno == EINTR);
    return n == 1 ? byte : -1;
}

/* Arrows are ESC [ A and ESC [ B (or ESC O A in application mode). */
static enum key read_arrow(void)
{
    int second = read_byte();
    if (second != '[' && second != 'O')
        return second < 0 ? KEY_CANCEL : KEY_NONE;
    int third = read_byte();
    return third == 'A' ? KEY_UP : third == 'B' ? KEY_DOWN : third < 0 ? KEY_CANCEL : KEY_NONE;
}

static enum key read_key(int *number)
{
    int byte = read_byte();
    switch (byte) {
    case -1:
    case 3: /* Ctrl-C */
    case 4: /* Ctrl-D */
    case 'q':
        return KEY_CANCEL;
    case '\r':
    case '\n':
        return KEY_ENTER;
    case 'k':
        return KEY_UP;
    case 'j':
        return KEY_DOWN;
    case 27:
        return read_arrow();
    default:
        *number = byte - '1';
        return byte >= '1' && byte <= '9' ? KEY_NUMBER : KEY_NONE;
    }
}

static void draw(struct cli *cli, const struct picker_item *items, size_t count, size_t at, bool again)
{
    if (again)
        fprintf(cli->err, "\x1b[%zuA", count);
    for (size_t i = 0; i < count; i++)
        fprintf(cli->err, "\r\x1b[K%s %zu. %-15s %s\r\n", i == at ? ">" : " ", i + 1, items[i].title,
                items[i].summary);
    fflush(cli->err);
}

static int pick(struct cli *cli, const struct picker_item *items, size_t count)
{
    size_t at = 0;
    draw(cli, items, count, at, false);
    for (;;) {
        int number = 0;
        switch (read_key(&number)) {
        case KEY_UP:
            at = (at + count - 1) % count;
            break;
        case KEY_DOWN:
            at = (at + 1) % count;
            break;
        case KEY_NUMBER:
            if (number >= (int)count)
                break;
            draw(cli, items, count, (size_t)number, true);
            return number;
        case KEY_ENTER:
            return (int)at;
        case KEY_CANCEL:
            return PICKER_CANCELLED;
        case KEY_NONE:
            break;
        }
        draw(cli, items, count, at, true);
    }
}

static int pick_on_terminal(struct cli *cli, const char *question, const struct picker_item *items,
                            size_t count)
{
    struct termios before, raw;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return PICKER_CANCELLED;
    raw = before;
    cfmakeraw(&raw);
    fprintf(cli->err, "%s (arrow keys or a number, Enter; q ends)\n", question);
    fflush(cli->err);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    int chosen = pick(cli, items, count);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    return chosen;
}

static int pick_by_line(struct cli *cli, const char *question, const struct picker_item *items, size_t count)
{
    char *line = NULL;
    size_t cap = 0;
    uint64_t number;
    int chosen = PICKER_INVALID;
    for (size_t i = 0; i < count; i++)
        fprintf(cli->err, "%zu. %-15s %s\n", i + 1, items[i].id, items[i].summary);
    fprintf(cli->err, "%s (name or number): ", question);
    fflush(cli->err);
    ssize_t len = getline(&line, &cap, stdin);
    fputc('\n', cli->err);
    struct slice answer = slice_of(line, len > 0 ? (size_t)len : 0);
    while (answer.len > 0 && (answer.ptr[answer.len - 1] == '\n' || answer.ptr[answer.len - 1] == '\r'))
        answer.len--;
    answer = slice_trim(answer);
    if (slice_parse_u64(answer, &number) && number >= 1 && number <= count)
        chosen = (int)number - 1;
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(answer, slice_str(items[i].id)) ||
            slice_eq_nocase(answer, slice_str(items[i].title)))
            chosen = (int)i;
    free(line);
    return len < 0 ? PICKER_CANCELLED : chosen;
}

int picker_choose(struct cli *cli, const char *question, const struct picker_item *items, size_t count)
{
    if (isatty(STDIN_FILENO) && isatty(fileno(cli->err)))
        return pick_on_terminal(cli, question, items, count);
    return pick_by_line(cli, question, items, count);
}
