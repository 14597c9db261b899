#include "CDNNL.h"
#include <dnnl.h>
