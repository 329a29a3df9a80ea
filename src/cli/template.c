/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expanding templates: plain replacement. It must never grow into a language of its own.
 */
#include "cli/template.h"

/* The word that stands behind the '@' at the front of `rest`, or NULL. */
static const struct template_word *find_word(struct slice rest, const struct template_word *words,
                                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct slice name = slice_str(words[i].name);
        if (slice_starts_with(slice_skip(rest, 1), name) && rest.len > name.len + 1 &&
            rest.ptr[name.len + 1] == '@')
            return &words[i];
    }
    return NULL;
}

void template_expand(struct strbuf *out, struct slice content, const struct template_word *words,
                     size_t count)
{
    while (content.len > 0) {
        ptrdiff_t at = slice_find_char(content, '@');
        if (at < 0) {
            strbuf_append(out, content);
            return;
        }
        strbuf_append(out, slice_take(content, (size_t)at));
        content = slice_skip(content, (size_t)at);
        const struct template_word *word = find_word(content, words, count);
        if (word) {
            strbuf_append_str(out, word->value);
            content = slice_skip(content, strlen(word->name) + 2);
        } else {
            strbuf_append_char(out, '@');
            content = slice_skip(content, 1);
        }
    }
}
