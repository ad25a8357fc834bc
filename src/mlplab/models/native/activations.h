// Activations and their slopes, on vectors.
#pragma once

#include "simd.h"

enum Kind : int64_t { kLinear = 0, kRelu = 1, kGelu = 2 };

inline Vector Limited(Vector x, float low, float high) {
  x = x < All(low) ? All(low) : x;
  return x > All(high) ? All(high) : x;
}

// The error function, as XLA computes it: a ratio of two polynomials, within 4 units of the last
// place; beyond ±3.83 it is ±1 in float32.
inline Vector Erf(Vector x) {
  x = Limited(x, -3.832506856900711f, 3.832506856900711f);
  Vector square = x * x;
  Vector top = All(0.00022905065861350646f);
  for (float next : {0.0034082910107109506f, 0.050955695062380861f, 0.18520832239976145f,
                     1.128379143519084f}) {
    top = top * square + next;
  }
  Vector below = All(-1.1791602954361697e-7f);
  for (float next : {0.000023547966471313185f, 0.0010179625278914885f, 0.014070470171167667f,
                     0.11098505178285362f, 0.49746925110067538f, 1.0f}) {
    below = below * square + next;
  }
  return x * top / below;
}

// e to the power of x, for x of -87 to 87: 2^n times a polynomial of the rest.
inline Vector Exp(Vector x) {
  x = Limited(x, -87, 87);
  Vector shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded
  Vector n = shifted - 12582912.0f;
  Vector rest = x - n * 0.693359375f + n * 2.12194440e-4f;
  Vector value = All(1.9875691500e-4f);
  for (float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                     5.0000001201e-1f, 1.0f, 1.0f}) {
    value = value * rest + next;
  }
  return value * reinterpret_cast<Vector>((__builtin_convertvector(n, Integers) + 127) << 23);
}

struct Linear {
  static Vector Of(Vector z) { return z; }
  static Vector Slope(Vector) { return All(1); }
};

struct Relu {
  static Vector Of(Vector z) { return z < Vector{} ? Vector{} : z; }  // NaN stays NaN
  static Vector Slope(Vector z) { return z > Vector{} ? All(1) : Vector{}; }
};

struct Gelu {
  static Vector Of(Vector z) { return z * 0.5f * (1 + Erf(z * 0.70710678f)); }
  static Vector Slope(Vector z) {
    return 0.5f * (1 + Erf(z * 0.70710678f)) + z * 0.39894228f * Exp(z * z * -0.5f);
  }
};

template <class Work>
xla::ffi::Error With(int64_t activation, const Work& work) {
  if (activation == kRelu) return work(Relu{});
  return activation == kGelu ? work(Gelu{}) : work(Linear{});
}
