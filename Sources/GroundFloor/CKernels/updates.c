#include "run.h"
#include <math.h>

// Constants are rounded to float once and the operations stand in PyTorch's order.

typedef struct {
  float *parameters, *mean, *square;
  const float *gradients;
  double *sums;
  long count;
  float rate, momentum, decay, shrink, weight1, beta2, weight2, correction, epsilon, factor;
  bool first;
} task;

enum { block_floats = 1024 };

static void run(ck_body *body, const task *t) {
  ck_run(body, t, (t->count + block_floats - 1) / block_floats, block_floats);
}

#define FOR_BLOCKS(t, i) \
  const long from = begin * block_floats, to = ck_min(end * block_floats, t->count); \
  (void)part; \
  CK_SIMD for (long i = from; i < to; i++)

CK_CLONES static void sgd_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  float *p = t->parameters, *buffer = t->mean;
  const float *g = t->gradients;
  const float rate = t->rate, momentum = t->momentum, decay = t->decay;
  const float kept = t->first ? 0 : momentum;
  FOR_BLOCKS(t, i) {
    float d = g[i] + decay * p[i];
    float b = kept * buffer[i] + d;
    buffer[i] = b;
    p[i] -= rate * (d + momentum * b);
  }
}

void ck_sgd(
  float *parameters, float *buffer, const float *gradients, long count, double rate, double momentum, double decay,
  bool first) {
  task t = {
    .parameters = parameters, .mean = buffer, .gradients = gradients, .count = count, .rate = (float)rate,
    .momentum = (float)momentum, .decay = (float)decay, .first = first};
  run(sgd_body, &t);
}

CK_CLONES static void adam_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  float *p = t->parameters, *mean = t->mean, *square = t->square;
  const float *g = t->gradients;
  const float rate = t->rate, decay = t->decay, shrink = t->shrink, weight1 = t->weight1, beta2 = t->beta2,
              weight2 = t->weight2, correction = t->correction, epsilon = t->epsilon;
  FOR_BLOCKS(t, i) {
    float value = p[i] * shrink;
    float d = g[i] + decay * value;
    float m = mean[i] + weight1 * (d - mean[i]);
    float s = beta2 * square[i] + weight2 * (d * d);
    mean[i] = m;
    square[i] = s;
    p[i] = value - rate * (m / (__builtin_elementwise_sqrt(s) / correction + epsilon));
  }
}

void ck_adam(
  float *parameters, float *mean, float *square, const float *gradients, long count, double rate, double beta1,
  double beta2, double epsilon, double decay, long step, bool decoupled) {
  task t = {
    .parameters = parameters, .mean = mean, .square = square, .gradients = gradients, .count = count,
    .rate = (float)(rate / (1 - pow(beta1, (double)step))), .decay = decoupled ? 0 : (float)decay,
    .shrink = decoupled ? (float)(1 - rate * decay) : 1, .weight1 = (float)(1 - beta1), .beta2 = (float)beta2,
    .weight2 = (float)(1 - beta2), .correction = (float)sqrt(1 - pow(beta2, (double)step)),
    .epsilon = (float)epsilon};
  run(adam_body, &t);
}

CK_CLONES static void moving_average_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  float *average = t->mean;
  const float *values = t->gradients;
  const float decay = t->decay, rate = t->rate;
  FOR_BLOCKS(t, i) average[i] = average[i] * decay + rate * values[i];
}

void ck_moving_average(float *average, const float *values, long count, double decay) {
  task t = {
    .mean = average, .gradients = values, .count = count, .decay = (float)decay, .rate = (float)(1 - decay)};
  run(moving_average_body, &t);
}

CK_CLONES static void multiply_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  float *values = t->mean;
  const float factor = t->factor;
  FOR_BLOCKS(t, i) values[i] *= factor;
}

void ck_multiply(float *values, long count, float factor) {
  task t = {.mean = values, .count = count, .factor = factor};
  run(multiply_body, &t);
}

CK_CLONES static void add_sign_body(const void *context, long begin, long end, int part) {
  const task *t = context;
  float *gradients = t->mean;
  const float *p = t->gradients;
  const float rate = t->rate;
  FOR_BLOCKS(t, i) gradients[i] += p[i] > 0 ? rate : (p[i] < 0 ? -rate : 0);
}

void ck_add_sign(float *gradients, const float *parameters, long count, float rate) {
  task t = {.mean = gradients, .gradients = parameters, .count = count, .rate = rate};
  run(add_sign_body, &t);
}

CK_CLONES static void sum_of_squares_body(const void *context, long begin, long end, int part) {
#pragma clang fp reassociate(on)
  const task *t = context;
  const float *values = t->gradients;
  const long from = begin * block_floats, to = ck_min(end * block_floats, t->count);
  double total = 0;
  for (long i = from; i < to; i++) total += (double)values[i] * (double)values[i];
  t->sums[part] = total;
}

double ck_sum_of_squares(const float *values, long count) {
  if (count <= 0) return 0;
  const long blocks = (count + block_floats - 1) / block_floats;
  const int parts = ck_part_count(blocks, block_floats);
  task t = {.gradients = values, .count = count, .sums = ck_scratch((size_t)parts * sizeof(double))};
  ck_run_parts(sum_of_squares_body, &t, blocks, parts);
  double total = 0;
  for (int part = 0; part < parts; part++) total += t.sums[part];
  return total;
}
