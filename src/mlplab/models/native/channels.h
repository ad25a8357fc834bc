// Images as stretches of whole vectors, whatever their number of channels.
#pragma once

#include "simd.h"

constexpr int64_t kRows = 256;  // whose sums are float32; sums of these are float64

// Values of channels, repeated until whole vectors hold them.
struct Repeated {
  int64_t period;
  Words values;

  template <class Value>
  Repeated(int64_t channels, const Value& value) : period(channels) {
    while (period % kLanes) period += channels;
    for (int64_t i = 0; i < period; ++i) values.push_back(value(i % channels));
  }
  Vector operator[](int64_t at) const { return Load(values.data() + at); }
};

// Calls each(number, position in the period) for the vectors of a stretch, which begins with the
// first channel; the last vector may be narrower, and has its number of floats.
template <class Each>
void Vectors(int64_t size, int64_t period, const Each& each) {
  int64_t i = 0;
  while (i + period <= size) {
    for (int64_t at = 0; at < period; at += kLanes, i += kLanes) each(i, at, kLanes);
  }
  for (int64_t at = 0; i < size; at += kLanes, i += kLanes) each(i, at, std::min(kLanes, size - i));
}
