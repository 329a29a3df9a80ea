# SPDX-License-Identifier: Apache-2.0
#
# cmd/NAME/*.c becomes bin/NAME. Mains only: everything they call lives in a room.

file(GLOB _cmds CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/cmd" "${CMAKE_SOURCE_DIR}/cmd/*")
set(WEIR_PROGRAMS "")
foreach(_cmd IN LISTS _cmds)
    file(GLOB _sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/cmd/${_cmd}/*.c")
    if(NOT _sources)
        continue()
    endif()
    add_executable(${_cmd} ${_sources})
    target_compile_options(${_cmd} PRIVATE ${WEIR_STRICT_WARNINGS})
    weir_link_all_rooms(${_cmd})
    target_link_options(${_cmd} PRIVATE ${WEIR_LTO_LINK})
    set_target_properties(${_cmd} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
    list(APPEND WEIR_PROGRAMS ${_cmd})
endforeach()
