// SPDX-License-Identifier: Apache-2.0
//! Keeps the C interfaces of the crates in the archive, and gives one to the crates that have none. No logic
//! may live here.

pub use aws_lc_sys;
pub use rure;
pub use wasmtime_c_api;

mod pool;
mod snapshot;

use sha2::{Digest, Sha256};

/// SHA-256 of `len` bytes at `data` into the 32 bytes at `out`.
///
/// # Safety
/// `data` is readable for `len` bytes (it may be anything when `len` is 0), `out` writable for 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weir_sha256(data: *const u8, len: usize, out: *mut u8) {
    let bytes: &[u8] = if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, len) } };
    let digest = Sha256::digest(bytes);
    unsafe { std::ptr::copy_nonoverlapping(digest.as_ptr(), out, 32) };
}
