# SPDX-License-Identifier: Apache-2.0
#
# tests/nomem: the library once more, with allocations that can be told to fail.

if(NOT CMOCKA_FOUND OR NOT TARGET weir_proxywasm)
    return()
endif()
file(GLOB_RECURSE _nomem_sources CONFIGURE_DEPENDS
    "${CMAKE_SOURCE_DIR}/src/base/*.c" "${CMAKE_SOURCE_DIR}/src/proxywasm/*.c")
add_library(weir_nomem STATIC ${_nomem_sources})
target_compile_options(weir_nomem PRIVATE -include "${CMAKE_SOURCE_DIR}/tests/nomem/failing_alloc.h")
target_include_directories(weir_nomem PUBLIC
    "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/include" "${CMAKE_SOURCE_DIR}/sdk/c/include")
target_link_libraries(weir_nomem PUBLIC weir_engine Threads::Threads)
add_executable(nomem "${CMAKE_SOURCE_DIR}/tests/nomem/test_nomem.c")
target_link_libraries(nomem PRIVATE weir_nomem PkgConfig::CMOCKA)
set_target_properties(nomem PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
add_test(NAME "proxywasm/nomem" COMMAND nomem)
set_tests_properties("proxywasm/nomem" PROPERTIES TIMEOUT 300 ENVIRONMENT "${WEIR_TEST_ENV}"
    WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" LABELS unit)
