internal import CBuild

/// How this program was built.
public enum Build {
  /// The commit it was built from, as cluster/package.sh names it; nil for any other build.
  public static let commit: String? = {
    // A constant of the program, ended by zero.
    let commit = unsafe String(cString: build_commit())
    return commit.isEmpty ? nil : commit
  }()
}
