# SPDX-License-Identifier: Apache-2.0
#
# The library when resources are short. tests/nomem: built once more, with allocations that can be told
# to fail; and its tests under a limit on addresses.

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

# The engine lays memory out in another way when addresses are limited; sanitizers need them all.
if(NOT WEIR_SANITIZE AND NOT WEIR_FUZZ)
    foreach(_name IN ITEMS module engine_limits engine_traps)
        set(_program "unit__proxywasm__test_${_name}")
        if(TARGET ${_program})
            add_test(NAME "proxywasm/test_${_name}_few_addresses"
                COMMAND sh -c "ulimit -v 3000000 && exec \"$<TARGET_FILE:${_program}>\"")
            set_tests_properties("proxywasm/test_${_name}_few_addresses" PROPERTIES TIMEOUT 120
                ENVIRONMENT "${WEIR_TEST_ENV}" WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" LABELS unit)
        endif()
    endforeach()
endif()
