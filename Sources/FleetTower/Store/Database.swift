internal import CSQLite

/// One SQLite connection, closed when this object goes. Used by one thread at a time.
@safe final class Database {
  let path: String
  private let raw: OpaquePointer

  /// Opens or creates the file: write-ahead log, and every commit on the disk before it returns.
  init(_ path: String) throws {
    self.path = path
    var raw: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_NOFOLLOW
    // SQLite hands out a connection even when opening fails, to be closed by us.
    let status = unsafe sqlite3_open_v2(path, &raw, flags, nil)
    guard let raw = unsafe raw, status == SQLITE_OK else {
      unsafe sqlite3_close_v2(raw)
      throw StoreError.database(
        path: path, call: "open", code: status, message: unsafe String(cString: sqlite3_errstr(status)))
    }
    unsafe self.raw = raw
    try execute("PRAGMA journal_mode = WAL")
    try execute("PRAGMA synchronous = FULL")
  }

  deinit { unsafe sqlite3_close_v2(raw) }

  func execute(_ sql: String) throws {
    try check(sql, unsafe sqlite3_exec(raw, sql, nil, nil, nil))
  }

  /// The first column of the first row.
  func integer(_ sql: String) throws -> Int {
    let statement = try Statement(sql, self)
    return try statement.step() ? statement.integer(0) : 0
  }

  func check(_ call: String, _ status: Int32) throws {
    guard status != SQLITE_OK && status != SQLITE_ROW && status != SQLITE_DONE else { return }
    let code = unsafe sqlite3_extended_errcode(raw)
    // A C string that belongs to the connection, copied at once.
    throw StoreError.database(path: path, call: call, code: code, message: unsafe String(cString: sqlite3_errmsg(raw)))
  }

  fileprivate func prepare(_ sql: String) throws -> OpaquePointer? {
    var statement: OpaquePointer?
    try check(sql, unsafe sqlite3_prepare_v3(raw, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil))
    return unsafe statement
  }
}

/// A prepared statement, finalised when this object goes. It keeps its database open.
@safe final class Statement {
  private let raw: OpaquePointer
  private let database: Database
  private let sql: String

  init(_ sql: String, _ database: Database) throws {
    guard let raw = try unsafe database.prepare(sql) else { preconditionFailure("an empty statement") }
    unsafe self.raw = raw
    self.database = database
    self.sql = sql
  }

  deinit { unsafe sqlite3_finalize(raw) }

  func bind(_ index: Int32, _ value: Int) throws {
    try database.check(sql, unsafe sqlite3_bind_int64(raw, index, Int64(value)))
  }

  /// Binds UTF-8 text, which SQLite copies.
  func bind(_ index: Int32, text: [UInt8]) throws {
    let status = unsafe text.withUnsafeBytes { bytes in
      unsafe sqlite_bind_text_copying(raw, index, bytes.baseAddress, Int32(bytes.count))
    }
    try database.check(sql, status)
  }

  /// - Returns: whether there is a row to read.
  func step() throws -> Bool {
    let status = unsafe sqlite3_step(raw)
    try database.check(sql, status)
    return status == SQLITE_ROW
  }

  /// Makes the statement ready to run again.
  func reset() { unsafe sqlite3_reset(raw) }

  func integer(_ column: Int32) -> Int { Int(unsafe sqlite3_column_int64(raw, column)) }

  func bytes(_ column: Int32) -> [UInt8] {
    guard let start = unsafe sqlite3_column_blob(raw, column) else { return [] }
    // SQLite says how many bytes are readable until the next step; they are copied here.
    let count = Int(unsafe sqlite3_column_bytes(raw, column))
    return unsafe Array(UnsafeRawBufferPointer(start: start, count: count))
  }
}
