# SPDX-License-Identifier: Apache-2.0
#
# weir_engine: the Rust archive (WebAssembly engine, regular expressions) as an imported library.
# One archive can serve many build directories: WEIR_ENGINE_DIR says where it is. It must not run
# cargo when the archive is up to date, and must not know what uses it.

set(_engine_default "${CMAKE_BINARY_DIR}/engine")
if(DEFINED ENV{WEIR_ENGINE_DIR})
    set(_engine_default "$ENV{WEIR_ENGINE_DIR}")
endif()
set(WEIR_ENGINE_DIR "${_engine_default}" CACHE PATH "Where the engine archive is or will be built")

set(_engine_lib "${WEIR_ENGINE_DIR}/lib/libweir_engine.a")
set(_engine_stamp "${CMAKE_BINARY_DIR}/engine.stamp")
file(GLOB_RECURSE _engine_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/engine/src/*.rs")

add_custom_command(
    OUTPUT "${_engine_stamp}"
    BYPRODUCTS "${_engine_lib}"
    COMMAND python3 "${CMAKE_SOURCE_DIR}/tools/build_engine.py" --out "${WEIR_ENGINE_DIR}"
            --stamp "${_engine_stamp}"
    DEPENDS "${CMAKE_SOURCE_DIR}/engine/Cargo.toml" "${CMAKE_SOURCE_DIR}/engine/Cargo.lock"
            "${CMAKE_SOURCE_DIR}/tools/build_engine.py" ${_engine_sources}
    COMMENT "engine archive"
    USES_TERMINAL VERBATIM)
add_custom_target(weir_engine_build DEPENDS "${_engine_stamp}")

file(MAKE_DIRECTORY "${WEIR_ENGINE_DIR}/include")
add_library(weir_engine STATIC IMPORTED GLOBAL)
set_target_properties(weir_engine PROPERTIES
    IMPORTED_LOCATION "${_engine_lib}"
    INTERFACE_INCLUDE_DIRECTORIES "${WEIR_ENGINE_DIR}/include"
    INTERFACE_LINK_LIBRARIES "m;dl;rt;Threads::Threads")
add_dependencies(weir_engine weir_engine_build)
