// Products of windows of images with weights, and of windows with gradients: the inner loops of
// convolutions, for each form of the factors.
#pragma once

#include <type_traits>

#include "tiles.h"

enum Factors : int64_t { kFloats = 0, kPairs = 1, kTiles = 2 };  // the last two: of bfloat16

constexpr int64_t kFrame = 48 * 1024;  // words of frames at a time, for the second cache
constexpr int64_t kBlock = 96;  // positions at a time, whose gradients stay in the first cache
constexpr int64_t kWidth = kLanes * kVectors;

// Channels of the result that are computed at a time, with vectors or with tiles.
template <Factors kFactors>
constexpr int64_t kColumns = kFactors == kTiles ? kBoth : kWidth;

template <Factors kFactors>
inline Vector Dot(Vector sum, Vector a, Vector b) {
  return kFactors == kFloats ? sum + a * b : DotPairs(sum, a, b);
}

// What a thread needs while it multiplies.
struct Nothing {};
template <Factors kFactors>
using WhileUsing = std::conditional_t<kFactors == kTiles, Tiles, Nothing>;

template <class Work>
auto WithFactors(int64_t factors, const Work& work) {
  // A kernel that denies tiles has them computed as pairs.
  if (factors == kTiles && !MayUseTiles()) factors = kPairs;
  if (factors == kTiles) return work(std::integral_constant<Factors, kTiles>{});
  if (factors == kPairs) return work(std::integral_constant<Factors, kPairs>{});
  return work(std::integral_constant<Factors, kFloats>{});
}

// Positions of the result whose windows have the same form: all of them, but for the gradient to
// the images of a convolution with a stride, to which position p of the gradient contributes only
// where the distance is a multiple of it.
struct Phase {
  std::vector<int32_t> from, to;  // of each position of a group: its window, its result
  int64_t rows, length;           // of the window: words in a row that follow one another
  bool even;                      // whether results follow one another as positions do
  Words weights;                  // [blocks of kColumns channels][rows * length][kColumns]
};

// A tile of results: kTile positions, kMany vectors of channels.
template <Factors kFactors, int kMany>
void Tile(const float* const* x, int64_t rows, int64_t row, int64_t length, const float* weights,
          float* const* to, int64_t channels) {
  Vector sums[kTile][kMany];
  for (auto& position : sums) {
    for (Vector& sum : position) sum = Vector{};
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float* at[kTile];
    for (int64_t i = 0; i < kTile; ++i) at[i] = x[i] + r * row;
    for (int64_t k = 0; k < length; ++k, weights += kWidth) {
      Vector w[kMany];
#pragma GCC unroll 4
      for (int64_t j = 0; j < kMany; ++j) w[j] = Load(weights + j * kLanes);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kTile; ++i) {
        Vector factor = All(at[i][k]);
#pragma GCC unroll 4
        for (int64_t j = 0; j < kMany; ++j) sums[i][j] = Dot<kFactors>(sums[i][j], factor, w[j]);
      }
    }
  }
  for (int64_t i = 0; i < kTile; ++i) {
    if (channels == kMany * kLanes) {
      for (int64_t j = 0; j < kMany; ++j) Store(to[i] + j * kLanes, sums[i][j]);
    } else {
      std::memcpy(to[i], sums[i], 4 * channels);
    }
  }
}

// Results of a group's first positions.
template <Factors kFactors>
void Convolve(const Phase& phase, int64_t row, const float* images, int64_t positions,
              int64_t channels, float* result) {
  int64_t block = phase.rows * phase.length * kWidth;
  for (int64_t c = 0; c < channels; c += kWidth) {
    const float* weights = phase.weights.data() + c / kWidth * block;
    int64_t many = std::min(kWidth, channels - c);
    for (int64_t p = 0; p < positions; p += kTile) {
      const float* x[kTile];
      float* to[kTile];
      for (int64_t i = 0; i < kTile; ++i) {
        int64_t position = std::min(p + i, positions - 1);  // the last one, again
        x[i] = images + phase.from[position];
        to[i] = result + phase.to[position] + c;
      }
      auto tile = many > kLanes ? Tile<kFactors, kVectors> : Tile<kFactors, 1>;
      tile(x, phase.rows, row, phase.length, weights, to, many);
    }
  }
}

// Words from one row of tiles to the next: rows that lie a power of two apart would share few sets
// of the cache.
inline int64_t Pitch(int64_t words) { return Up(words, kRank) | kRank; }

// Copies whole vectors, so up to kLanes - 1 words more than asked.
inline void CopyOver(const float* from, int64_t words, float* to) {
  for (int64_t i = 0; i < words; i += kLanes) Store(to + i, Load(from + i));
}

// The same in tiles. Their rows are windows, which are laid out for that.
template <>
inline void Convolve<kTiles>(const Phase& phase, int64_t row, const float* images,
                             int64_t positions, int64_t channels, float* result) {
  int64_t words = phase.rows * phase.length, steps = Up(words, kRank) / kRank;
  int64_t pitch = Pitch(words), most = std::max<int64_t>(1, kFrame / pitch / kBoth) * kBoth;
  float* windows = Scratch<4>(std::min(most, Up(positions, kBoth)) * pitch + kLanes);
  alignas(64) float sums[kSquare];
  for (int64_t first = 0; first < positions; first += most) {
    int64_t many = std::min(most, positions - first);
    for (int64_t i = 0; i < Up(many, kBoth); ++i) {
      const float* from = images + phase.from[std::min(first + i, positions - 1)];
      float* to = windows + i * pitch;
      for (int64_t r = 0; r < phase.rows; ++r) {
        CopyOver(from + r * row, phase.length, to + r * phase.length);
      }
      std::fill(to + words, to + steps * kRank, 0);
    }
    for (int64_t c = 0; c < channels; c += kBoth) {
      const float* weights = phase.weights.data() + c * steps * kRank;
      int64_t wide = std::min(kBoth, channels - c);
      auto multiply = wide > kRank ? Multiply<2> : Multiply<1>;
      bool whole = phase.even && wide % kRank == 0;
      for (int64_t p = 0; p < many; p += kBoth) {
        int64_t high = std::min(kBoth, many - p);
        const int32_t* to = &phase.to[first + p];
        bool direct = whole && high == kBoth;
        multiply(windows + p * pitch, pitch, weights, steps, false,
                 direct ? result + to[0] + c : sums, direct ? channels : kBoth);
        for (int64_t i = 0; !direct && i < high; ++i) {
          std::memcpy(result + to[i] + c, sums + i * kBoth, 4 * wide);
        }
      }
    }
  }
}

// Adds to kTile rows of the kernel's gradient what `count` positions contribute.
//   to: [kTile][kWidth], of which kMany vectors are used
template <Factors kFactors, int kMany>
void AddTo(const float* images, const int32_t* from, int64_t count, const float* gradient,
         int64_t stride, float* to) {
  Vector sums[kTile][kMany];
  for (int64_t i = 0; i < kTile; ++i) {
    for (int64_t j = 0; j < kMany; ++j) sums[i][j] = Load(to + i * kWidth + j * kLanes);
  }
  for (int64_t p = 0; p < count; ++p, gradient += stride) {
    const float* x = images + from[p];
    Vector g[kMany];
#pragma GCC unroll 4
    for (int64_t j = 0; j < kMany; ++j) g[j] = Load(gradient + j * kLanes);
#pragma GCC unroll 16
    for (int64_t i = 0; i < kTile; ++i) {
      Vector factor = All(x[i]);
#pragma GCC unroll 4
      for (int64_t j = 0; j < kMany; ++j) sums[i][j] = Dot<kFactors>(sums[i][j], factor, g[j]);
    }
  }
  for (int64_t i = 0; i < kTile; ++i) {
    for (int64_t j = 0; j < kMany; ++j) Store(to + i * kWidth + j * kLanes, sums[i][j]);
  }
}
