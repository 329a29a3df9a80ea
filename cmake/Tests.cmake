# SPDX-License-Identifier: Apache-2.0
#
# tests/unit/ROOM/**/test_X.c: one cmocka program each, linked with its room and those below.
# tests/unit/support/*.c is linked to all of them, tests/unit/ROOM/support/*.c to those of the room, and
# tests/unit/ROOM/X/*.c (unless named test_*) to test_X. A test program must need no arguments.
# test_X_nomem wraps the allocator.

enable_testing()
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
if(NOT CMOCKA_FOUND)
    message(STATUS "cmocka is missing: no unit tests")
    return()
endif()

set(_unit "${CMAKE_SOURCE_DIR}/tests/unit")
set(_supp "${CMAKE_SOURCE_DIR}/tests/suppressions")
set(WEIR_TEST_ENV "WEIR_SOURCE_DIR=${CMAKE_SOURCE_DIR}" "WEIR_BUILD_DIR=${CMAKE_BINARY_DIR}"
    "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1"
    "LSAN_OPTIONS=suppressions=${_supp}/lsan.txt:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    "TSAN_OPTIONS=suppressions=${_supp}/tsan.txt:halt_on_error=1:second_deadlock_stack=1:report_signal_unsafe=0")

# Dozens of programs with the engine inside: lld links each in a quarter of the time.
find_program(WEIR_LLD NAMES ld.lld)
if(WEIR_LLD)
    set(WEIR_TEST_LINKER -fuse-ld=lld)
endif()

file(GLOB _support CONFIGURE_DEPENDS "${_unit}/support/*.c")
foreach(_room IN LISTS WEIR_ROOMS)
    file(GLOB _room_support CONFIGURE_DEPENDS "${_unit}/${_room}/support/*.c")
    file(GLOB_RECURSE _tests CONFIGURE_DEPENDS RELATIVE "${_unit}" "${_unit}/${_room}/*.c")
    foreach(_test IN LISTS _tests)
        get_filename_component(_stem "${_test}" NAME_WE)
        if(NOT _stem MATCHES "^test_")
            continue()
        endif()
        string(REGEX REPLACE "^test_" "" _noun "${_stem}")
        file(GLOB _parts CONFIGURE_DEPENDS "${_unit}/${_room}/${_noun}/*.c")
        list(FILTER _parts EXCLUDE REGEX "/test_[^/]*$")
        string(REGEX REPLACE "\\.c$" "" _name "${_test}")
        string(REPLACE "/" "__" _target "unit__${_name}")
        add_executable(${_target} "${_unit}/${_test}" ${_parts} ${_room_support} ${_support})
        target_include_directories(${_target} PRIVATE "${_unit}" "${_unit}/support"
            "${_unit}/${_room}/support")
        target_link_libraries(${_target} PRIVATE weir_${_room} PkgConfig::CMOCKA)
        target_link_options(${_target} PRIVATE ${WEIR_TEST_LINKER})
        if(_stem MATCHES "_nomem$")
            # Fails allocations one after the other: it defines __wrap_malloc and the like.
            target_link_options(${_target} PRIVATE
                -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=aligned_alloc)
        endif()
        set_target_properties(${_target} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
        add_test(NAME "${_name}" COMMAND ${_target})
        set_tests_properties("${_name}" PROPERTIES TIMEOUT 240 ENVIRONMENT "${WEIR_TEST_ENV}"
            WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" LABELS unit)
    endforeach()
endforeach()
