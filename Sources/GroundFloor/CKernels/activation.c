#include "activation.h"
#include "rows.h"

typedef struct {
  ck_map dst, gradient, src;
  ck_rows rows;
  ck_activation activation;
  bool accumulate;
} task;

CK_INLINE void activate_rows(const task *t, long begin, long end, ck_element e, ck_activation activation) {
  FOR_ROWS(t->rows, r, n) {
    const ck_map dst = ck_row(ck_as(e, t->dst), t->rows, r), src = ck_row(ck_as(e, t->src), t->rows, r);
    CK_SIMD for (long i = 0; i < n; i++) ck_set(dst, i, ck_apply(ck_get(src, i), activation));
  }
}

CK_INLINE void activate(const task *t, long begin, long end, int part, ck_element e) {
  CK_FOR_ACTIVATION(t->activation, activate_rows, t, begin, end, e)
}
CK_BODY(activate, task, dst)

void ck_activate(ck_map dst, ck_map src, long rows, long channels, ck_activation activation) {
  const bool is_dense = dst.stride == channels && src.stride == channels;
  task t = {.dst = dst, .src = src, .rows = ck_make_rows(rows, channels, is_dense), .activation = activation};
  ck_run(activate_body, &t, t.rows.count, t.rows.length);
}

CK_INLINE void activate_backward_rows(const task *t, long begin, long end, ck_element e, ck_activation activation) {
  FOR_ROWS(t->rows, r, n) {
    const ck_map dst = ck_row(ck_as(e, t->dst), t->rows, r), src = ck_row(ck_as(e, t->src), t->rows, r);
    const ck_map gradient = ck_row(ck_as(e, t->gradient), t->rows, r);
    if (t->accumulate) {
      CK_SIMD for (long i = 0; i < n; i++) {
        ck_set(dst, i, ck_get(dst, i) + ck_apply_backward(ck_get(gradient, i), ck_get(src, i), activation));
      }
    } else {
      CK_SIMD for (long i = 0; i < n; i++) {
        ck_set(dst, i, ck_apply_backward(ck_get(gradient, i), ck_get(src, i), activation));
      }
    }
  }
}

CK_INLINE void activate_backward(const task *t, long begin, long end, int part, ck_element e) {
  CK_FOR_ACTIVATION(t->activation, activate_backward_rows, t, begin, end, e)
}
CK_BODY(activate_backward, task, dst)

void ck_activate_backward(
  ck_map dst, ck_map gradient, ck_map src, long rows, long channels, ck_activation activation, bool accumulate) {
  const bool is_dense = dst.stride == channels && gradient.stride == channels && src.stride == channels;
  task t = {
    .dst = dst, .gradient = gradient, .src = src, .rows = ck_make_rows(rows, channels, is_dense),
    .activation = activation, .accumulate = accumulate};
  ck_run(activate_backward_body, &t, t.rows.count, t.rows.length);
}
