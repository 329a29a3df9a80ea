/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the finish step of a configuration resource reports what is wrong with it. The resource goes on
 * checking after an error, so that one run names them all.
 */
#ifndef WEIR_BASE_BUILD_ERROR_H
#define WEIR_BASE_BUILD_ERROR_H

/* `path` is the field's path from the top of the resource's Envoy message, "" for the resource itself:
 * "virtual_hosts[0].routes[2].match.safe_regex". Both strings live only during the call. */
typedef void (*build_error_fn)(void *arg, const char *path, const char *text);

struct build_errors {
    build_error_fn report;
    void *arg;
    unsigned count; /* of errors reported; the caller starts it at 0 */
};

void build_error(struct build_errors *e, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Bytes of a field path, with its NUL; what is longer is cut. */
#define BUILD_PATH_BYTES_MAX 256u

/* Writes PATH.FIELD, or FIELD when the path is empty; returns dst. */
const char *build_path(char dst[BUILD_PATH_BYTES_MAX], const char *path, const char *field, ...)
    __attribute__((format(printf, 3, 4)));

#endif
