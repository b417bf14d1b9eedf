// Selective scan for processors, forward and backward, called through ctypes by scan_cpu.py.
//
// Legend: B batch, E channels, S states, L length. W lanes of a vector register, each lane one
// channel. A group is W channels, a slab kGroups groups, a tile kSteps times of one group.
//
// A task is one slab of one batch element. It walks the tiles in time order, one state at a time,
// so that a state lives in one register and nothing of size (B, E, L, S) is ever stored. The
// forward pass keeps the state at the start of every tile; the backward pass recomputes the rest.
// Sums over channels (the gradients of B and C) are taken inside a slab and left as one partial
// sum a slab, so that results do not depend on the number of threads.
//
// No torch header is included: compiling those takes longer than compiling this file.

#include "lanes.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

constexpr int kSteps = 64;
constexpr int kGroups = 4;

// The fields of scan_cpu.py, in the same order.
struct Problem {
  int64_t batch, channels, states, length, slabs, softplus, reverse, threads;
  View u, delta, B, C, z, y, grad_y, grad_u, grad_delta, grad_z;
  View grad_B, grad_C;  // (B * slabs, S, L)
  void *A, *D, *delta_bias, *initial_state, *last_state, *starts;
  void *grad_A, *grad_D, *grad_delta_bias, *grad_initial_state, *grad_last;
};

// ---- one slab: shared by both directions ----

template <typename T> struct Tile {
  Vec<T> raw[kSteps], u[kSteps], step[kSteps], input[kSteps], gate[kSteps], y[kSteps];
  Vec<T> grad[kSteps], sum_u[kSteps], sum_step[kSteps];
};

template <typename T> class Slab {
 public:
  explicit Slab(const Problem& problem)
      : p(problem), S(problem.states), rows(kGroups * S), decay_rate(rows), state(rows),
        grad_rate(rows), B(S * kSteps), C(S * kSteps), tiles(kGroups) {}

  void forward(int64_t b, int64_t slab) {
    open(b, slab);
    for (int64_t g = 0; g < groups; ++g)
      load_rows<T>(&state[g * S], shift<T>(p.initial_state, row(g) * S), S, place(g, 0).lanes);
    for (int64_t t = 0; t < p.length; t += kSteps) {
      load_inputs(t);
      for (int64_t g = 0; g < groups; ++g) {
        if (p.starts) std::copy_n(&state[g * S], S, starts(g, t));
        forward_tile(g, place(g, t));
      }
    }
    for (int64_t g = 0; g < groups; ++g)
      store_rows<T>(shift<T>(p.last_state, row(g) * S), &state[g * S], S, place(g, 0).lanes);
  }

  void backward(int64_t b, int64_t slab);

 private:
  using V = Vec<T>;
  const Problem& p;
  const int64_t S, rows;
  int64_t batch = 0, first = 0, slab = 0, groups = 0;  // `first` channel of the slab
  std::vector<V> decay_rate, state, grad_rate;  // per group and state; state: h, or its gradient
  std::vector<T> B, C;                          // per state and step
  std::vector<Tile<T>> tiles;
  V skip[kGroups], bias[kGroups], grad_skip[kGroups], grad_bias[kGroups];
  V decay[kSteps], states[kSteps + 1], grad_B[kSteps], grad_C[kSteps];

  void open(int64_t b, int64_t slab_) {
    batch = b;
    slab = slab_;
    first = slab * kGroups * kLanes<T>;
    const int64_t channels = std::min<int64_t>(kGroups * kLanes<T>, p.channels - first);
    groups = (channels + kLanes<T> - 1) / kLanes<T>;
    for (int64_t g = 0; g < groups; ++g) {
      const Place here = place(g, 0);
      load_rows<T>(&decay_rate[g * S], shift<T>(p.A, here.channel * S), S, here.lanes);
      load_rows<T>(&skip[g], shift<T>(p.D, here.channel), 1, here.lanes);
      load_rows<T>(&bias[g], shift<T>(p.delta_bias, here.channel), 1, here.lanes);
    }
  }

  Place place(int64_t g, int64_t t) const {
    const int64_t channel = first + g * kLanes<T>;
    return {batch, channel, t, std::min<int64_t>(kLanes<T>, p.channels - channel),
            std::min<int64_t>(kSteps, p.length - t)};
  }
  int64_t row(int64_t g) const { return batch * p.channels + first + g * kLanes<T>; }
  V* starts(int64_t g, int64_t t) const {
    const int64_t tiles_ = (p.length + kSteps - 1) / kSteps;
    const int64_t index = ((batch * p.slabs + slab) * tiles_ + t / kSteps) * kGroups + g;
    return static_cast<V*>(p.starts) + index * S;
  }

  void load_inputs(int64_t t0) {
    const int64_t steps = std::min<int64_t>(kSteps, p.length - t0);
    for (int64_t s = 0; s < S; ++s)
      for (int64_t t = 0; t < steps; ++t) {
        B[s * kSteps + t] = *at<T>(p.B, batch, s, t0 + t);
        C[s * kSteps + t] = *at<T>(p.C, batch, s, t0 + t);
      }
  }

  void load_tile(int64_t g, const Place& here) {
    Tile<T>& tile = tiles[g];
    load<T>(tile.u, p.u, here);
    load<T>(tile.raw, p.delta, here);
    if (p.z.data) load<T>(tile.gate, p.z, here);
    for (int64_t t = 0; t < here.steps; ++t) {
      tile.raw[t] += bias[g];
      tile.step[t] = p.softplus ? softplus<T>(tile.raw[t]) : tile.raw[t];
      tile.input[t] = tile.step[t] * tile.u[t];
      tile.y[t] = tile.u[t] * skip[g];
    }
  }

  void forward_tile(int64_t g, const Place& here) {
    load_tile(g, here);
    Tile<T>& tile = tiles[g];
    for (int64_t s = 0; s < S; ++s) {
      const V rate = decay_rate[g * S + s] * static_cast<T>(kLog2E);
      const T *b = &B[s * kSteps], *c = &C[s * kSteps];
      V h = state[g * S + s];
      for (int64_t t = 0; t < here.steps; ++t) {
        h = exp2(tile.step[t] * rate) * h + tile.input[t] * b[t];
        tile.y[t] += h * c[t];
      }
      state[g * S + s] = h;
    }
    if (p.z.data)
      for (int64_t t = 0; t < here.steps; ++t)
        tile.y[t] *= tile.gate[t] * sigmoid<T>(tile.gate[t]);
    store<T>(p.y, tile.y, here);
  }

  void backward_prepare(int64_t g, const Place& here);
  void backward_state(int64_t g, int64_t s, const Place& here);
  void backward_finish(int64_t g, const Place& here);
};

// ---- backward ----

template <typename T> void Slab<T>::backward(int64_t b, int64_t slab_) {
  open(b, slab_);
  for (int64_t g = 0; g < groups; ++g) {
    load_rows<T>(&state[g * S], shift<T>(p.grad_last, row(g) * S), S, place(g, 0).lanes);
    grad_skip[g] = grad_bias[g] = V{};
  }
  std::fill(grad_rate.begin(), grad_rate.end(), V{});
  for (int64_t t0 = (p.length - 1) / kSteps * kSteps; t0 >= 0; t0 -= kSteps) {
    const int64_t steps = std::min<int64_t>(kSteps, p.length - t0);
    load_inputs(t0);
    for (int64_t g = 0; g < groups; ++g) backward_prepare(g, place(g, t0));
    for (int64_t s = 0; s < S; ++s) {
      std::fill_n(grad_B, steps, V{});
      std::fill_n(grad_C, steps, V{});
      for (int64_t g = 0; g < groups; ++g) backward_state(g, s, place(g, t0));
      for (int64_t t = 0; t < steps; ++t) {
        *at<T>(p.grad_B, batch * p.slabs + slab, s, t0 + t) = sum_lanes<T>(grad_B[t]);
        *at<T>(p.grad_C, batch * p.slabs + slab, s, t0 + t) = sum_lanes<T>(grad_C[t]);
      }
    }
    for (int64_t g = 0; g < groups; ++g) backward_finish(g, place(g, t0));
  }
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t lanes = place(g, 0).lanes;
    store_rows<T>(shift<T>(p.grad_initial_state, row(g) * S), &state[g * S], S, lanes);
    store_rows<T>(shift<T>(p.grad_A, row(g) * S), &grad_rate[g * S], S, lanes);
    store_rows<T>(shift<T>(p.grad_D, row(g)), &grad_skip[g], 1, lanes);
    store_rows<T>(shift<T>(p.grad_delta_bias, row(g)), &grad_bias[g], 1, lanes);
  }
}

template <typename T> void Slab<T>::backward_prepare(int64_t g, const Place& here) {
  load_tile(g, here);
  Tile<T>& tile = tiles[g];
  load<T>(tile.grad, p.grad_y, here);
  std::fill_n(tile.sum_u, here.steps, V{});
  std::fill_n(tile.sum_step, here.steps, V{});
  if (!p.z.data) return;
  for (int64_t t = 0; t < here.steps; ++t) {  // silu(z)' = s (1 + z (1 - s)), s = sigmoid(z)
    const V z = tile.gate[t], s = sigmoid<T>(z), grad = tile.grad[t];
    tile.grad[t] = grad * z * s;
    tile.gate[t] = grad * s * (T{1} + z * (T{1} - s));
  }
}

// Recompute the states of one tile, then walk back. With dh the gradient to h[t] and a[t] the
// decay: dh += dy[t] C[t];  dC[t] = dy[t] h[t];  dB[t] = dh x[t];  dx[t] = dh B[t];
// da[t] = dh h[t-1];  dh <- dh a[t].
template <typename T> void Slab<T>::backward_state(int64_t g, int64_t s, const Place& here) {
  Tile<T>& tile = tiles[g];
  const V rate = decay_rate[g * S + s], rate2 = rate * static_cast<T>(kLog2E);
  const T *b = &B[s * kSteps], *c = &C[s * kSteps];
  const bool gated = p.z.data;
  V h = states[0] = starts(g, here.t)[s];
  for (int64_t t = 0; t < here.steps; ++t) {
    decay[t] = exp2(tile.step[t] * rate2);
    h = decay[t] * h + tile.input[t] * b[t];
    states[t + 1] = h;
    if (gated) tile.y[t] += h * c[t];
  }
  V dh = state[g * S + s], dA = grad_rate[g * S + s];
  for (int64_t t = here.steps - 1; t >= 0; --t) {
    dh += tile.grad[t] * c[t];
    grad_C[t] += tile.grad[t] * states[t + 1];
    grad_B[t] += tile.input[t] * dh;
    tile.sum_u[t] += dh * b[t];
    dh *= decay[t];
    const V dlog = dh * states[t];
    tile.sum_step[t] += dlog * rate;
    dA += dlog * tile.step[t];
  }
  state[g * S + s] = dh;
  grad_rate[g * S + s] = dA;
}

template <typename T> void Slab<T>::backward_finish(int64_t g, const Place& here) {
  Tile<T>& tile = tiles[g];
  for (int64_t t = 0; t < here.steps; ++t) {
    const V sum_u = tile.sum_u[t];
    tile.sum_u[t] = tile.step[t] * sum_u + tile.grad[t] * skip[g];
    tile.sum_step[t] += tile.u[t] * sum_u;
    if (p.softplus) tile.sum_step[t] *= sigmoid<T>(tile.raw[t]);
    tile.gate[t] *= tile.y[t];
    grad_skip[g] += tile.grad[t] * tile.u[t];
    grad_bias[g] += tile.sum_step[t];
  }
  store<T>(p.grad_u, tile.sum_u, here);
  store<T>(p.grad_delta, tile.sum_step, here);
  if (p.z.data) store<T>(p.grad_z, tile.gate, here);
}

// ---- entry points ----

template <typename T, typename Task> void for_each_slab(Problem problem, Task task) {
  if (problem.reverse)
    for (View* view : {&problem.u, &problem.delta, &problem.B, &problem.C, &problem.z,
                       &problem.y, &problem.grad_y, &problem.grad_u, &problem.grad_delta,
                       &problem.grad_z, &problem.grad_B, &problem.grad_C})
      turn<T>(*view, problem.length);
#pragma omp parallel num_threads(problem.threads)
  {
    Slab<T> slab(problem);
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < problem.batch * problem.slabs; ++i)
      task(slab, i / problem.slabs, i % problem.slabs);
  }
}

template <typename T> void forward(const Problem& problem) {
  for_each_slab<T>(problem, [](Slab<T>& slab, int64_t b, int64_t i) { slab.forward(b, i); });
}

template <typename T> void backward(const Problem& problem) {
  for_each_slab<T>(problem, [](Slab<T>& slab, int64_t b, int64_t i) { slab.backward(b, i); });
}

}  // namespace

extern "C" {

// For the caller: bytes of `Problem`, to check that both sides mean the same struct; `starts`
// holds batch * slabs * tiles * slab_channels * states elements.
int64_t problem_bytes() { return sizeof(Problem); }
int64_t slab_channels(int is_double) {
  return kGroups * (is_double ? kLanes<double> : kLanes<float>);
}
int64_t tile_steps() { return kSteps; }

void scan_forward_float(const Problem* problem) { forward<float>(*problem); }
void scan_forward_double(const Problem* problem) { forward<double>(*problem); }
void scan_backward_float(const Problem* problem) { backward<float>(*problem); }
void scan_backward_double(const Problem* problem) { backward<double>(*problem); }
}
