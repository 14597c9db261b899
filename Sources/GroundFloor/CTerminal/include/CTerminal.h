#pragma once
#include <stdint.h>

/// Columns of a terminal that a Unicode scalar takes, by the C library's table: 0 for combining marks, 2 for wide
/// letters; 0 for what has no width. Whatever locale the process has.
int ct_columns(uint32_t scalar);
