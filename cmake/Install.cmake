# SPDX-License-Identifier: Apache-2.0
#
# What `make install` and the packages hold: component "weir" (programs, plugins, documents) and component
# "dev" (the embeddable library). The engine's own headers are not public and never installed.

install(TARGETS ${WEIR_PROGRAMS} RUNTIME DESTINATION bin COMPONENT weir)
foreach(_plugin IN LISTS WEIR_PLUGINS)
    install(TARGETS plugins_${_plugin} LIBRARY DESTINATION lib/weir/plugins COMPONENT weir)
    install(FILES "${CMAKE_BINARY_DIR}/plugins/${_plugin}.wasm" DESTINATION lib/weir/plugins COMPONENT weir)
endforeach()
install(DIRECTORY "${CMAKE_SOURCE_DIR}/docs/" DESTINATION share/doc/weir COMPONENT weir
    FILES_MATCHING PATTERN "*.md")
install(DIRECTORY "${CMAKE_SOURCE_DIR}/examples/" DESTINATION share/doc/weir/examples COMPONENT weir
    OPTIONAL)
foreach(_document LICENSE README.md CHANGELOG.md)
    if(EXISTS "${CMAKE_SOURCE_DIR}/${_document}")
        install(FILES "${CMAKE_SOURCE_DIR}/${_document}" DESTINATION share/doc/weir COMPONENT weir)
    endif()
endforeach()

if(TARGET libproxywasm)
    install(FILES "${CMAKE_BINARY_DIR}/lib/libproxywasm.a" "${WEIR_ENGINE_DIR}/lib/libweir_engine.a"
        DESTINATION lib COMPONENT dev)
    install(DIRECTORY "${CMAKE_SOURCE_DIR}/include/proxywasm" DESTINATION include COMPONENT dev
        FILES_MATCHING PATTERN "*.h")
    install(FILES "${CMAKE_BINARY_DIR}/proxywasm.pc" DESTINATION lib/pkgconfig COMPONENT dev)
    install(FILES "${CMAKE_SOURCE_DIR}/LICENSE" DESTINATION share/doc/libproxywasm-dev COMPONENT dev)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weir)
set(CPACK_PACKAGE_VENDOR "The Weir authors")
set(CPACK_PACKAGE_CONTACT "The Weir authors <weir@example.invalid>")
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_BINARY_DIR}/package")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL weir dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_WEIR_PACKAGE_NAME weir)
set(CPACK_DEBIAN_WEIR_PACKAGE_SECTION net)
set(CPACK_DEBIAN_WEIR_PACKAGE_SHLIBDEPS ON)
# What `weirctl plugin build` looks for; it names what is missing.
set(CPACK_DEBIAN_WEIR_PACKAGE_SUGGESTS
    "clang, lld, wasi-libc, libclang-rt-14-dev-wasm32, libc++-dev-wasm32, golang-go, nodejs, npm")
set(CPACK_COMPONENT_WEIR_DESCRIPTION "Proxy-Wasm proxy
 Takes the configuration that Envoy and Istio take; its extensions are sandboxed WebAssembly plugins.")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libproxywasm-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEV_DESCRIPTION "embeddable Proxy-Wasm host library
 Static library, headers and pkg-config file to run Proxy-Wasm plugins in another program.")
include(CPack)
