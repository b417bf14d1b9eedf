// Depthwise causal convolution and SiLU for processors, forward and backward, called through
// ctypes by conv_cpu.py. Tensors are channels-last: one row is the channels of one time.
//
// A task is a stretch of time of one batch element. It works row by row, so that everything it
// touches is read and written in order; the few rows that a tap reaches back to stay in the
// first-level cache. The backward pass computes the rows past the end of its stretch again rather
// than wait for its neighbour, and leaves the weights' gradients as one partial sum a task, so
// that results do not depend on the number of threads.

#include "lanes.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

constexpr int64_t kStretch = 128;  // times of one task

// The fields of conv_cpu.py, in the same order.
struct Convolution {
  int64_t batch, channels, taps, length, silu, reverse, threads;
  View x, y, grad_y, grad_x;
  void *weight, *bias;                   // (taps, E) with the present element's tap last, and (E,)
  void *initial, *grad_initial;          // (B, taps - 1, E), or absent
  void *grad_weight, *grad_bias;         // (tasks, taps, E) and (tasks, E)
};

// Run `body(offset, lanes)` for every group of channels.
template <typename T, typename Body> inline void for_each_group(int64_t channels, Body body) {
  int64_t e = 0;
  for (; e + kLanes<T> <= channels; e += kLanes<T>) body(e, kLanes<T>);
  if (e < channels) body(e, channels - e);
}

template <typename T> inline Vec<T> read(const T* from, int64_t lanes) {
  Vec<T> value{};
  if (lanes == kLanes<T>) std::memcpy(&value, from, sizeof value);
  else for (int64_t i = 0; i < lanes; ++i) value[i] = from[i];
  return value;
}

template <typename T> inline void write(T* to, Vec<T> value, int64_t lanes) {
  if (lanes == kLanes<T>) std::memcpy(to, &value, sizeof value);
  else for (int64_t i = 0; i < lanes; ++i) to[i] = value[i];
}

template <typename T> class Stretch {
 public:
  explicit Stretch(const Convolution& problem)
      : c(problem), E(problem.channels), K(problem.taps), zeros(E), rows(K), grads(K * E) {}

  void forward(int64_t b, int64_t index) {
    for (int64_t t = index * kStretch, end = end_of(index); t < end; ++t) {
      find_rows(b, t);
      T* y = at<T>(c.y, b, 0, t);
      for_each_group<T>(E, [&](int64_t e, int64_t lanes) {
        Vec<T> sum = convolve(e, lanes);
        if (c.silu) sum *= sigmoid<T>(sum);
        write<T>(y + e, sum, lanes);
      });
    }
  }

  // grad_x[s] = sum_j weight[j] g[s + K - 1 - j], g the gradient to the sum before the SiLU.
  void backward(int64_t b, int64_t index) {
    const int64_t first = index * kStretch, end = end_of(index);
    const int64_t task = b * stretches() + index;
    T* grad_weight = static_cast<T*>(c.grad_weight) + task * K * E;
    T* grad_bias = static_cast<T*>(c.grad_bias) + task * E;
    std::fill_n(grad_weight, K * E, T{});
    std::fill_n(grad_bias, E, T{});
    std::fill(grads.begin(), grads.end(), T{});
    for (int64_t t = first; t < end + K - 1; ++t) {
      if (t < c.length) {
        find_rows(b, t);
        gradient_row(b, t);
        if (t < end) add_weight_gradients(grad_weight, grad_bias, t);
      } else {
        std::fill_n(&grads[t % K * E], E, T{});
      }
      const int64_t target = t - (K - 1);
      if (target >= first) input_row(at<T>(c.grad_x, b, 0, target), target);
      else if (first == 0 && c.grad_initial)
        input_row(static_cast<T*>(c.grad_initial) + (b * (K - 1) + t) * E, target);
    }
  }

 private:
  const Convolution& c;
  const int64_t E, K;
  std::vector<T> zeros;
  std::vector<const T*> rows;  // of x: the one that each tap meets
  std::vector<T> grads;        // the last K rows of g, row t at t % K

  int64_t stretches() const { return (c.length + kStretch - 1) / kStretch; }
  int64_t end_of(int64_t index) const { return std::min(c.length, (index + 1) * kStretch); }

  void find_rows(int64_t b, int64_t t) {
    const T* initial = static_cast<const T*>(c.initial);
    for (int64_t j = 0; j < K; ++j) {
      const int64_t source = t - (K - 1) + j;
      if (source >= 0) rows[j] = at<T>(c.x, b, 0, source);
      else rows[j] = initial ? initial + (b * (K - 1) + source + K - 1) * E : zeros.data();
    }
  }

  inline Vec<T> convolve(int64_t e, int64_t lanes) const {
    const T* weight = static_cast<const T*>(c.weight);
    Vec<T> sum = read<T>(static_cast<const T*>(c.bias) + e, lanes);
    for (int64_t j = 0; j < K; ++j)
      sum += read<T>(weight + j * E + e, lanes) * read<T>(rows[j] + e, lanes);
    return sum;
  }

  void gradient_row(int64_t b, int64_t t) {
    const T* grad_y = at<T>(c.grad_y, b, 0, t);
    T* row = &grads[t % K * E];
    for_each_group<T>(E, [&](int64_t e, int64_t lanes) {
      Vec<T> grad = read<T>(grad_y + e, lanes);
      if (c.silu) {  // silu(a)' = s (1 + a (1 - s)), s = sigmoid(a)
        const Vec<T> a = convolve(e, lanes), s = sigmoid<T>(a);
        grad *= s * (T{1} + a * (T{1} - s));
      }
      write<T>(row + e, grad, lanes);
    });
  }

  void add_weight_gradients(T* grad_weight, T* grad_bias, int64_t t) {
    const T* row = &grads[t % K * E];
    for_each_group<T>(E, [&](int64_t e, int64_t lanes) {
      const Vec<T> grad = read<T>(row + e, lanes);
      write<T>(grad_bias + e, read<T>(grad_bias + e, lanes) + grad, lanes);
      for (int64_t j = 0; j < K; ++j) {
        T* sum = grad_weight + j * E + e;
        write<T>(sum, read<T>(sum, lanes) + grad * read<T>(rows[j] + e, lanes), lanes);
      }
    });
  }

  void input_row(T* to, int64_t s) {
    const T* weight = static_cast<const T*>(c.weight);
    const int64_t reached = std::min(K, K + s);  // taps of no time before the first are left out
    for (int64_t j = 0; j < reached; ++j) rows[j] = &grads[(s + K - 1 - j) % K * E];
    for_each_group<T>(E, [&](int64_t e, int64_t lanes) {
      Vec<T> sum{};
      for (int64_t j = 0; j < reached; ++j)
        sum += read<T>(weight + j * E + e, lanes) * read<T>(rows[j] + e, lanes);
      write<T>(to + e, sum, lanes);
    });
  }
};

// ---- entry points ----

template <typename T, typename Task> void for_each_stretch(Convolution problem, Task task) {
  if (problem.reverse)
    for (View* view : {&problem.x, &problem.y, &problem.grad_y, &problem.grad_x})
      turn<T>(*view, problem.length);
  const int64_t stretches = (problem.length + kStretch - 1) / kStretch;
#pragma omp parallel num_threads(problem.threads)
  {
    Stretch<T> stretch(problem);
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < problem.batch * stretches; ++i)
      task(stretch, i / stretches, i % stretches);
  }
}

template <typename T> void forward(const Convolution& problem) {
  for_each_stretch<T>(problem,
                      [](Stretch<T>& part, int64_t b, int64_t i) { part.forward(b, i); });
}

template <typename T> void backward(const Convolution& problem) {
  for_each_stretch<T>(problem,
                      [](Stretch<T>& part, int64_t b, int64_t i) { part.backward(b, i); });
}

}  // namespace

extern "C" {

// For the caller: bytes of `Convolution`, to check that both sides mean the same struct, and the
// times of one task.
int64_t convolution_bytes() { return sizeof(Convolution); }
int64_t stretch_steps() { return kStretch; }

void convolve_forward_float(const Convolution* problem) { forward<float>(*problem); }
void convolve_forward_double(const Convolution* problem) { forward<double>(*problem); }
void convolve_backward_float(const Convolution* problem) { backward<float>(*problem); }
void convolve_backward_double(const Convolution* problem) { backward<double>(*problem); }
}
