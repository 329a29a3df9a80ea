# SPDX-License-Identifier: Apache-2.0
#
# The rooms of src/ become static libraries, each linked to those below it. Which includes are
# allowed is not decided here but in tools/layers.txt.

# From the ground up; a room that has no .c files yet is left out.
set(WEIR_ROOM_ORDER base telemetry proxywasm http net upstream proxy filters config admin server cli hub)
set(WEIR_ROOMS "")

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(WEIR_PC REQUIRED IMPORTED_TARGET
    libuv libnghttp2 libcares libfyaml jansson libprotobuf-c zlib libbrotlidec libbrotlienc)

# What every room above the library may link; the linker drops what is not used.
add_library(weir_deps INTERFACE)
target_link_libraries(weir_deps INTERFACE PkgConfig::WEIR_PC Threads::Threads)

foreach(_room IN LISTS WEIR_ROOM_ORDER)
    file(GLOB_RECURSE _sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/${_room}/*.c")
    if(NOT _sources)
        continue()
    endif()
    add_library(weir_${_room} STATIC ${_sources})
    target_include_directories(weir_${_room} PUBLIC
        "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/include" "${CMAKE_BINARY_DIR}/gen")
    target_compile_options(weir_${_room} PRIVATE ${WEIR_STRICT_WARNINGS})
    if(_room IN_LIST WEIR_LTO_ROOMS)
        target_compile_options(weir_${_room} PRIVATE ${WEIR_LTO_COMPILE})
    endif()

    if(_room STREQUAL "base")
        target_link_libraries(weir_base PUBLIC Threads::Threads)
    elseif(_room STREQUAL "proxywasm")
        # The library that others embed: the engine and the base room, nothing else.
        if(TARGET weir_base)
            target_link_libraries(weir_proxywasm PUBLIC weir_base)
        endif()
        target_link_libraries(weir_proxywasm PUBLIC weir_engine)
        # The contract of native plugins is shared with their SDK.
        target_include_directories(weir_proxywasm PRIVATE "${CMAKE_SOURCE_DIR}/sdk/c/include")
    else()
        list(REVERSE WEIR_ROOMS)
        foreach(_below IN LISTS WEIR_ROOMS)
            target_link_libraries(weir_${_room} PUBLIC weir_${_below})
        endforeach()
        list(REVERSE WEIR_ROOMS)
        target_link_libraries(weir_${_room} PUBLIC weir_deps)
        if(_room MATCHES "^(net|upstream|proxy|filters|config|admin|server|cli|hub)$")
            target_link_libraries(weir_${_room} PUBLIC weir_engine)
        endif()
        if(TARGET weir_api AND _room MATCHES "^(filters|config|admin|server|cli|hub)$")
            target_link_libraries(weir_${_room} PUBLIC weir_api)
        endif()
    endif()
    list(APPEND WEIR_ROOMS ${_room})
endforeach()

# Links a target to every room there is, the highest first.
function(weir_link_all_rooms target)
    set(_rooms ${WEIR_ROOMS})
    list(REVERSE _rooms)
    foreach(_room IN LISTS _rooms)
        target_link_libraries(${target} PRIVATE weir_${_room})
    endforeach()
    target_link_libraries(${target} PRIVATE weir_deps weir_engine)
    target_include_directories(${target} PRIVATE
        "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/include" "${CMAKE_BINARY_DIR}/gen")
endfunction()
