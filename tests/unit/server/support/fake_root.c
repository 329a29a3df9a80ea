/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory below /tmp with the files that a test wants to be read. Must not be used by two tests at a time
 * in one process.
 */
#include "fake_root.h"

#include "base/assert.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char fake_root[64];

int fake_root_make(void **state)
{
    (void)state;
    snprintf(fake_root, sizeof(fake_root), "/tmp/weir-root-XXXXXX");
    return mkdtemp(fake_root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int fake_root_remove(void **state)
{
    (void)state;
    return nftw(fake_root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fake_root_put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof(full), "%s%s", fake_root, path);
    for (char *p = full + strlen(fake_root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    WEIR_ASSERT(f);
    fputs(text, f);
    fclose(f);
}
