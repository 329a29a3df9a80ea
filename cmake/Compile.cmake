# SPDX-License-Identifier: Apache-2.0
#
# How every C file is compiled: language level, warnings, hardening, sanitizers. Flags only; no
# target is made here.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Asserts stay on in every build type: NDEBUG is never defined.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(WEIR_SANITIZE "" CACHE STRING "Sanitizers: empty, 'address,undefined' or 'thread'")
option(WEIR_FUZZ "Build tests/fuzz with clang's libFuzzer" OFF)
option(WEIR_WERROR "Warnings are errors" ON)

add_compile_definitions(_GNU_SOURCE)
add_compile_options(-Wall -Wextra -Wvla -Wstrict-prototypes -Wold-style-definition
    -fno-omit-frame-pointer -ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections)
if(WEIR_WERROR)
    add_compile_options(-Werror)
endif()

# A list with commas, as -fsanitize takes it.
set(_sanitize "${WEIR_SANITIZE}")
if(WEIR_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "WEIR_FUZZ needs clang: -DCMAKE_C_COMPILER=clang")
    endif()
    if(NOT _sanitize)
        set(_sanitize "address,undefined")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(_sanitize)
    add_compile_options(-fsanitize=${_sanitize} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${_sanitize})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    add_compile_options(-fstack-protector-strong)
    add_compile_definitions(_FORTIFY_SOURCE=2)
    add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)
endif()

# The rooms of the data path are optimised as one in the programs. Their objects hold ordinary code beside, so that
# dozens of test programs link as fast as before.
set(_lto OFF)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT _sanitize AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    set(_lto ON)
endif()
option(WEIR_LTO "Optimise the data path across files (gcc)" ${_lto})
set(WEIR_LTO_ROOMS base telemetry proxywasm http net upstream proxy filters)
if(WEIR_LTO)
    set(WEIR_LTO_COMPILE -flto -ffat-lto-objects)
    set(WEIR_LTO_LINK -flto=auto -fuse-linker-plugin)
endif()

# Only for code that ships: a function without a header is a mistake there.
set(WEIR_STRICT_WARNINGS -Wmissing-prototypes)
