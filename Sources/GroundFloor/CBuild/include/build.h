#ifndef BUILD_H
#define BUILD_H

/// The commit that the program was built from; empty unless the build was told.
const char *build_commit(void);

#endif
