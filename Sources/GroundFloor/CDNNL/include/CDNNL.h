// The few things this project asks of oneDNN, in one spelling for its 2.x and 3.x interfaces: convolutions of NHWC maps
// in float32 and bfloat16 in their three passes, and the order of their weights. Whoever calls decides on the OpenMP
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
/// Whether this processor multiplies bfloat16 by itself (AVX512_BF16 or AMX) and oneDNN has kernels for that.
bool cdnnl_has_bfloat16_kernels(void);

typedef enum cdnnl_element { CDNNL_FLOAT32, CDNNL_BFLOAT16 } cdnnl_element;

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

/// Square kernel, equal stride and padding on all sides, no dilation. All maps dense NHWC. Weights are of the input's
/// element; their gradients and biases are float32 always.
typedef struct cdnnl_shape {
  long images, input_height, input_width, input_channels, output_channels, kernel, stride, padding, groups;
  cdnnl_element element, output_element;
} cdnnl_shape;

typedef struct cdnnl_layout cdnnl_layout;
typedef struct cdnnl_convolution cdnnl_convolution;

// Functions that return int answer 0, or oneDNN's status.

/// `weights` is the layout of the weights; oneDNN chooses one if it is NULL.
int cdnnl_convolution_create(
  cdnnl_convolution **convolution, cdnnl_pass pass, cdnnl_shape shape, bool has_bias, cdnnl_activation activation,
  const cdnnl_layout *weights);
void cdnnl_convolution_destroy(cdnnl_convolution *convolution);
/// Overwrites output, input or weights according to the pass, from the other two. `bias` may be null without one.
int cdnnl_convolution_run(
  cdnnl_convolution *convolution, void *input, void *weights, const float *bias, void *output);

/// Makes the layout of a convolution's weights (or of their gradient).
int cdnnl_layout_create(cdnnl_layout **layout, const cdnnl_convolution *convolution);
void cdnnl_layout_destroy(cdnnl_layout *layout);
/// Values, padding included.
size_t cdnnl_layout_count(const cdnnl_layout *layout);
enum { CDNNL_MAX_DIMENSIONS = 12 };
/// Writes, for each of the dimensions (groups, if there are several, O, I/groups, kH, kW), its size and the values from
/// one block to the next; and for each loop over a block, the outermost first, its length and its dimension. The arrays
/// have room for `CDNNL_MAX_DIMENSIONS`. Answers the number of dimensions, 0 if the layout is not made of blocks.
long cdnnl_layout_blocking(
  const cdnnl_layout *layout, long *sizes, long *strides, long *factors, long *dimensions, long *factor_count);

#ifdef __cplusplus
}
#endif
