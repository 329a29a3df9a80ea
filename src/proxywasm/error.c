/* SPDX-License-Identifier: Apache-2.0 */
/*
 * English phrases for the library's error codes. Nothing else.
 */
#include <proxywasm/types.h>

const char *pw_error_str(int error)
{
    switch ((enum pw_error)error) {
    case PW_OK:
        return "success";
    case PW_ERR_INVALID_ARGUMENT:
        return "invalid argument";
    case PW_ERR_NOT_FOUND:
        return "not found";
    case PW_ERR_LIMIT:
        return "a limit would be passed";
    case PW_ERR_IO:
        return "input or output failed";
    case PW_ERR_BAD_MODULE:
        return "not a valid Proxy-Wasm module";
    case PW_ERR_MISSING_IMPORT:
        return "the module imports an unknown function";
    case PW_ERR_BAD_EXPORT:
        return "an export of the module is missing or has the wrong type";
    case PW_ERR_START_FAILED:
        return "the plugin refused to start";
    case PW_ERR_CONFIGURE_FAILED:
        return "the plugin refused its configuration";
    case PW_ERR_FATAL:
        return "fatal error";
    case PW_ERR_NOMEM:
        return "out of memory";
    case PW_ERR_TRAP:
        return "the plugin trapped";
    case PW_ERR_TIMEOUT:
        return "the plugin passed its time limit";
    case PW_ERR_VM_FAILED:
        return "the VM has failed before";
    }
    return "unknown error";
}
