#include "build.h"

#define TEXT_OF(word) #word
#define TEXT(macro) TEXT_OF(macro)

const char *build_commit(void) { return TEXT(BUILD_COMMIT); }
