#include "rows.h"
#include <math.h>

// Constants are rounded to float once and the operations stand in PyTorch's order.

static void run(ck_body *body, const void *task, long count) { ck_run(body, task, ck_block_count(count), ck_block); }

CK_CLONES static void sgd_body(const void *context, long begin, long end, int part) {
  const ck_sgd_args *a = context;
  float *p = a->parameters, *buffer = a->momenta;
  const float *g = a->gradients;
  const float rate = (float)a->rate, momentum = (float)a->momentum, decay = (float)a->decay;
  const float kept = a->is_first ? 0 : momentum;
  FOR_VALUES(a->count, i) {
    float d = g[i] + decay * p[i];
    float b = kept * buffer[i] + d;
    buffer[i] = b;
    p[i] -= rate * (d + momentum * b);
  }
}

void ck_sgd(ck_sgd_args args) { run(sgd_body, &args, args.count); }

typedef struct {
  ck_adam_args a;
  float rate, decay, shrink, weight1, beta2, weight2, correction, epsilon;
} adam_task;

CK_CLONES static void adam_body(const void *context, long begin, long end, int part) {
  const adam_task *t = context;
  float *p = t->a.parameters, *means = t->a.means, *squares = t->a.squares;
  const float *g = t->a.gradients;
  const float rate = t->rate, decay = t->decay, shrink = t->shrink, weight1 = t->weight1, beta2 = t->beta2,
              weight2 = t->weight2, correction = t->correction, epsilon = t->epsilon;
  FOR_VALUES(t->a.count, i) {
    float value = p[i] * shrink;
    float d = g[i] + decay * value;
    float m = means[i] + weight1 * (d - means[i]);
    float s = beta2 * squares[i] + weight2 * (d * d);
    means[i] = m;
    squares[i] = s;
    p[i] = value - rate * (m / (__builtin_elementwise_sqrt(s) / correction + epsilon));
  }
}

void ck_adam(ck_adam_args a) {
  adam_task t = {
    .a = a, .rate = (float)(a.rate / (1 - pow(a.beta1, (double)a.step))), .decay = a.is_decoupled ? 0 : (float)a.decay,
    .shrink = a.is_decoupled ? (float)(1 - a.rate * a.decay) : 1, .weight1 = (float)(1 - a.beta1),
    .beta2 = (float)a.beta2, .weight2 = (float)(1 - a.beta2),
    .correction = (float)sqrt(1 - pow(a.beta2, (double)a.step)), .epsilon = (float)a.epsilon};
  run(adam_body, &t, a.count);
}

typedef struct {
  float *average;
  const float *values;
  long count;
  float decay, weight;
} average_task;

CK_CLONES static void moving_average_body(const void *context, long begin, long end, int part) {
  const average_task *t = context;
  float *average = t->average;
  const float *values = t->values, decay = t->decay, weight = t->weight;
  FOR_VALUES(t->count, i) average[i] = average[i] * decay + weight * values[i];
}

void ck_moving_average(float *average, const float *values, long count, double decay) {
  average_task t = {average, values, count, (float)decay, (float)(1 - decay)};
  run(moving_average_body, &t, count);
}

typedef struct {
  float *values;
  long count;
  float factor;
} multiply_task;

CK_CLONES static void multiply_body(const void *context, long begin, long end, int part) {
  const multiply_task *t = context;
  float *values = t->values;
  const float factor = t->factor;
  FOR_VALUES(t->count, i) values[i] *= factor;
}

void ck_multiply(float *values, long count, float factor) {
  multiply_task t = {values, count, factor};
  run(multiply_body, &t, count);
}

typedef struct {
  float *gradients;
  const float *parameters;
  long count;
  float rate;
} sign_task;

CK_CLONES static void add_sign_body(const void *context, long begin, long end, int part) {
  const sign_task *t = context;
  float *gradients = t->gradients;
  const float *p = t->parameters, rate = t->rate;
  FOR_VALUES(t->count, i) gradients[i] += p[i] > 0 ? rate : (p[i] < 0 ? -rate : 0);
}

void ck_add_sign(float *gradients, const float *parameters, long count, float rate) {
  sign_task t = {gradients, parameters, count, rate};
  run(add_sign_body, &t, count);
}

typedef struct {
  const float *values;
  long count;
  double *sums; // one a part
} squares_task;

CK_CLONES static void sum_of_squares_body(const void *context, long begin, long end, int part) {
#pragma clang fp reassociate(on)
  const squares_task *t = context;
  const float *values = t->values;
  const long last = ck_min(end * ck_block, t->count);
  double total = 0;
  for (long i = begin * ck_block; i < last; i++) total += (double)values[i] * (double)values[i];
  t->sums[part] = total;
}

double ck_sum_of_squares(const float *values, long count) {
  if (count <= 0) return 0;
  const int parts = ck_part_count(ck_block_count(count), ck_block);
  squares_task t = {values, count, ck_scratch((size_t)parts * sizeof(double))};
  ck_run_parts(sum_of_squares_body, &t, ck_block_count(count), parts);
  double total = 0;
  for (int part = 0; part < parts; part++) total += t.sums[part];
  return total;
}
