/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An embedder's side of callouts for tests: holds what was started, notes what was asked, delivers nothing by
 * itself.
 */
#ifndef TEST_FAKE_CALLOUTS_H
#define TEST_FAKE_CALLOUTS_H

#include <proxywasm/proxywasm.h>

#define FAKE_CALLOUTS 16

struct fake_callouts {
    struct pw_callout *open[FAKE_CALLOUTS]; /* in the order of their start */
    size_t count;
    enum pw_status answer; /* to what is started and sent from now on */
    unsigned started;
    unsigned cancels;
    unsigned sends;
    bool end;        /* of the last send */
    char asked[512]; /* the last start or send, in words */
};

/* For a context that is a struct guest. */
extern const struct pw_callout_ops fake_callout_ops;

#endif
