#pragma once
#include <sqlite3.h>

/// `SQLITE_TRANSIENT` is a cast, which Swift does not import.
static inline int sqlite_bind_text_copying(sqlite3_stmt *statement, int index, const void *text, int count) {
  return sqlite3_bind_text(statement, index, text == 0 ? "" : (const char *)text, count, SQLITE_TRANSIENT);
}
