// Vector registers for the sources here: elementary functions, and tiles moved from and to tensors.
//
// Written with the vector extensions of GCC and Clang, so one source serves every processor.
// W lanes of a register, each lane one channel; a tile is `steps` registers, one a time.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int kRegisterBytes = 64;
#elif defined(__AVX__)
constexpr int kRegisterBytes = 32;
#else
constexpr int kRegisterBytes = 16;
#endif
constexpr double kLog2E = 1.4426950408889634;

typedef float Floats __attribute__((vector_size(kRegisterBytes)));
typedef double Doubles __attribute__((vector_size(kRegisterBytes)));
typedef int32_t Ints __attribute__((vector_size(kRegisterBytes)));

template <typename T> struct VectorOf;
template <> struct VectorOf<float> { using type = Floats; };
template <> struct VectorOf<double> { using type = Doubles; };
template <typename T> using Vec = typename VectorOf<T>::type;
template <typename T> constexpr int kLanes = kRegisterBytes / sizeof(T);

// ---- elementary functions ----

// 2^x within 2 units in the last place; 0 below 2^-127, infinity above 2^128, NaN stays NaN.
inline Floats exp2(Floats x) {
  const Floats low = Floats{} - 127.0f, high = Floats{} + 128.0f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Floats magic = Floats{} + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
  const Floats rounded = x + magic;
  const Floats r = x - (rounded - magic);
  Floats p = r * 1.5403530e-4f + 1.3333558e-3f;
  p = p * r + 9.6181291e-3f;
  p = p * r + 5.5504109e-2f;
  p = p * r + 2.4022651e-1f;
  p = p * r + 6.9314718e-1f;
  p = p * r + 1.0f;
  return (Floats)((Ints)p + ((Ints)rounded << 23));
}

inline Doubles exp2(Doubles x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = std::exp2(x[i]);
  return x;
}

// log(1 + y) for y in [0, 1]: 2 artanh(y / (2 + y)), relative error below 1e-7 even for tiny y.
inline Floats log1p(Floats y) {
  const Floats s = y / (y + 2.0f), q = s * s;
  Floats p = q * (2.0f / 13) + (2.0f / 11);
  p = p * q + (2.0f / 9);
  p = p * q + (2.0f / 7);
  p = p * q + (2.0f / 5);
  p = p * q + (2.0f / 3);
  p = p * q + 2.0f;
  return p * s;
}

inline Doubles log1p(Doubles y) {
  for (int i = 0; i < kLanes<double>; ++i) y[i] = std::log1p(y[i]);
  return y;
}

template <typename T> inline Vec<T> softplus(Vec<T> x) {
  const Vec<T> zero{};
  const Vec<T> magnitude = x < zero ? -x : x;
  return (x < zero ? zero : x) + log1p(exp2(magnitude * static_cast<T>(-kLog2E)));
}

template <typename T> inline Vec<T> sigmoid(Vec<T> x) {
  return T{1} / (T{1} + exp2(x * static_cast<T>(-kLog2E)));
}

template <typename T> inline T sum_lanes(Vec<T> x) {
  T lane[kLanes<T>];
  std::memcpy(lane, &x, sizeof x);
  for (int width = kLanes<T> / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

// ---- moving tiles between strided tensors and registers ----

struct View {  // strided (B, rows, L), rows being channels or states; strides in elements
  void* data;
  int64_t batch, row, time;
};

template <typename T> inline T* at(const View& view, int64_t b, int64_t row, int64_t t) {
  return static_cast<T*>(view.data) + b * view.batch + row * view.row + t * view.time;
}

// Let time run from the last element to the first; an absent view stays absent.
template <typename T> inline void turn(View& view, int64_t length) {
  if (!view.data) return;
  view.data = at<T>(view, 0, 0, length - 1);
  view.time = -view.time;
}

// Where a task stands: a batch element, one group of channels of it, and a stretch of time.
struct Place {
  int64_t b, channel, t, lanes, steps;
};

template <typename T> void load(Vec<T>* tile, const View& view, const Place& at_) {
  const T* source = at<T>(view, at_.b, at_.channel, at_.t);
  if (view.row == 1 && at_.lanes == kLanes<T>) {
    for (int64_t t = 0; t < at_.steps; ++t)
      std::memcpy(&tile[t], source + t * view.time, sizeof(Vec<T>));
    return;
  }
  std::fill_n(tile, at_.steps, Vec<T>{});
  T* lane = reinterpret_cast<T*>(tile);
  for (int64_t i = 0; i < at_.lanes; ++i)
    for (int64_t t = 0; t < at_.steps; ++t)
      lane[t * kLanes<T> + i] = source[i * view.row + t * view.time];
}

template <typename T> void store(const View& view, const Vec<T>* tile, const Place& at_) {
  T* target = at<T>(view, at_.b, at_.channel, at_.t);
  if (view.row == 1 && at_.lanes == kLanes<T>) {
    for (int64_t t = 0; t < at_.steps; ++t)
      std::memcpy(target + t * view.time, &tile[t], sizeof(Vec<T>));
    return;
  }
  const T* lane = reinterpret_cast<const T*>(tile);
  for (int64_t i = 0; i < at_.lanes; ++i)
    for (int64_t t = 0; t < at_.steps; ++t)
      target[i * view.row + t * view.time] = lane[t * kLanes<T> + i];
}

// `rows` and `row` below: (E, S) matrices and (E,) vectors; absent ones read as zero.
template <typename T> void load_rows(Vec<T>* to, const void* from, int64_t S, int64_t lanes) {
  std::fill_n(to, S, Vec<T>{});
  if (!from) return;
  for (int64_t i = 0; i < lanes; ++i)
    for (int64_t s = 0; s < S; ++s) to[s][i] = static_cast<const T*>(from)[i * S + s];
}

template <typename T> void store_rows(void* to, const Vec<T>* from, int64_t S, int64_t lanes) {
  for (int64_t i = 0; i < lanes; ++i)
    for (int64_t s = 0; s < S; ++s) static_cast<T*>(to)[i * S + s] = from[s][i];
}

template <typename T> inline void* shift(void* base, int64_t elements) {
  return base ? static_cast<T*>(base) + elements : nullptr;
}

}  // namespace
