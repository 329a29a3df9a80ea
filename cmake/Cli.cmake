# SPDX-License-Identifier: Apache-2.0
#
# What weirctl needs besides its sources: the project templates inside of it, and in the build tree the SDKs at
# share/weir/sdk, where Plugins.cmake installs them below the prefix. Included behind Plugins.cmake.

file(GLOB_RECURSE _templates CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/cli/templates/*.in")
set(_generator "${CMAKE_SOURCE_DIR}/src/cli/gen/templates_gen.py")
set(_generated "${CMAKE_BINARY_DIR}/gen/cli_templates.c")
add_custom_command(OUTPUT "${_generated}"
    COMMAND "${WEIR_PYTHON}" -B "${_generator}" "${CMAKE_SOURCE_DIR}/src/cli/templates" "${_generated}"
    DEPENDS "${_generator}" ${_templates}
    COMMENT "Project templates"
    VERBATIM)
target_sources(weir_cli PRIVATE "${_generated}")

# In the build tree: links to the sources, so that an edited SDK is used at once.
set(_share "${CMAKE_BINARY_DIR}/share/weir/sdk")
file(MAKE_DIRECTORY "${_share}/c")
file(CREATE_LINK "${CMAKE_SOURCE_DIR}/sdk/c/include" "${_share}/c/include" SYMBOLIC)
file(CREATE_LINK "${CMAKE_SOURCE_DIR}/sdk/c/src" "${_share}/c/src" SYMBOLIC)
file(CREATE_LINK "${WEIR_SDK_THIRD_PARTY}" "${_share}/c/third_party" SYMBOLIC)
file(CREATE_LINK "${CMAKE_SOURCE_DIR}/sdk/cpp" "${_share}/cpp" SYMBOLIC)
