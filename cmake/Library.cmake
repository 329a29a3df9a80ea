# SPDX-License-Identifier: Apache-2.0
#
# lib/libproxywasm.a: the embeddable library as other programs get it. Its objects are the
# proxywasm and base rooms, joined into one so that only pw_* stays a global name: an embedder
# may have its own arena_create. In-tree code links weir_proxywasm instead.

if(TARGET weir_proxywasm)
    set(_lib_dir "${CMAKE_BINARY_DIR}/lib")
    set(_joined "${CMAKE_BINARY_DIR}/proxywasm.o")
    file(MAKE_DIRECTORY "${_lib_dir}")
    set(_objects "$<TARGET_OBJECTS:weir_proxywasm>")
    if(TARGET weir_base)
        list(APPEND _objects "$<TARGET_OBJECTS:weir_base>")
    endif()
    add_custom_command(
        OUTPUT "${_lib_dir}/libproxywasm.a"
        BYPRODUCTS "${_joined}"
        COMMAND ${CMAKE_LINKER} -r -o "${_joined}" ${_objects}
        COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=pw_* "--remove-section=.gnu.lto_*" "${_joined}"
        COMMAND ${CMAKE_COMMAND} -E rm -f "${_lib_dir}/libproxywasm.a"
        COMMAND ${CMAKE_AR} rcsD "${_lib_dir}/libproxywasm.a" "${_joined}"
        DEPENDS weir_proxywasm ${_objects}
        COMMENT "lib/libproxywasm.a"
        COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(libproxywasm ALL DEPENDS "${_lib_dir}/libproxywasm.a")
    add_dependencies(libproxywasm weir_engine_build)
endif()

configure_file("${CMAKE_SOURCE_DIR}/cmake/proxywasm.pc.in" "${CMAKE_BINARY_DIR}/proxywasm.pc" @ONLY)
