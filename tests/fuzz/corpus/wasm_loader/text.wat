(module (memory (export "x") 1) (table 10 funcref) (global (mut i64) (i64.const 1)) (data (i32.const 0) "a")
 (func (export "proxy_abi_version_0_2_0")) (func (export "malloc") (param i32) (result i32) (memory.grow (local.get 0)))
 (func (export "_initialize") (i32.store (i32.const -1) (i32.const 1)))
 (func (export "_start") unreachable))
