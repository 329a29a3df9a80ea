/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of a private mapping hold something else than what was mapped, as the kernel knows it. Whoever
 * asks again and again for the same mapping pays for the kernel's look only after a page fault: a page that
 * was not written before cannot be written without one.
 */
#ifndef PROXYWASM_ENGINE_WRITTEN_PAGES_H
#define PROXYWASM_ENGINE_WRITTEN_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With more it is cheaper to give the pages back: 1 MiB. */
#define WRITTEN_PAGES_MAX 256u

struct page_run {
    uint32_t first;
    uint32_t count;
};

/* Zeroed before the first look. */
struct written_pages {
    /* When the list was true: page faults that the thread had had. */
    uint64_t faults;
    int thread;
    uint32_t count;
    struct page_run runs[WRITTEN_PAGES_MAX];
};

/* What written_pages_look needs, for the whole process; -1 where the kernel cannot tell, or tells nonsense.
 * close() ends it. */
int written_pages_open(void);

/*
 * Fills *w with the pages of the mapping that were written. Since the last look only the calling thread, or
 * the kernel for it, has written; no page of the mapping is huge. False: more than WRITTEN_PAGES_MAX, or the
 * kernel did not say.
 */
bool written_pages_look(struct written_pages *w, int pagemap, const char *base, size_t len);

#endif
