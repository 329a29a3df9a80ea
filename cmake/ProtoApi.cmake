# SPDX-License-Identifier: Apache-2.0
#
# weir_api: Envoy's API messages and ours as C structs, with the side tables of src/config/meta.h. All
# of it is generated into gen/ by src/config/gen from the descriptors in the PyPI package xds-protos.

set(_gen "${CMAKE_BINARY_DIR}/gen")
set(_script_dir "${CMAKE_SOURCE_DIR}/src/config/gen")
set(_policy "${CMAKE_SOURCE_DIR}/api/weir/policy/v1/policy.proto")
set(_bundles "")
foreach(_i RANGE 0 7) # BUNDLES in api_gen.py
    list(APPEND _bundles "${_gen}/api_bundle_${_i}.c")
endforeach()

# Named as products, or an object whose header is made anew in this very build would be taken for up to date.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${_script_dir}/roots.txt" "${_script_dir}/api_gen.py")
execute_process(
    COMMAND "${WEIR_PYTHON}" -B "${_script_dir}/api_gen.py" headers "${_gen}" "${CMAKE_SOURCE_DIR}/api"
    OUTPUT_VARIABLE _headers OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

add_custom_command(
    OUTPUT ${_bundles}
    BYPRODUCTS ${_headers}
    COMMAND "${WEIR_PYTHON}" -B "${_script_dir}/api_gen.py" structs "${_gen}" "${CMAKE_SOURCE_DIR}/api"
    DEPENDS "${_script_dir}/api_gen.py" "${_script_dir}/api_newer.py" "${_script_dir}/roots.txt" "${_policy}"
    COMMENT "Generating API structs"
    VERBATIM)

add_custom_command(
    OUTPUT "${_gen}/meta_tables.c"
    BYPRODUCTS "${_gen}/fields.md"
    COMMAND "${WEIR_PYTHON}" -B "${_script_dir}/api_gen.py" tables "${_gen}" "${CMAKE_SOURCE_DIR}/src/config"
    DEPENDS "${_script_dir}/api_gen.py" "${_script_dir}/api_newer.py" "${_script_dir}/api_tables.py" "${_script_dir}/roots.txt"
        "${CMAKE_SOURCE_DIR}/src/config/field_classes.txt" "${_policy}" ${_bundles}
    COMMENT "Generating API tables"
    VERBATIM)

add_library(weir_api STATIC ${_bundles} "${_gen}/meta_tables.c")
target_include_directories(weir_api PUBLIC "${_gen}/api" PRIVATE "${_gen}" "${CMAKE_SOURCE_DIR}/src")
# Generated: nothing that a warning says could be acted on, and no speed is needed.
target_compile_options(weir_api PRIVATE -w -O1)
# Descriptors hold offsets and constants; instrumenting them only costs build time.
if(WEIR_SANITIZE OR WEIR_FUZZ)
    target_compile_options(weir_api PRIVATE -fno-sanitize=all)
endif()
