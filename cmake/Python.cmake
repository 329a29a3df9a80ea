# SPDX-License-Identifier: Apache-2.0
#
# WEIR_PYTHON: the interpreter with the pinned packages (tools/setup.sh makes it). Found beside
# this build, in the main build directory, or beside a shared engine; else the system's.

if(NOT WEIR_PYTHON)
    set(_python python3)
    set(_places "$ENV{WEIR_VENV}" "${CMAKE_BINARY_DIR}/venv" "${CMAKE_SOURCE_DIR}/build/venv")
    if(WEIR_ENGINE_DIR)
        list(APPEND _places "${WEIR_ENGINE_DIR}/../venv")
    endif()
    foreach(_place IN LISTS _places)
        if(_place AND EXISTS "${_place}/bin/python3")
            get_filename_component(_place "${_place}" ABSOLUTE)
            set(_python "${_place}/bin/python3")
            break()
        endif()
    endforeach()
    set(WEIR_PYTHON "${_python}" CACHE FILEPATH "Python with the packages of tools/requirements.txt")
endif()
