# SPDX-License-Identifier: Apache-2.0
#
# tests/fuzz/fuzz_X.c: with WEIR_FUZZ one libFuzzer program each, linked with every room. Without it they are compiled, so
# that who changes what they use is told by the next build. Corpora are in tests/fuzz/corpus/X/; tools/fuzz.sh runs them.

file(GLOB _fuzzers CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c")
if(NOT WEIR_FUZZ)
    add_library(fuzz_sources OBJECT ${_fuzzers})
    weir_link_all_rooms(fuzz_sources)
    return()
endif()
foreach(_fuzzer IN LISTS _fuzzers)
    get_filename_component(_name "${_fuzzer}" NAME_WE)
    add_executable(${_name} "${_fuzzer}")
    target_link_options(${_name} PRIVATE -fsanitize=fuzzer ${WEIR_TEST_LINKER})
    weir_link_all_rooms(${_name})
    set_target_properties(${_name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
endforeach()
