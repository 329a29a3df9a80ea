/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wasm_enums.h: what callbacks return and are told. The numbers are those of the Proxy-Wasm ABI and
 * must never differ from it; the names are those of the reference C++ SDK.
 */
#pragma once

#include <cstdint>

enum class LogLevel : int32_t {
    trace = 0,
    debug = 1,
    info = 2,
    warn = 3,
    error = 4,
    critical = 5,
    Max = critical,
};

// TCP callbacks.
enum class FilterStatus : int32_t {
    Continue = 0,
    StopIteration = 1, // data stays in the connection's buffer until continueDownstream
};

// Callbacks for headers. A host reads StopIteration as StopAllIterationAndWatermark unless its plugin
// configuration has allow_on_headers_stop_iteration.
enum class FilterHeadersStatus : int32_t {
    Continue = 0,
    StopIteration = 1,
    ContinueAndEndStream = 2,
    StopAllIterationAndBuffer = 3,
    StopAllIterationAndWatermark = 4,
};

enum class FilterMetadataStatus : int32_t {
    Continue = 0,
};

enum class FilterTrailersStatus : int32_t {
    Continue = 0,
    StopIteration = 1,
};

// Callbacks for bodies.
enum class FilterDataStatus : int32_t {
    Continue = 0,
    StopIterationAndBuffer = 1,    // the body grows; the next callback sees all of it
    StopIterationAndWatermark = 2, // the sender is slowed down at the buffer limit
    StopIterationNoBuffer = 3,
};

enum class GrpcStatus : int32_t {
    InvalidCode = -1, // "none" in sendLocalResponse
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
    MaximumValid = Unauthenticated,
};

enum class MetricType : int32_t {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
    Max = Histogram,
};

// Who closed a connection.
enum class CloseType : int32_t {
    Unknown = 0,
    Local = 1, // the proxy
    Remote = 2,
};
