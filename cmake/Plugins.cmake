# SPDX-License-Identifier: Apache-2.0
#
# plugins/NAME/*.c -> build/plugins/NAME.wasm and NAME.so; tests/plugins/NAME.c -> the same in
# build/tests/plugins/, NAME.wat -> NAME.wasm there. Each from the same sources, on the SDK of sdk/c. A
# native plugin exports one symbol and has no writable data (tests/integration checks both).

set(_sdk "${CMAKE_SOURCE_DIR}/sdk/c")
file(GLOB _sdk_sources CONFIGURE_DEPENDS "${_sdk}/src/*.c")
file(GLOB_RECURSE _sdk_headers CONFIGURE_DEPENDS "${_sdk}/src/*.h" "${_sdk}/include/*.h")

# jsmn is a header of the system; the Wasm compiler must not see the others beside it.
find_file(WEIR_JSMN_H jsmn.h)
if(NOT WEIR_JSMN_H)
    message(FATAL_ERROR "jsmn.h is missing (Debian: libjsmn-dev); tools/setup.sh installs it")
endif()
set(WEIR_SDK_THIRD_PARTY "${CMAKE_BINARY_DIR}/gen/wsdk")
configure_file("${WEIR_JSMN_H}" "${WEIR_SDK_THIRD_PARTY}/jsmn.h" COPYONLY)

find_program(WEIR_WASM_CC NAMES clang-14 clang)
if(NOT WEIR_WASM_CC)
    message(FATAL_ERROR "clang is missing, it compiles plugins to Wasm; tools/setup.sh installs it")
endif()

# Link-time optimisation folds the callbacks that a plugin lacks; the name section stays for backtraces.
set(WEIR_WASM_FLAGS --target=wasm32-wasi -std=gnu11 -O2 -flto -ffunction-sections -Wall -Wextra -Werror
    "-I${_sdk}/include" -isystem "${WEIR_SDK_THIRD_PARTY}")
set(WEIR_WASM_LINK_FLAGS --target=wasm32-wasi -O2 -flto -mexec-model=reactor -Wl,--strip-debug
    -Wl,--stack-first) # a stack that overflows traps instead of writing over the data

# One .c to one object file with Wasm code inside; the object's path lands in `out`.
function(weir_wasm_object source out)
    file(RELATIVE_PATH _relative "${CMAKE_SOURCE_DIR}" "${source}")
    set(_object "${CMAKE_BINARY_DIR}/wasm/${_relative}.o")
    get_filename_component(_directory "${_object}" DIRECTORY)
    file(MAKE_DIRECTORY "${_directory}")
    set(_size "")
    if(_relative MATCHES "/json")
        set(_size -Os) # runs once at start
    endif()
    add_custom_command(OUTPUT "${_object}"
        COMMAND "${WEIR_WASM_CC}" ${WEIR_WASM_FLAGS} ${_size} -MD -MF "${_object}.d" -c "${source}" -o "${_object}"
        DEPENDS "${source}"
        DEPFILE "${_object}.d"
        COMMENT "Wasm object ${_relative}"
        VERBATIM)
    set(${out} "${_object}" PARENT_SCOPE)
endfunction()

set(_sdk_wasm "")
foreach(_source IN LISTS _sdk_sources)
    weir_wasm_object("${_source}" _object)
    list(APPEND _sdk_wasm "${_object}")
endforeach()

add_library(wsdk_native OBJECT ${_sdk_sources})
target_include_directories(wsdk_native PUBLIC "${_sdk}/include")
target_include_directories(wsdk_native SYSTEM PUBLIC "${WEIR_SDK_THIRD_PARTY}")
target_compile_options(wsdk_native PRIVATE ${WEIR_STRICT_WARNINGS})

# weir_plugin(NAME DIRECTORY SOURCE...): both forms of one plugin, in DIRECTORY of the build tree.
function(weir_plugin name directory)
    set(_directory "${CMAKE_BINARY_DIR}/${directory}")
    file(MAKE_DIRECTORY "${_directory}")
    string(REPLACE "/" "_" _target "${directory}_${name}")

    set(_objects "")
    foreach(_source IN LISTS ARGN)
        weir_wasm_object("${_source}" _object)
        list(APPEND _objects "${_object}")
    endforeach()
    set(_wasm "${_directory}/${name}.wasm")
    add_custom_command(OUTPUT "${_wasm}"
        COMMAND "${WEIR_WASM_CC}" ${WEIR_WASM_LINK_FLAGS} -o "${_wasm}" ${_objects} ${_sdk_wasm}
        DEPENDS ${_objects} ${_sdk_wasm}
        COMMENT "Plugin ${directory}/${name}.wasm"
        VERBATIM)
    add_custom_target(${_target}_wasm ALL DEPENDS "${_wasm}")

    add_library(${_target} MODULE ${ARGN} $<TARGET_OBJECTS:wsdk_native>)
    target_include_directories(${_target} PRIVATE "${_sdk}/include")
    target_include_directories(${_target} SYSTEM PRIVATE "${WEIR_SDK_THIRD_PARTY}")
    # The start files would add writable data; nothing here has constructors.
    target_link_options(${_target} PRIVATE -nostartfiles)
    if(NOT WEIR_SANITIZE)
        target_link_options(${_target} PRIVATE -Wl,-z,defs)
    endif()
    set(WEIR_PLUGIN_TARGETS ${WEIR_PLUGIN_TARGETS} ${_target} ${_target}_wasm PARENT_SCOPE)
    set_target_properties(${_target} PROPERTIES PREFIX "" SUFFIX ".so" OUTPUT_NAME "${name}"
        LIBRARY_OUTPUT_DIRECTORY "${_directory}")
endfunction()

set(WEIR_PLUGINS "")        # the names of those that ship
set(WEIR_PLUGIN_TARGETS "") # all of them, both forms
file(GLOB _folders CONFIGURE_DEPENDS LIST_DIRECTORIES true "${CMAKE_SOURCE_DIR}/plugins/*")
foreach(_folder IN LISTS _folders)
    file(GLOB _sources CONFIGURE_DEPENDS "${_folder}/*.c")
    if(_sources)
        get_filename_component(_name "${_folder}" NAME)
        weir_plugin("${_name}" plugins ${_sources})
        list(APPEND WEIR_PLUGINS "${_name}")
    endif()
endforeach()

file(GLOB _sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/plugins/*.c")
foreach(_source IN LISTS _sources)
    get_filename_component(_name "${_source}" NAME_WE)
    weir_plugin("${_name}" tests/plugins "${_source}")
endforeach()

# For plugin authors and `weirctl plugin build`: the SDKs as source, with jsmn beside them.
install(DIRECTORY "${_sdk}/include" "${_sdk}/src" DESTINATION share/weir/sdk/c COMPONENT weir
    FILES_MATCHING PATTERN "*.h" PATTERN "*.c")
install(FILES "${WEIR_JSMN_H}" DESTINATION share/weir/sdk/c/include COMPONENT weir)
install(DIRECTORY "${CMAKE_SOURCE_DIR}/sdk/cpp/include" DESTINATION share/weir/sdk/cpp COMPONENT weir
    FILES_MATCHING PATTERN "*.h")
