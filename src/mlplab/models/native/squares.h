// The maxima of squares of four positions that follow a convolution, and their gradients.
#pragma once

#include "simd.h"

// Four positions that have one maximum: the bits of a byte, from the left to the right and down.
constexpr int64_t kSide = 2, kFour = kSide * kSide;

// The larger of two; NaN if one of them is.
inline float Larger(float a, float b) { return b > a || b != b ? b : a; }

// The maximum of each square of an image, and which positions have it.
inline void Pool(const float* image, int64_t high, int64_t wide, int64_t channels, float* to,
                 uint8_t* places) {
  for (int64_t y = 0; y < high / kSide; ++y) {
    for (int64_t x = 0; x < wide / kSide; ++x, to += channels, places += channels) {
      const float* one = image + (y * kSide * wide + x * kSide) * channels;
      const float* below = one + wide * channels;
      const float* four[] = {one, one + channels, below, below + channels};
      for (int64_t c = 0; c < channels; ++c) {
        float a = four[0][c], b = four[1][c], d = four[2][c], e = four[3][c];
        float most = Larger(Larger(a, b), Larger(d, e));
        to[c] = most;
        places[c] = (a == most) | (b == most) << 1 | (d == most) << 2 | (e == most) << 3;
      }
    }
  }
}

// Of squares with these bits: what each position gets of the gradient.
struct Shares {
  float of[1 << kFour][kFour];

  Shares() {
    for (int bits = 0; bits < 1 << kFour; ++bits) {
      for (int64_t at = 0; at < kFour; ++at) {
        of[bits][at] = bits >> at & 1 ? 1.0f / __builtin_popcount(bits) : 0;
      }
    }
  }
};

// Gradients of the results: of all positions, or of squares, which are spread over theirs.
struct Results {
  const float* gradients;
  const uint8_t* places;  // null if the gradients are of all positions
  int64_t high, wide, channels;

  // Those of some images; in memory of this thread if they are spread.
  const float* Of(int64_t first, int64_t count) const {
    if (!places) return gradients + first * high * wide * channels;
    static const Shares shares;
    int64_t size = high * wide * channels, squares = high / kSide * (wide / kSide) * channels;
    float* all = Scratch<3>(count * size);
    bool whole = high % kSide == 0 && wide % kSide == 0;
    if (!whole) std::fill(all, all + count * size, 0);
    for (int64_t i = 0; i < count; ++i) {
      const float* g = gradients + (first + i) * squares;
      const uint8_t* bits = places + (first + i) * squares;
      for (int64_t y = 0; y < high / kSide; ++y) {
        for (int64_t x = 0; x < wide / kSide; ++x, g += channels, bits += channels) {
          float* one = all + i * size + (y * kSide * wide + x * kSide) * channels;
          float *two = one + channels, *three = one + wide * channels, *four = three + channels;
          for (int64_t c = 0; c < channels; ++c) {
            const float* share = shares.of[bits[c]];
            one[c] = g[c] * share[0], two[c] = g[c] * share[1];
            three[c] = g[c] * share[2], four[c] = g[c] * share[3];
          }
        }
      }
    }
    return all;
  }
};
