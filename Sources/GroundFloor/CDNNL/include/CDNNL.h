// The few things this project asks of oneDNN, in one spelling for its 2.x and 3.x interfaces: single-precision
// convolutions of NHWC maps in their three passes, and reorders of their weights. Whoever calls decides on the OpenMP
// thread count, which must be the same when a convolution is made and when it runs.
//
// Without oneDNN's header at build time everything compiles and `cdnnl_is_available` answers false.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

bool cdnnl_is_available(void);
/// Whether oneDNN has kernels compiled for this processor, rather than its slow reference ones.
bool cdnnl_has_compiled_kernels(void);

typedef enum cdnnl_pass { CDNNL_FORWARD, CDNNL_BACKWARD_DATA, CDNNL_BACKWARD_WEIGHTS } cdnnl_pass;

/// The activation that a forward pass applies to its output.
typedef enum cdnnl_activation {
  CDNNL_NONE,
  CDNNL_SILU,
  CDNNL_RELU,
  CDNNL_RELU6,
  CDNNL_HARD_SWISH,
  CDNNL_HARD_SIGMOID,
  CDNNL_SIGMOID
} cdnnl_activation;

/// Square kernel, equal stride and padding on all sides, no dilation. All maps dense NHWC.
typedef struct cdnnl_shape {
  long images, input_height, input_width, input_channels, output_channels, kernel, stride, padding, groups;
} cdnnl_shape;

typedef struct cdnnl_layout cdnnl_layout;
typedef struct cdnnl_reorder cdnnl_reorder;
typedef struct cdnnl_convolution cdnnl_convolution;

// Functions that return int answer 0, or oneDNN's status.

/// `weights` is the layout of the weights; oneDNN chooses one if it is NULL.
int cdnnl_convolution_create(
  cdnnl_convolution **convolution, cdnnl_pass pass, cdnnl_shape shape, bool has_bias, cdnnl_activation activation,
  const cdnnl_layout *weights);
void cdnnl_convolution_destroy(cdnnl_convolution *convolution);
/// Overwrites output, input or weights according to the pass, from the other two. `bias` may be null without one.
int cdnnl_convolution_run(
  cdnnl_convolution *convolution, float *input, float *weights, const float *bias, float *output);

/// O × I/groups × kH × kW, row-major.
int cdnnl_layout_create_plain(cdnnl_layout **layout, cdnnl_shape shape);
/// Makes the layout of a convolution's weights (or of their gradient).
int cdnnl_layout_create(cdnnl_layout **layout, const cdnnl_convolution *convolution);
void cdnnl_layout_destroy(cdnnl_layout *layout);
/// Floats, padding included.
size_t cdnnl_layout_count(const cdnnl_layout *layout);
/// Writes a name that equal layouts of one convolution share.
void cdnnl_layout_describe(const cdnnl_layout *layout, char *name, size_t capacity);

/// - Parameter accumulate: add to the destination instead of overwriting it.
int cdnnl_reorder_create(
  cdnnl_reorder **reorder, const cdnnl_layout *source, const cdnnl_layout *destination, bool accumulate);
void cdnnl_reorder_destroy(cdnnl_reorder *reorder);
int cdnnl_reorder_run(cdnnl_reorder *reorder, const float *source, float *destination);

#ifdef __cplusplus
}
#endif
