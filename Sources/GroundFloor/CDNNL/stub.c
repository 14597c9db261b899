// Used by builds without oneDNN: no object can be made, so no other function is ever called.
#if !__has_include(<dnnl.h>)

#include "CDNNL.h"

enum { unimplemented = 3 }; // oneDNN's status of that name.

bool cdnnl_is_available(void) { return false; }
bool cdnnl_has_compiled_kernels(void) { return false; }
bool cdnnl_has_bfloat16_kernels(void) { return false; }

int cdnnl_convolution_create(
  cdnnl_convolution **convolution, cdnnl_pass pass, cdnnl_shape shape, bool has_bias, cdnnl_activation activation,
  const cdnnl_layout *weights) {
  return unimplemented;
}
void cdnnl_convolution_destroy(cdnnl_convolution *convolution) {}
int cdnnl_convolution_run(
  cdnnl_convolution *convolution, void *input, void *weights, const float *bias, void *output) {
  return unimplemented;
}

int cdnnl_layout_create(cdnnl_layout **layout, const cdnnl_convolution *convolution) { return unimplemented; }
void cdnnl_layout_destroy(cdnnl_layout *layout) {}
size_t cdnnl_layout_count(const cdnnl_layout *layout) { return 0; }
long cdnnl_layout_blocking(
  const cdnnl_layout *layout, long *sizes, long *strides, long *factors, long *dimensions, long *factor_count) {
  return 0;
}

#endif
