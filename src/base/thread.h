/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads beside the main one. Signals to the process are main's: a thread that could take them would end the
 * process by one that comes when main has just put its handlers away. Signals that a thread causes itself
 * (memory faults of guests) are not touched.
 */
#ifndef WEIR_BASE_THREAD_H
#define WEIR_BASE_THREAD_H

#include <pthread.h>
#include <signal.h>

/* As pthread_create, with default attributes. */
static inline int thread_create(pthread_t *thread, void *(*main)(void *arg), void *arg)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    sigset_t process, before;
    sigemptyset(&process);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        sigaddset(&process, numbers[i]);
    pthread_sigmask(SIG_BLOCK, &process, &before);
    int error = pthread_create(thread, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

#endif
