// Convolutions of three by three positions in float32 with four ninths of the multiplications: the
// algorithm of Winograd for squares of two by two results, F(2×2, 3×3) of Lavin & Gray 2016,
// "Fast Algorithms for Convolutional Neural Networks".
//
// The 16 positions that a square of results sees are transformed into 16 spots, in each of which
// all squares are the rows of a matrix product over the channels.
#pragma once

#include "frames.h"
#include "squares.h"

constexpr int64_t kSpots = 16;
constexpr int64_t kSpotWords = 96 * 1024;  // of squares that are transformed at a time

// Whether squares save enough: of an odd number of results some squares are cut, and of few
// channels the transformations take longer than the products.
inline bool InSquares(const Sizes& s, int64_t high, int64_t wide) {
  constexpr int64_t kFewest = 16;
  int64_t squares = Up(high, 2) / 2 * (Up(wide, 2) / 2);
  return s.side == 3 && s.stride == 1 && std::min(s.c, s.out) >= kFewest &&
         3 * kSpots * squares <= 2 * 9 * high * wide;
}

// How many squares to transform at a time.
inline int64_t AtATime(int64_t inputs, int64_t outputs) {
  return std::max<int64_t>(2, kSpotWords / (kSpots * (inputs + outputs)) / kTile) * kTile;
}

// Each of these works on rows first and then on columns; spots and positions go row by row.

inline void ToSpots(Vector* d) {
  auto line = [&](int64_t at, int64_t step) {
    Vector a = d[at], b = d[at + step], c = d[at + 2 * step], e = d[at + 3 * step];
    d[at] = a - c, d[at + step] = b + c, d[at + 2 * step] = c - b, d[at + 3 * step] = b - e;
  };
  for (int64_t i = 0; i < 4; ++i) line(i, 4);
  for (int64_t i = 0; i < 4; ++i) line(4 * i, 1);
}

// 16 spots -> 4 results.
inline void FromSpots(const Vector* m, Vector* y) {
  Vector lines[8];
  for (int64_t i = 0; i < 4; ++i) {
    lines[i] = m[i] + m[4 + i] + m[8 + i];
    lines[4 + i] = m[4 + i] - m[8 + i] - m[12 + i];
  }
  for (int64_t i = 0; i < 2; ++i) {
    const Vector* line = lines + 4 * i;
    y[2 * i] = line[0] + line[1] + line[2];
    y[2 * i + 1] = line[1] - line[2] - line[3];
  }
}

// The gradients of 4 results -> those of 16 spots.
inline void GradientsToSpots(const Vector* y, Vector* m) {
  Vector lines[8];
  for (int64_t i = 0; i < 2; ++i) {
    Vector above = y[i], below = y[2 + i];
    lines[i] = above, lines[2 + i] = above + below, lines[4 + i] = above - below;
    lines[6 + i] = -below;
  }
  for (int64_t i = 0; i < 4; ++i) {
    Vector a = lines[2 * i], b = lines[2 * i + 1];
    m[4 * i] = a, m[4 * i + 1] = a + b, m[4 * i + 2] = a - b, m[4 * i + 3] = -b;
  }
}

// 9 weights -> those of 16 spots.
inline void WeightsToSpots(const float* g, float* u) {
  float lines[12];
  for (int64_t i = 0; i < 3; ++i) {
    float a = g[i], b = g[3 + i], c = g[6 + i];
    lines[i] = a, lines[3 + i] = (a + b + c) / 2, lines[6 + i] = (a - b + c) / 2, lines[9 + i] = c;
  }
  for (int64_t i = 0; i < 4; ++i) {
    float a = lines[3 * i], b = lines[3 * i + 1], c = lines[3 * i + 2];
    u[4 * i] = a, u[4 * i + 1] = (a + b + c) / 2, u[4 * i + 2] = (a - b + c) / 2, u[4 * i + 3] = c;
  }
}

// The gradients of 16 spots -> those of 9 weights.
inline void WeightsFromSpots(const float* u, float* g) {
  float lines[12];
  for (int64_t i = 0; i < 4; ++i) {
    float sum = (u[4 + i] + u[8 + i]) / 2;
    lines[i] = u[i] + sum, lines[4 + i] = (u[4 + i] - u[8 + i]) / 2, lines[8 + i] = sum + u[12 + i];
  }
  for (int64_t i = 0; i < 3; ++i) {
    const float* line = lines + 4 * i;
    float sum = (line[1] + line[2]) / 2;
    g[3 * i] = line[0] + sum, g[3 * i + 1] = (line[1] - line[2]) / 2, g[3 * i + 2] = sum + line[3];
  }
}

// The squares of a group of images' results.
struct Squares {
  struct Square {
    int64_t window, result;  // its first position, in the frame and in the results
    bool low, narrow;        // cut: it has one row, or one column
  };
  std::vector<Square> all;
  int64_t in_image;

  // `window` is that of the first result.
  Squares(const Frame& frame, int64_t window, int64_t images, int64_t high, int64_t wide,
          int64_t channels) {
    for (int64_t i = 0; i < images; ++i) {
      for (int64_t y = 0; y < high; y += 2) {
        for (int64_t x = 0; x < wide; x += 2) {
          all.push_back({i * frame.Size() + window + y * frame.Row() + x * frame.words,
                         ((i * high + y) * wide + x) * channels, y + 1 == high, x + 1 == wide});
        }
      }
    }
    in_image = all.size() / images;
  }
};

// The windows of squares as spots: [kSpots][most][Up(channels, kLanes)].
inline void WindowsToSpots(const Frame& frame, const float* images, const Squares::Square* squares,
                           int64_t count, int64_t most, float* spots) {
  int64_t padded = Up(frame.channels, kLanes);
  for (int64_t t = 0; t < count; ++t) {
    const float* window = images + squares[t].window;
    for (int64_t c = 0; c < padded; c += kLanes) {
      Vector d[kSpots];
      for (int64_t i = 0; i < kSpots; ++i) {
        d[i] = Load(window + i / 4 * frame.Row() + i % 4 * frame.words + c);
      }
      ToSpots(d);
      for (int64_t i = 0; i < kSpots; ++i) Store(spots + (i * most + t) * padded + c, d[i]);
    }
  }
}

// Weights as spots: [kSpots][blocks of kWidth outputs][inputs][kWidth]; at(y, x, input, output).
template <class At>
void PackSpots(int64_t block, int64_t inputs, int64_t outputs, const At& at, float* weights) {
  int64_t blocks = Up(outputs, kWidth) / kWidth;
  for (int64_t i = 0; i < inputs; ++i) {
    for (int64_t o = 0; o < kWidth; ++o) {
      int64_t output = block * kWidth + o;
      float g[9]{}, u[kSpots];
      for (int64_t k = 0; k < 9 && output < outputs; ++k) g[k] = at(k / 3, k % 3, i, output);
      WeightsToSpots(g, u);
      for (int64_t spot = 0; spot < kSpots; ++spot) {
        weights[((spot * blocks + block) * inputs + i) * kWidth + o] = u[spot];
      }
    }
  }
}

// Results of a group's first squares.
//   line: floats from one row of results to the next
inline void ConvolveSquares(const Frame& frame, const float* images, const Squares& squares,
                            int64_t count, const float* weights, int64_t channels, int64_t line,
                            float* result) {
  int64_t inputs = frame.channels, padded = Up(inputs, kLanes);
  int64_t blocks = Up(channels, kWidth) / kWidth;
  int64_t most = AtATime(inputs, channels);
  float* spots = Scratch<4>(kSpots * most * padded);
  float* products = Scratch<5>(kSpots * most * channels + kLanes);
  for (int64_t first = 0; first < count; first += most) {
    const Squares::Square* some = &squares.all[first];
    int64_t many = std::min(most, count - first);
    WindowsToSpots(frame, images, some, many, most, spots);
    for (int64_t spot = 0; spot < kSpots; ++spot) {
      for (int64_t c = 0; c < channels; c += kWidth) {
        const float* factors = weights + (spot * blocks + c / kWidth) * inputs * kWidth;
        int64_t wide = std::min(kWidth, channels - c);
        auto tile = wide > kLanes ? Tile<kFloats, kVectors> : Tile<kFloats, 1>;
        for (int64_t p = 0; p < many; p += kTile) {
          const float* x[kTile];
          float* to[kTile];
          for (int64_t i = 0; i < kTile; ++i) {
            int64_t row = spot * most + std::min(p + i, many - 1);  // the last one, again
            x[i] = spots + row * padded, to[i] = products + row * channels + c;
          }
          tile(x, 1, 0, inputs, factors, to, wide);
        }
      }
    }
    for (int64_t t = 0; t < many; ++t) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        int64_t wide = std::min(kLanes, channels - c);
        Vector m[kSpots], y[kFour];
        for (int64_t i = 0; i < kSpots; ++i) m[i] = Load(products + (i * most + t) * channels + c);
        FromSpots(m, y);
        float* to = result + some[t].result + c;
        StoreSome(to, y[0], wide);
        if (!some[t].narrow) StoreSome(to + channels, y[1], wide);
        if (!some[t].low) StoreSome(to + line, y[2], wide);
        if (!some[t].low && !some[t].narrow) StoreSome(to + line + channels, y[3], wide);
      }
    }
  }
}

// Sets the gradient of the kernel to what some images contribute, from the first on.
inline void SquaresToKernel(const Sizes& s, int64_t begin, int64_t end, const float* images,
                            const Results& results, float* kernel) {
  Frame frame{s.h, s.w, s.c, s.c, s.top, s.left, s.bottom + s.high % 2, s.right + s.wide % 2};
  int64_t group = frame.Group(end - begin), line = s.wide * s.out;
  Squares squares(frame, 0, group, s.high, s.wide, s.out);
  int64_t padded = Up(s.c, kLanes), out = Up(s.out, kLanes), most = 2 * AtATime(s.c, s.out);
  int64_t rows = Up(s.c, kTile), columns = Up(s.out, kWidth);
  float* framed = Scratch<0>(group * frame.Size() + kLanes);
  std::fill(framed, framed + group * frame.Size(), 0);
  float* spots = Scratch<4>(kSpots * most * padded + kTile);
  float* gradients = Scratch<5>(kSpots * most * out);
  std::vector<int32_t> from;
  for (int64_t t = 0; t < most; ++t) from.push_back(t * padded);
  Words sums(kSpots * rows * columns);  // [kSpots][blocks of kWidth outputs][rows][kWidth]
  auto sum = [&](int64_t spot, int64_t k, int64_t o) {
    return &sums[(spot * columns + o / kWidth * kWidth) * rows + k * kWidth + o % kWidth];
  };
  for (int64_t first = begin; first < end; first += group) {
    int64_t count = std::min(group, end - first);
    frame.Fill<kFloats>(images + first * s.h * s.w * s.c, count, framed);
    const float* given = results.Of(first, count);
    for (int64_t part = 0; part < count * squares.in_image; part += most) {
      const Squares::Square* some = &squares.all[part];
      int64_t many = std::min(most, count * squares.in_image - part);
      WindowsToSpots(frame, framed, some, many, most, spots);
      for (int64_t t = 0; t < many; ++t) {
        for (int64_t o = 0; o < out; o += kLanes) {
          int64_t wide = std::min(kLanes, s.out - o);
          const float* g = given + some[t].result + o;
          Vector y[kFour] = {LoadSome(g, wide)}, m[kSpots];
          if (!some[t].narrow) y[1] = LoadSome(g + s.out, wide);
          if (!some[t].low) y[2] = LoadSome(g + line, wide);
          if (!some[t].low && !some[t].narrow) y[3] = LoadSome(g + line + s.out, wide);
          GradientsToSpots(y, m);
          for (int64_t i = 0; i < kSpots; ++i) Store(gradients + (i * most + t) * out + o, m[i]);
        }
      }
      for (int64_t spot = 0; spot < kSpots; ++spot) {
        for (int64_t o = 0; o < out;) {
          bool whole = out - o >= kWidth;
          auto add = whole ? AddTo<kFloats, kVectors> : AddTo<kFloats, 1>;
          for (int64_t k = 0; k < s.c; k += kTile) {
            add(spots + spot * most * padded + k, from.data(), many,
                gradients + spot * most * out + o, out, sum(spot, k, o));
          }
          o += whole ? kWidth : kLanes;
        }
      }
    }
  }
  for (int64_t k = 0; k < s.c; ++k) {
    for (int64_t o = 0; o < s.out; ++o) {
      float u[kSpots], g[9];
      for (int64_t spot = 0; spot < kSpots; ++spot) u[spot] = *sum(spot, k, o);
      WeightsFromSpots(u, g);
      for (int64_t at = 0; at < 9; ++at) kernel[(at * s.c + k) * s.out + o] = g[at];
    }
  }
}
