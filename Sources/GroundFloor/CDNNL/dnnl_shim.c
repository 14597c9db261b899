// Used by builds with oneDNN; builds without it use `stub.c`.
#if __has_include(<dnnl.h>)

#include "CDNNL.h"
#include <dnnl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    dnnl_status_t status_ = (call);                                                                                    \
    if (status_ != dnnl_success) return status_;                                                                       \
  } while (0)

// -------------------------------------------------------------------------------- Memory descriptors of 2.x and of 3.x

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t descriptor; // A pointer; owned where it stands in one of our structs.
typedef const_dnnl_memory_desc_t borrowed_descriptor;

static dnnl_status_t descriptor_make(
  descriptor *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  return dnnl_memory_desc_create_with_tag(d, rank, dims, type, tag);
}
static dnnl_status_t descriptor_copy(descriptor *d, borrowed_descriptor from) {
  return dnnl_memory_desc_clone(d, from);
}
static void descriptor_free(descriptor *d) {
  if (*d) dnnl_memory_desc_destroy(*d);
  *d = NULL;
}
static borrowed_descriptor descriptor_borrow(const descriptor *d) { return *d; }
static int descriptor_rank(borrowed_descriptor d) {
  int rank = 0;
  dnnl_memory_desc_query(d, dnnl_query_ndims_s32, &rank);
  return rank;
}

typedef struct blocking {
  dnnl_dims_t *sizes, *strides, *blocks, *indices;
  int count;
} blocking;
static bool descriptor_blocking(borrowed_descriptor d, blocking *b) {
  dnnl_format_kind_t kind = dnnl_format_kind_undef;
  dnnl_memory_desc_query(d, dnnl_query_format_kind, &kind);
  if (kind != dnnl_blocked) return false;
  dnnl_memory_desc_query(d, dnnl_query_dims, &b->sizes);
  dnnl_memory_desc_query(d, dnnl_query_strides, &b->strides);
  dnnl_memory_desc_query(d, dnnl_query_inner_nblks_s32, &b->count);
  dnnl_memory_desc_query(d, dnnl_query_inner_blks, &b->blocks);
  dnnl_memory_desc_query(d, dnnl_query_inner_idxs, &b->indices);
  return true;
}

#else

typedef dnnl_memory_desc_t descriptor; // A value.
typedef const dnnl_memory_desc_t *borrowed_descriptor;

static dnnl_status_t descriptor_make(
  descriptor *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  return dnnl_memory_desc_init_by_tag(d, rank, dims, type, tag);
}
static dnnl_status_t descriptor_copy(descriptor *d, borrowed_descriptor from) {
  *d = *from;
  return dnnl_success;
}
static void descriptor_free(descriptor *d) { (void)d; }
static borrowed_descriptor descriptor_borrow(const descriptor *d) { return d; }
static int descriptor_rank(borrowed_descriptor d) { return d->ndims; }

typedef struct blocking {
  const dnnl_dims_t *sizes, *strides, *blocks, *indices;
  int count;
} blocking;
static bool descriptor_blocking(borrowed_descriptor d, blocking *b) {
  if (d->format_kind != dnnl_blocked) return false;
  b->sizes = &d->dims;
  b->strides = &d->format_desc.blocking.strides;
  b->blocks = &d->format_desc.blocking.inner_blks;
  b->indices = &d->format_desc.blocking.inner_idxs;
  b->count = d->format_desc.blocking.inner_nblks;
  return true;
}

#endif

// -------------------------------------------------------------------------------------------------- Engine and stream

static dnnl_engine_t engine;
static dnnl_stream_t stream; // On the processor it executes in the calling thread and holds no state of a call.
static dnnl_status_t engine_status;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;

static void make_engine(void) {
  engine_status = dnnl_engine_create(&engine, dnnl_cpu, 0);
  if (engine_status == dnnl_success) engine_status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
}

static dnnl_status_t ensure_engine(void) {
  pthread_once(&engine_once, make_engine);
  return engine_status;
}

bool cdnnl_is_available(void) { return ensure_engine() == dnnl_success; }

static bool has_isa(dnnl_cpu_isa_t isa) {
#if defined(__x86_64__)
  return cdnnl_is_available() && ((unsigned)dnnl_get_effective_cpu_isa() & isa) == (unsigned)isa;
#else
  return false;
#endif
}

bool cdnnl_has_compiled_kernels(void) { return has_isa(dnnl_cpu_isa_avx2); }
bool cdnnl_has_bfloat16_kernels(void) { return has_isa(dnnl_cpu_isa_avx512_core_bf16); }

static dnnl_data_type_t data_type(cdnnl_element element) { return element == CDNNL_BFLOAT16 ? dnnl_bf16 : dnnl_f32; }

// ------------------------------------------------------------------------------------------------------------- Layouts

struct cdnnl_layout {
  descriptor md;
  cdnnl_element element;
};

static dnnl_status_t weights_descriptor(descriptor *md, const cdnnl_shape *s, cdnnl_element element) {
  if (s->groups == 1) {
    const dnnl_dims_t dims = {s->output_channels, s->input_channels, s->kernel, s->kernel};
    return descriptor_make(md, 4, dims, data_type(element), dnnl_format_tag_any);
  }
  const dnnl_dims_t dims = {
    s->groups, s->output_channels / s->groups, s->input_channels / s->groups, s->kernel, s->kernel};
  return descriptor_make(md, 5, dims, data_type(element), dnnl_format_tag_any);
}

void cdnnl_layout_destroy(cdnnl_layout *layout) {
  if (!layout) return;
  descriptor_free(&layout->md);
  free(layout);
}

size_t cdnnl_layout_count(const cdnnl_layout *layout) {
  return dnnl_memory_desc_get_size(descriptor_borrow(&layout->md)) / (layout->element == CDNNL_BFLOAT16 ? 2 : 4);
}

long cdnnl_layout_blocking(
  const cdnnl_layout *layout, long *sizes, long *strides, long *factors, long *dimensions, long *factor_count) {
  borrowed_descriptor md = descriptor_borrow(&layout->md);
  blocking b;
  if (!descriptor_blocking(md, &b) || b.count > CDNNL_MAX_DIMENSIONS) return 0;
  const int rank = descriptor_rank(md);
  for (int i = 0; i < rank; i++) {
    sizes[i] = (*b.sizes)[i];
    strides[i] = (*b.strides)[i];
  }
  for (int i = 0; i < b.count; i++) {
    factors[i] = (*b.blocks)[i];
    dimensions[i] = (*b.indices)[i];
  }
  *factor_count = b.count;
  return rank;
}

// -------------------------------------------------------------------------------------------------------- Convolutions

struct cdnnl_convolution {
  dnnl_primitive_t primitive;
  dnnl_primitive_desc_t pd;
  descriptor input_md, output_md, weights_md, bias_md;
  dnnl_memory_t input, output, weights, bias, scratchpad;
  dnnl_exec_arg_t arguments[5];
  int argument_count;
  cdnnl_element weights_element;
};

static dnnl_status_t make_scratchpad(dnnl_memory_t *memory, const_dnnl_primitive_desc_t pd) {
  return dnnl_memory_create(
    memory, dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0), engine, DNNL_MEMORY_ALLOCATE);
}

void cdnnl_convolution_destroy(cdnnl_convolution *c) {
  if (!c) return;
  if (c->primitive) dnnl_primitive_destroy(c->primitive);
  if (c->pd) dnnl_primitive_desc_destroy(c->pd);
  dnnl_memory_t memories[] = {c->input, c->output, c->weights, c->bias, c->scratchpad};
  for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
    if (memories[i]) dnnl_memory_destroy(memories[i]);
  descriptor_free(&c->input_md);
  descriptor_free(&c->output_md);
  descriptor_free(&c->weights_md);
  descriptor_free(&c->bias_md);
  free(c);
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha, float beta) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_eltwise(ops, kind, alpha, beta);
#else
  return dnnl_post_ops_append_eltwise(ops, 1.0f, kind, alpha, beta);
#endif
}

static dnnl_status_t append_activation(dnnl_post_ops_t ops, cdnnl_activation activation) {
  switch (activation) {
  case CDNNL_NONE: return dnnl_success;
  case CDNNL_SILU: return append_eltwise(ops, dnnl_eltwise_swish, 1, 0);
  case CDNNL_RELU: return append_eltwise(ops, dnnl_eltwise_relu, 0, 0);
  case CDNNL_RELU6: return append_eltwise(ops, dnnl_eltwise_clip, 0, 6);
  case CDNNL_HARD_SWISH: return append_eltwise(ops, dnnl_eltwise_hardswish, 1.0f / 6, 0.5f); // 2.x ignores both.
  case CDNNL_HARD_SIGMOID:
    TRY(append_eltwise(ops, dnnl_eltwise_linear, 1.0f / 6, 0.5f));
    return append_eltwise(ops, dnnl_eltwise_clip, 0, 1);
  case CDNNL_SIGMOID: return append_eltwise(ops, dnnl_eltwise_logistic, 0, 0);
  }
  return dnnl_invalid_arguments;
}

/// The primitive descriptor of one pass; `hint` is the forward one, which the backward passes ask for.
static dnnl_status_t describe(
  dnnl_primitive_desc_t *pd, cdnnl_convolution *c, cdnnl_pass pass, const cdnnl_shape *s, bool has_bias,
  const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint) {
  const dnnl_dims_t strides = {s->stride, s->stride}, padding = {s->padding, s->padding};
  borrowed_descriptor x = descriptor_borrow(&c->input_md), y = descriptor_borrow(&c->output_md),
                      w = descriptor_borrow(&c->weights_md), b = has_bias ? descriptor_borrow(&c->bias_md) : NULL;
  const dnnl_alg_kind_t direct = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  const dnnl_dims_t dilates = {0, 0};
  switch (pass) {
  case CDNNL_FORWARD:
    return dnnl_convolution_forward_primitive_desc_create(
      pd, engine, dnnl_forward_training, direct, x, w, b, y, strides, dilates, padding, padding, attr);
  case CDNNL_BACKWARD_DATA:
    return dnnl_convolution_backward_data_primitive_desc_create(
      pd, engine, direct, x, w, y, strides, dilates, padding, padding, hint, attr);
  case CDNNL_BACKWARD_WEIGHTS:
    return dnnl_convolution_backward_weights_primitive_desc_create(
      pd, engine, direct, x, w, NULL, y, strides, dilates, padding, padding, hint, attr);
  }
  return dnnl_invalid_arguments;
#else
  dnnl_convolution_desc_t d;
  switch (pass) {
  case CDNNL_FORWARD:
    TRY(dnnl_convolution_forward_desc_init(
      &d, dnnl_forward_training, direct, x, w, b, y, strides, padding, padding));
    break;
  case CDNNL_BACKWARD_DATA:
    TRY(dnnl_convolution_backward_data_desc_init(&d, direct, x, w, y, strides, padding, padding));
    break;
  case CDNNL_BACKWARD_WEIGHTS:
    TRY(dnnl_convolution_backward_weights_desc_init(&d, direct, x, w, NULL, y, strides, padding, padding));
    break;
  }
  return dnnl_primitive_desc_create(pd, &d, attr, engine, hint);
#endif
}

static dnnl_status_t bind(
  cdnnl_convolution *c, dnnl_memory_t *memory, borrowed_descriptor md, int argument, void *handle) {
  TRY(dnnl_memory_create(memory, md, engine, handle));
  c->arguments[c->argument_count++] = (dnnl_exec_arg_t){argument, *memory};
  return dnnl_success;
}

static dnnl_status_t convolution_setup(
  cdnnl_convolution *c, cdnnl_pass pass, const cdnnl_shape *s, bool has_bias, const cdnnl_layout *layout,
  const_dnnl_primitive_attr_t plain_attr, const_dnnl_primitive_attr_t attr) {
  const long output_height = (s->input_height + 2 * s->padding - s->kernel) / s->stride + 1;
  const long output_width = (s->input_width + 2 * s->padding - s->kernel) / s->stride + 1;
  const dnnl_dims_t input = {s->images, s->input_channels, s->input_height, s->input_width};
  const dnnl_dims_t output = {s->images, s->output_channels, output_height, output_width};
  const dnnl_dims_t bias = {s->output_channels};
  TRY(descriptor_make(&c->input_md, 4, input, data_type(s->element), dnnl_nhwc));
  TRY(descriptor_make(&c->output_md, 4, output, data_type(s->output_element), dnnl_nhwc));
  TRY(descriptor_make(&c->bias_md, 1, bias, dnnl_f32, dnnl_x));
  TRY(weights_descriptor(&c->weights_md, s, s->element));

  dnnl_primitive_desc_t hint = NULL;
  if (pass != CDNNL_FORWARD) TRY(describe(&hint, c, CDNNL_FORWARD, s, false, plain_attr, NULL));
  // A gradient of weights is a sum of many products, kept in float32.
  c->weights_element = pass == CDNNL_BACKWARD_WEIGHTS ? CDNNL_FLOAT32 : s->element;
  descriptor_free(&c->weights_md);
  TRY(
    layout ? descriptor_copy(&c->weights_md, descriptor_borrow(&layout->md))
           : weights_descriptor(&c->weights_md, s, c->weights_element));
  if (pass == CDNNL_FORWARD) {
    TRY(describe(&c->pd, c, pass, s, has_bias, attr, NULL));
  } else {
    dnnl_status_t status = describe(&c->pd, c, pass, s, false, attr, hint);
    dnnl_primitive_desc_destroy(hint);
    TRY(status);
  }
  TRY(dnnl_primitive_create(&c->primitive, c->pd));

  const bool data = pass == CDNNL_BACKWARD_DATA, filters = pass == CDNNL_BACKWARD_WEIGHTS;
  borrowed_descriptor w =
    dnnl_primitive_desc_query_md(c->pd, filters ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
  TRY(bind(c, &c->input, descriptor_borrow(&c->input_md), data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, DNNL_MEMORY_NONE));
  TRY(bind(c, &c->weights, w, filters ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, DNNL_MEMORY_NONE));
  TRY(bind(
    c, &c->output, descriptor_borrow(&c->output_md), pass == CDNNL_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST,
    DNNL_MEMORY_NONE));
  TRY(make_scratchpad(&c->scratchpad, c->pd));
  c->arguments[c->argument_count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, c->scratchpad};
  if (has_bias) TRY(bind(c, &c->bias, descriptor_borrow(&c->bias_md), DNNL_ARG_BIAS, DNNL_MEMORY_NONE));
  return dnnl_success;
}

int cdnnl_convolution_create(
  cdnnl_convolution **convolution, cdnnl_pass pass, cdnnl_shape shape, bool has_bias, cdnnl_activation activation,
  const cdnnl_layout *weights) {
  TRY(ensure_engine());
  cdnnl_convolution *c = calloc(1, sizeof *c);
  dnnl_primitive_attr_t plain_attr = NULL, attr = NULL;
  dnnl_post_ops_t ops = NULL;
  dnnl_status_t status = c ? dnnl_primitive_attr_create(&attr) : dnnl_out_of_memory;
  if (status == dnnl_success) status = dnnl_primitive_attr_create(&plain_attr);
  if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
  if (status == dnnl_success && activation != CDNNL_NONE) {
    status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success) status = append_activation(ops, activation);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, ops);
  }
  if (status == dnnl_success) status = convolution_setup(c, pass, &shape, has_bias, weights, plain_attr, attr);
  if (ops) dnnl_post_ops_destroy(ops);
  if (attr) dnnl_primitive_attr_destroy(attr);
  if (plain_attr) dnnl_primitive_attr_destroy(plain_attr);
  if (status != dnnl_success) {
    cdnnl_convolution_destroy(c);
    return status;
  }
  *convolution = c;
  return dnnl_success;
}

int cdnnl_convolution_run(cdnnl_convolution *c, void *input, void *weights, const float *bias, void *output) {
  TRY(dnnl_memory_set_data_handle(c->input, input));
  TRY(dnnl_memory_set_data_handle(c->weights, weights));
  TRY(dnnl_memory_set_data_handle(c->output, output));
  if (c->bias) TRY(dnnl_memory_set_data_handle(c->bias, (void *)bias));
  return dnnl_primitive_execute(c->primitive, stream, c->argument_count, c->arguments);
}

int cdnnl_layout_create(cdnnl_layout **layout, const cdnnl_convolution *c) {
  cdnnl_layout *l = calloc(1, sizeof *l);
  if (!l) return dnnl_out_of_memory;
  borrowed_descriptor md = dnnl_primitive_desc_query_md(c->pd, dnnl_query_diff_weights_md, 0);
  if (!md || dnnl_memory_desc_get_size(md) == 0) md = dnnl_primitive_desc_query_md(c->pd, dnnl_query_weights_md, 0);
  dnnl_status_t status = md ? descriptor_copy(&l->md, md) : dnnl_invalid_arguments;
  if (status != dnnl_success) {
    free(l);
    return status;
  }
  l->element = c->weights_element;
  *layout = l;
  return dnnl_success;
}

#endif
