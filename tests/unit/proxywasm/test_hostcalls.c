/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the tests of each host function: hostcalls/NAME.c defines test_NAME. The list is the library's own
 * table, so a host function without a test file does not link.
 */
#include "guest.h"
#include "proxywasm/abi/hostcalls.h"

#define PROXY_X(name, params, abi, where) int test_##name(void);
PROXY_FUNCTIONS(PROXY_X)
#undef PROXY_X
int test_wasi(void);
int test_wasi_files(void);

int main(void)
{
    int failed = 0;
#define PROXY_X(name, params, abi, where) failed += test_##name();
    PROXY_FUNCTIONS(PROXY_X)
#undef PROXY_X
    failed += test_wasi();
    failed += test_wasi_files();
    return failed;
}
