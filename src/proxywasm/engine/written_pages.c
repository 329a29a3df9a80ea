/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PAGEMAP_SCAN and the thread's count of page faults. It must never call a page unwritten that may not be:
 * in doubt it says that it does not know.
 */
#include "proxywasm/engine/written_pages.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef RUSAGE_THREAD
#define RUSAGE_THREAD 1
#endif

/* linux/fs.h since 6.7, which is newer than the headers of many that run it. */
struct scan_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct scan_order {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t regions;
    uint64_t regions_len;
    uint64_t pages_max;
    uint64_t inverted;
    uint64_t mask;
    uint64_t any_mask;
    uint64_t return_mask;
};

#define SCAN_PAGES   _IOWR('f', 16, struct scan_order)
#define PAGE_WRITTEN (UINT64_C(1) << 1)
#define PAGE_FILE    (UINT64_C(1) << 2)
#define PAGE_PRESENT (UINT64_C(1) << 3)
#define PAGE_SWAPPED (UINT64_C(1) << 4)
#define PAGE_ZERO    (UINT64_C(1) << 5)

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int thread_id(void)
{
    static _Thread_local int id;

    if (id == 0)
        id = (int)gettid();
    return id;
}

static bool thread_faults(uint64_t *out)
{
    struct rusage usage;

    if (getrusage(RUSAGE_THREAD, &usage) != 0)
        return false;
    *out = (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
    return true;
}

/* Pages that are the process's own: there or swapped out, neither the file's nor the kernel's page of zeros.
 */
static bool scan(struct written_pages *w, int pagemap, const char *base, size_t len)
{
    struct scan_region regions[WRITTEN_PAGES_MAX + 1];
    const size_t page = page_bytes();
    struct scan_order order = {
        .size = sizeof(order),
        .start = (uint64_t)(uintptr_t)base,
        .end = (uint64_t)(uintptr_t)base + len,
        .regions = (uint64_t)(uintptr_t)regions,
        .regions_len = WRITTEN_PAGES_MAX + 1,
        .pages_max = WRITTEN_PAGES_MAX + 1,
        .inverted = PAGE_FILE | PAGE_ZERO,
        .mask = PAGE_WRITTEN | PAGE_FILE | PAGE_ZERO,
        .any_mask = PAGE_PRESENT | PAGE_SWAPPED,
    };
    uint64_t pages = 0;
    int found = ioctl(pagemap, SCAN_PAGES, &order);

    if (found < 0 || found > (int)WRITTEN_PAGES_MAX || order.walk_end != order.end)
        return false;
    for (int i = 0; i < found; i++) {
        struct page_run run = {(uint32_t)((regions[i].start - order.start) / page),
                               (uint32_t)((regions[i].end - regions[i].start) / page)};
        pages += run.count;
        w->runs[i] = run;
    }
    w->count = (uint32_t)found;
    return pages <= WRITTEN_PAGES_MAX;
}

bool written_pages_look(struct written_pages *w, int pagemap, const char *base, size_t len)
{
    uint64_t faults;

    if (!thread_faults(&faults))
        return false;
    if (w->thread == thread_id() && w->faults == faults)
        return true;
    w->thread = 0;
    if (!scan(w, pagemap, base, len))
        return false;
    w->faults = faults;
    w->thread = thread_id();
    return true;
}

/* Does this kernel see, and count, the first write to a page? Some that only look like Linux do not. */
static bool kernel_tells(int pagemap)
{
    const size_t page = page_bytes();
    struct written_pages w = {.thread = 0};
    char *probe = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool ok;

    if (probe == MAP_FAILED)
        return false;
    ok = madvise(probe, 4 * page, MADV_NOHUGEPAGE) == 0 && written_pages_look(&w, pagemap, probe, 4 * page) &&
         w.count == 0;
    if (ok) {
        *(volatile char *)(probe + page) = 1;
        ok = written_pages_look(&w, pagemap, probe, 4 * page) && w.count == 1 && w.runs[0].first == 1 &&
             w.runs[0].count == 1;
    }
    munmap(probe, 4 * page);
    return ok;
}

int written_pages_open(void)
{
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (pagemap >= 0 && !kernel_tells(pagemap)) {
        close(pagemap);
        return -1;
    }
    return pagemap;
}
