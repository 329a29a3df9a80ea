/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a WebAssembly binary's sections (WebAssembly 3.0, 5.5.2), as far as we read or write them.
 */
#ifndef PROXYWASM_ENGINE_SECTION_IDS_H
#define PROXYWASM_ENGINE_SECTION_IDS_H

enum section_id {
    SECTION_CUSTOM = 0,
    SECTION_TYPE = 1,
    SECTION_IMPORT = 2,
    SECTION_FUNCTION = 3,
    SECTION_TABLE = 4,
    SECTION_MEMORY = 5,
    SECTION_EXPORT = 7,
    SECTION_START = 8,
    SECTION_CODE = 10,
    SECTION_DATA = 11,
    SECTION_DATA_COUNT = 12,
};

#endif
