// SPDX-License-Identifier: Apache-2.0
//
// What other.cc offers to surface.cc. It must not include the SDK.
#pragma once

#include <string>

std::string other();
