# SPDX-License-Identifier: Apache-2.0
#
# tests/unit/plugins/test_X.c: one cmocka program each, with the fake host beside it. test_sdk_* also link the SDK's
# native objects; test_engines runs both forms of each plugin in libproxywasm; the others load build/plugins/NAME.so.
# Included behind Tests.cmake.

if(NOT CMOCKA_FOUND)
    return()
endif()

set(_plugin_tests "${CMAKE_SOURCE_DIR}/tests/unit/plugins")
file(GLOB _tests CONFIGURE_DEPENDS "${_plugin_tests}/test_*.c")
if(NOT TARGET weir_proxywasm)
    list(FILTER _tests EXCLUDE REGEX "/test_engines\\.c$")
endif()
foreach(_test IN LISTS _tests)
    get_filename_component(_stem "${_test}" NAME_WE)
    set(_target "unit__plugins__${_stem}")
    set(_helper fake_host)
    if(_stem STREQUAL "test_engines")
        set(_helper embedder)
    endif()
    add_executable(${_target} "${_test}" "${_plugin_tests}/${_helper}.c")
    target_include_directories(${_target} PRIVATE "${CMAKE_SOURCE_DIR}/sdk/c/include"
        "${CMAKE_SOURCE_DIR}/sdk/c/src")
    target_include_directories(${_target} SYSTEM PRIVATE "${WEIR_SDK_THIRD_PARTY}")
    target_compile_definitions(${_target} PRIVATE WEIR_TEST_PLUGIN_DIR="${CMAKE_BINARY_DIR}/plugins"
        WEIR_TEST_BUILD_DIR="${CMAKE_BINARY_DIR}")
    target_link_libraries(${_target} PRIVATE PkgConfig::CMOCKA dl)
    if(_stem MATCHES "^test_sdk_")
        target_sources(${_target} PRIVATE $<TARGET_OBJECTS:wsdk_native>)
    else()
        add_dependencies(${_target} ${WEIR_PLUGIN_TARGETS})
    endif()
    if(_stem STREQUAL "test_engines")
        target_link_libraries(${_target} PRIVATE weir_proxywasm)
    endif()
    set_target_properties(${_target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    add_test(NAME "plugins/${_stem}" COMMAND ${_target})
    set_tests_properties("plugins/${_stem}" PROPERTIES TIMEOUT 120 ENVIRONMENT "${WEIR_TEST_ENV}"
        WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" LABELS unit)
endforeach()
