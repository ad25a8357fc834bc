// Images within frames of zeros, where windows at the edge are like all others.
#pragma once

#include <utility>

#include "products.h"

// Of images, of the result, of the kernel, and of the zeros around images.
struct Sizes {
  int64_t n, h, w, c, high, wide, out, side, stride, top, left, bottom, right;
};

// Channels as words, of one position or of many.
template <Factors kFactors>
void ToWords(const float* from, int64_t positions, int64_t channels, float* to) {
  if constexpr (kFactors == kFloats) {
    std::memcpy(to, from, 4 * positions * channels);
  } else if (channels % 2 == 0) {
    PairUp(from, positions * channels / 2, to);
  } else {
    int64_t words = (channels + 1) / 2;
    for (int64_t p = 0; p < positions; ++p) {
      for (int64_t i = 0; i < words; ++i) {
        const float* at = from + p * channels + 2 * i;
        to[p * words + i] = Pair(at[0], 2 * i + 1 < channels ? at[1] : 0);
      }
    }
  }
}

// Images within a frame of zeros.
struct Frame {
  int64_t h = 0, w = 0, channels = 0, words = 0;  // words of a position
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  int64_t Row() const { return (left + w + right) * words; }
  int64_t Size() const { return (top + h + bottom) * Row(); }
  // How many of these images to take at a time.
  int64_t Group(int64_t most) const {
    return std::max<int64_t>(1, std::min(kFrame / Size(), most));
  }

  template <Factors kFactors>
  void Fill(const float* images, int64_t count, float* to) const {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t y = 0; y < h; ++y) {
        ToWords<kFactors>(images + (i * h + y) * w * channels, w, channels,
                            to + i * Size() + (top + y) * Row() + left * words);
      }
    }
  }

  // Words that are pairs of each position and another, `next` floats further in the same row.
  void FillPairs(const float* images, int64_t count, int64_t next, float* to) const {
    float* framed = Scratch<1>(Row() + next + kLanes);  // one row
    std::fill(framed, framed + Row() + next + kLanes, 0);
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t y = 0; y < h; ++y, images += w * channels) {
        std::memcpy(framed + left * channels, images, 4 * w * channels);
        float* row = to + i * Size() + (top + y) * Row();
        for (int64_t at = 0; at < Row(); at += kLanes) {
          int64_t many = std::min(kLanes, Row() - at);
          StoreSome(row + at, Paired(Load(framed + at), Load(framed + at + next)), many);
        }
      }
    }
  }
};

// What a call has to know of a convolution, in both directions.
template <class Binding>
auto Formed(Binding binding) {
  return std::move(binding)
      .template Attr<int64_t>("high")
      .template Attr<int64_t>("wide")
      .template Attr<int64_t>("stride")
      .template Attr<int64_t>("top")
      .template Attr<int64_t>("bottom")
      .template Attr<int64_t>("left")
      .template Attr<int64_t>("right");
}
