// SPDX-License-Identifier: Apache-2.0
//! C interface of wasmtime-wizer: a module that exports its state, and a module that starts from a given
//! state. The instance is run by the caller, through the engine's own C interface. See include/weir_snapshot.h.

use std::ffi::{CString, c_char, c_void};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

/// `weir_bytes` of the header: memory of this archive's allocator, given back by `weir_bytes_free`.
#[repr(C)]
pub struct Bytes {
    data: *mut u8,
    len: usize,
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Bytes { data: Box::into_raw(bytes.into_boxed_slice()).cast(), len }
    }
}

/// `struct weir_instance_state` of the header.
#[repr(C)]
pub struct StateOps {
    user: *mut c_void,
    global: unsafe extern "C" fn(*mut c_void, *const c_char, *mut u8),
    memory: unsafe extern "C" fn(*mut c_void, *const c_char, *mut usize) -> *const u8,
}

/// Carries the caller's pointers through a future that never leaves this thread.
struct State<'a>(&'a StateOps);
unsafe impl Send for State<'_> {}

impl InstanceState for State<'_> {
    fn global_get(&mut self, name: &str, kind: ValType) -> impl Future<Output = SnapshotVal> + Send {
        let name = CString::new(name).expect("the names are wizer's own");
        let mut raw = [0u8; 16];
        unsafe { (self.0.global)(self.0.user, name.as_ptr(), raw.as_mut_ptr()) };
        let wide = u128::from_le_bytes(raw);
        std::future::ready(match kind {
            ValType::I32 => SnapshotVal::I32(wide as i32),
            ValType::I64 => SnapshotVal::I64(wide as i64),
            ValType::F32 => SnapshotVal::F32(wide as u32),
            ValType::F64 => SnapshotVal::F64(wide as u64),
            ValType::V128 => SnapshotVal::V128(wide),
            ValType::Ref(_) => unreachable!("instrument() refuses mutable references"),
        })
    }

    fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) -> impl Future<Output = ()> + Send {
        let name = CString::new(name).expect("the names are wizer's own");
        let mut len = 0;
        let data = unsafe { (self.0.memory)(self.0.user, name.as_ptr(), &mut len) };
        contents(if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, len) } });
        std::future::ready(())
    }
}

/// Runs a future whose parts are all ready.
fn finish<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("every part is ready at once"),
    }
}

unsafe fn answer(result: Result<Vec<u8>, String>, out: *mut Bytes) -> bool {
    let ok = result.is_ok();
    let bytes = result.unwrap_or_else(String::into_bytes);
    unsafe { out.write(bytes.into()) };
    ok
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weir_snapshot_instrument(wasm: *const u8, len: usize, out: *mut Bytes) -> bool {
    let wasm = unsafe { std::slice::from_raw_parts(wasm, len) };
    let result = Wizer::new().keep_init_func(true).instrument(wasm);
    unsafe { answer(result.map(|(_, module)| module).map_err(|e| format!("{e:#}")), out) }
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weir_snapshot_take(
    wasm: *const u8,
    len: usize,
    state: *const StateOps,
    out: *mut Bytes,
) -> bool {
    let wasm = unsafe { std::slice::from_raw_parts(wasm, len) };
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    let result = wizer.instrument(wasm).and_then(|(context, _)| {
        let mut state = State(unsafe { &*state });
        finish(wizer.snapshot(&context, &mut state))
    });
    unsafe { answer(result.map_err(|e| format!("{e:#}")), out) }
}

/// # Safety
/// `bytes` was filled by a function of this file and not freed since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weir_bytes_free(bytes: *mut Bytes) {
    let Bytes { data, len } = unsafe { bytes.replace(Bytes { data: std::ptr::null_mut(), len: 0 }) };
    if !data.is_null() {
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, len)) });
    }
}
