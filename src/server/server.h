/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy process: brings everything up in order, serves, drains, takes everything down. What is configured
 * is decided by the configuration room; this one only knows the order.
 */
#ifndef WEIR_SERVER_SERVER_H
#define WEIR_SERVER_SERVER_H

#include "server/options.h"

/* The first and only argument of a process that compiles one plugin: main hands over to the library at once.
 */
#define SERVER_COMPILE_ARGUMENT "--compile-plugin"

/* The whole life of `weir`; returns the exit status. argc and argv are shown by /server_info. */
int server_main(const struct server_options *options, int argc, char **argv);

#endif
