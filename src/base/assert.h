/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions that stay on in release builds. They state what the program's own code guarantees; input from a
 * peer, a plugin or a file must never reach one: that is an error, answered with an error.
 */
#ifndef WEIR_BASE_ASSERT_H
#define WEIR_BASE_ASSERT_H

#define WEIR_LIKELY(x)   __builtin_expect(!!(x), 1)
#define WEIR_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Runs for each request, or each plugin of each request: such functions are laid beside each other, so that
 * they do not push each other out of the instruction cache. */
#define WEIR_HOT __attribute__((hot))

/* Prints the failed condition and its place to stderr, then aborts. */
__attribute__((noreturn, cold)) void weir_assert_failed(const char *condition, const char *file, int line,
                                                        const char *function);

#define WEIR_ASSERT(x)                                                                                       \
    do {                                                                                                     \
        if (WEIR_UNLIKELY(!(x)))                                                                             \
            weir_assert_failed(#x, __FILE__, __LINE__, __func__);                                            \
    } while (0)

/* A branch that correct code cannot take. */
#define WEIR_UNREACHABLE() weir_assert_failed("unreachable", __FILE__, __LINE__, __func__)

/* Recovers the object that embeds `member` from a pointer to that member. */
#define WEIR_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - __builtin_offsetof(type, member)))

#define WEIR_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
