// SPDX-License-Identifier: Apache-2.0
//! The one setting of the engine's pool that its own C interface lacks. See include/weir_pool.h.

use wasmtime_c_api::wasmtime::{Enabled, PoolingAllocationConfig};

/// # Safety
/// `pool` is a `wasmtime_pooling_allocation_config_t`, which is declared as a C struct whose only member is this one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weir_pool_reset_written_pages(pool: *mut PoolingAllocationConfig) {
    unsafe { &mut *pool }.pagemap_scan(Enabled::Auto);
}
