// Floats rounded to bfloat16, two in a word of 32 bits, and products of such words.
#pragma once

#include "simd.h"

inline uint32_t Rounded(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return (bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16) | 0x40 : even;
}

inline float Pair(float low, float high) {
  uint32_t bits = Rounded(low) | Rounded(high) << 16;
  float word;
  std::memcpy(&word, &bits, 4);
  return word;
}

// Each float of one vector with that of another.
inline Vector Paired(Vector low, Vector high) {
  auto rounded = [](Vector v) {
    Bits bits = reinterpret_cast<Bits>(v);
    Bits even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16) | 0x40 : even;
  };
  return reinterpret_cast<Vector>(rounded(low) | rounded(high) << 16);
}

// Neighbours as words: [2 * count] -> [count].
inline void PairUp(const float* from, int64_t count, float* to) {
  int64_t i = 0;
#if defined(__AVX512BF16__)
  for (; i + 16 <= count; i += 16) {
    __m512 low = _mm512_loadu_ps(from + 2 * i), high = _mm512_loadu_ps(from + 2 * i + 16);
    auto words = reinterpret_cast<Vector>(_mm512_cvtne2ps_pbh(high, low));
    Store(to + i, words);
  }
#endif
  for (; i < count; ++i) to[i] = Pair(from[2 * i], from[2 * i + 1]);
}

// sum + the products of both halves of words.
inline Vector DotPairs(Vector sum, Vector a, Vector b) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<Vector>(_mm512_dpbf16_ps(
      reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b)));
#else
  auto low = [](Vector v) { return reinterpret_cast<Vector>(reinterpret_cast<Bits>(v) << 16); };
  auto high = [](Vector v) {
    return reinterpret_cast<Vector>(reinterpret_cast<Bits>(v) & 0xffff0000u);
  };
  return sum + low(a) * low(b) + high(a) * high(b);
#endif
}
