/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WASI errno values that the library uses.
 */
#ifndef PROXYWASM_ABI_WASI_H
#define PROXYWASM_ABI_WASI_H

enum wasi_errno {
    WASI_SUCCESS = 0,
    WASI_BADF = 8,
    WASI_NOTDIR_AS_RETURNED = 20,
    WASI_FAULT = 21,
    WASI_INVAL = 28,
    WASI_NOENT = 44,
    WASI_NOSYS = 52,
    WASI_NOTSUP = 58,
    WASI_NOTCAPABLE = 76,
};

#endif
