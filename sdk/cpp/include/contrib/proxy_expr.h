/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contrib/proxy_expr.h: CEL expressions by the host's foreign functions expr_create, expr_evaluate and
 * expr_delete. A host without them answers NotFound, and a plugin must be ready for that.
 */
#pragma once

#include "../proxy_wasm_intrinsics.h"

inline WasmResult createExpression(std::string_view expr, uint32_t *token)
{
    WasmResult result;
    const auto answer = callForeignFunction("expr_create", expr, &result);
    if (answer && (*answer)->size() == sizeof *token)
        *token = weir_sdk::load<uint32_t>((*answer)->data());
    return result;
}

inline std::optional<WasmDataPtr> exprEvaluate(uint32_t token)
{
    return callForeignFunction("expr_evaluate", {reinterpret_cast<const char *>(&token), sizeof token});
}

inline WasmResult exprDelete(uint32_t token)
{
    WasmResult result;
    callForeignFunction("expr_delete", {reinterpret_cast<const char *>(&token), sizeof token}, &result);
    return result;
}

// A number, a bool or a std::string; false when the value has another size.
template <typename T> inline bool evaluateExpression(uint32_t token, T *out)
{
    const auto data = exprEvaluate(token);
    if (!data)
        return false;
    if constexpr (std::is_same_v<T, std::string>) {
        out->assign((*data)->view());
    } else {
        if ((*data)->size() != sizeof(T))
            return false;
        memcpy(out, (*data)->data(), sizeof(T));
    }
    return true;
}

// A protobuf message; null leaves `out` as it is.
template <typename T> inline bool evaluateMessage(uint32_t token, T *out)
{
    const auto data = exprEvaluate(token);
    if (!data)
        return false;
    return (*data)->size() == 0 || out->ParseFromArray((*data)->data(), static_cast<int>((*data)->size()));
}
