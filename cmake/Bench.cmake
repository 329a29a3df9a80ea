# SPDX-License-Identifier: Apache-2.0
#
# bench/micro/X.c: one program each in build/bench, linked with every room; built on demand only.

file(GLOB _benches CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/bench/micro/*.c")
foreach(_bench IN LISTS _benches)
    get_filename_component(_name "${_bench}" NAME_WE)
    add_executable(${_name} EXCLUDE_FROM_ALL "${_bench}")
    weir_link_all_rooms(${_name})
    set_target_properties(${_name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
endforeach()
