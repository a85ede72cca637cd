// SPDX-License-Identifier: Apache-2.0
// Stands for a program that uses the library: headers.py compiles headers as this is compiled.
#include <libgossip/base/error.h>
