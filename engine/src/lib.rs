// SPDX-License-Identifier: Apache-2.0
//! Keeps both C interfaces in the archive. No logic may live here.

pub use rure;
pub use wasmtime_c_api;
