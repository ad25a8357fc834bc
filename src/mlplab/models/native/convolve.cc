// Convolutions with channels last: forward, and the gradients to the images and to the kernel.
//
// A few images at a time are copied into a frame of zeros that fits the second cache. There the
// window of each position is, for each row of the kernel, one stretch of memory; so a convolution
// is a matrix product whose rows need not be laid out. Its tiles are kept in registers.
//
// What follows the convolution of these images is done while they are there: bias and activation,
// and the maximum of squares of four positions. Of such a maximum the gradient stays small as well:
// a byte for each square says which of the four have it, and what is spread is never written out.
//
// In bfloat16 a word of 32 bits holds two factors whose products are added, as the instructions
// for it want; everything else is the same as in float32.
#include <utility>

#include "activations.h"
#include "simd.h"

namespace ffi = xla::ffi;

namespace {

enum What : int64_t { kForward = 0, kToImages = 1, kToKernel = 2 };

constexpr int64_t kFrame = 48 * 1024;  // words of frames at a time, of a second cache of 128k or more
constexpr int64_t kBlock = 96;  // positions at a time, whose gradients stay in the first cache
constexpr int64_t kWidth = kLanes * kVectors;

struct Sizes {
  int64_t n, h, w, c, high, wide, out, side, stride, top, left, bottom, right;
};

int64_t Up(int64_t size, int64_t to) { return (size + to - 1) / to * to; }

uint32_t Rounded(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return (bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16) | 0x40 : even;
}

float Pair(float low, float high) {
  uint32_t bits = Rounded(low) | Rounded(high) << 16;
  float word;
  std::memcpy(&word, &bits, 4);
  return word;
}

template <bool kPairs>
inline Vector Dot(Vector sum, Vector a, Vector b) {
  if constexpr (!kPairs) {
    return sum + a * b;
  } else {
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
}

// Channels as words, of one position or of many.
template <bool kPairs>
void ToWords(const float* from, int64_t positions, int64_t channels, float* to) {
  if constexpr (!kPairs) {
    std::memcpy(to, from, 4 * positions * channels);
  } else if (channels % 2 == 0) {
    for (int64_t i = 0; i < positions * channels / 2; ++i) to[i] = Pair(from[2 * i], from[2 * i + 1]);
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

  template <bool kPairs>
  void Fill(const float* images, int64_t count, float* to) const {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t y = 0; y < h; ++y) {
        ToWords<kPairs>(images + (i * h + y) * w * channels, w, channels,
                      to + i * Size() + (top + y) * Row() + left * words);
      }
    }
  }
};

// Positions of the result whose windows have the same form: all of them, but for the gradient to
// the images of a convolution with a stride, to which position p of the gradient contributes only
// where the distance is a multiple of it.
struct Phase {
  std::vector<int32_t> from, to;  // of each position of a group: its window, its result
  int64_t rows, length;           // of the window: words in a row that follow one another
  Words weights;     // [blocks of kWidth channels][rows][length][kWidth]
};

// A tile of results: kTile positions, kMany vectors of channels.
template <bool kPairs, int kMany>
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
#pragma GCC unroll 8
      for (int64_t i = 0; i < kTile; ++i) {
        Vector factor = All(at[i][k]);
#pragma GCC unroll 4
        for (int64_t j = 0; j < kMany; ++j) sums[i][j] = Dot<kPairs>(sums[i][j], factor, w[j]);
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
template <bool kPairs>
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
      auto tile = many > kLanes ? Tile<kPairs, kVectors> : Tile<kPairs, 1>;
      tile(x, phase.rows, row, phase.length, weights, to, many);
    }
  }
}

// Adds to kTile rows of the kernel's gradient what `count` positions contribute.
template <bool kPairs>
void Add(const float* images, const int32_t* from, int64_t count, const float* gradient,
         int64_t stride, float* to) {
  Vector sums[kTile][kVectors];
  for (int64_t i = 0; i < kTile; ++i) {
    for (int64_t j = 0; j < kVectors; ++j) sums[i][j] = Load(to + i * kWidth + j * kLanes);
  }
  for (int64_t p = 0; p < count; ++p, gradient += stride) {
    const float* x = images + from[p];
    Vector g[kVectors];
#pragma GCC unroll 4
    for (int64_t j = 0; j < kVectors; ++j) g[j] = Load(gradient + j * kLanes);
#pragma GCC unroll 8
    for (int64_t i = 0; i < kTile; ++i) {
      Vector factor = All(x[i]);
#pragma GCC unroll 4
      for (int64_t j = 0; j < kVectors; ++j) sums[i][j] = Dot<kPairs>(sums[i][j], factor, g[j]);
    }
  }
  for (int64_t i = 0; i < kTile; ++i) {
    for (int64_t j = 0; j < kVectors; ++j) Store(to + i * kWidth + j * kLanes, sums[i][j]);
  }
}

// The gradients of a group of images: of each position, or of each two neighbours in a row as
// words, with zeros up to a multiple of kWidth channels.
template <bool kPairs>
void Gradients(const float* from, int64_t rows, int64_t wide, int64_t out, float* to) {
  int64_t padded = Up(out, kWidth), step = kPairs ? 2 : 1;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t x = 0; x < wide; x += step, to += padded) {
      const float* at = from + (row * wide + x) * out;
      for (int64_t o = 0; o < out; ++o) {
        to[o] = kPairs ? Pair(at[o], x + 1 < wide ? at[out + o] : 0) : at[o];
      }
      std::fill(to + out, to + padded, 0);
    }
  }
}

// Four positions that have one maximum: the bits of a byte, from the left to the right and down.
constexpr int64_t kSide = 2, kFour = kSide * kSide;

// The larger of two; NaN if one of them is.
float Larger(float a, float b) { return b > a || b != b ? b : a; }

// The maximum of each square of an image, and which positions have it.
void Pool(const float* image, int64_t high, int64_t wide, int64_t channels, float* to,
          uint8_t* places) {
  for (int64_t y = 0; y < high / kSide; ++y) {
    for (int64_t x = 0; x < wide / kSide; ++x, to += channels, places += channels) {
      const float* one = image + (y * kSide * wide + x * kSide) * channels;
      const float* four[] = {one, one + channels, one + wide * channels, one + (wide + 1) * channels};
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

// Sets the gradient of the kernel to what some images contribute, from the first on.
template <bool kPairs>
void ToKernel(const Sizes& s, int64_t begin, int64_t end, const float* images,
              const Results& results, float* kernel) {
  Frame frame{s.h, s.w, s.c, s.c, s.top, s.left, s.bottom, s.right};
  int64_t length = s.side * s.c, tiles = Up(length, kTile), padded = Up(s.out, kWidth);
  int64_t group = std::clamp<int64_t>(kFrame / frame.Size(), 1, end - begin);
  int64_t step = kPairs ? 2 : 1, size = group * frame.Size(), beyond = s.stride * s.c + kTile;
  std::vector<int32_t> from;  // of each position, or of each two neighbours
  for (int64_t i = 0; i < group; ++i) {
    for (int64_t y = 0; y < s.high; ++y) {
      for (int64_t x = 0; x < s.wide; x += step) {
        from.push_back(i * frame.Size() + s.stride * (y * frame.Row() + x * s.c));
      }
    }
  }
  int64_t in_image = from.size() / group;
  bool copied = kPairs || padded != s.out;
  float* framed = Scratch<0>(size + 2 * beyond);
  float* words = kPairs ? Scratch<1>(size + beyond) : framed;
  float* copy = copied ? Scratch<2>(group * in_image * padded) : nullptr;
  int64_t stride = copied ? padded : s.out;
  std::fill(framed, framed + size + 2 * beyond, 0);
  Words sums(padded * s.side * tiles);
  for (int64_t first = begin; first < end; first += group) {
    int64_t count = std::min(group, end - first);
    frame.Fill<false>(images + first * s.h * s.w * s.c, count, framed);
    if (kPairs) {
      for (int64_t i = 0; i < size + beyond; ++i) words[i] = Pair(framed[i], framed[i + s.stride * s.c]);
    }
    const float* g = results.Of(first, count);
    if (copied) Gradients<kPairs>(g, count * s.high, s.wide, s.out, copy);
    const float* gradients = copied ? copy : g;
    for (int64_t p = 0; p < count * in_image; p += kBlock) {
      int64_t many = std::min(kBlock, count * in_image - p);
      for (int64_t o = 0; o < padded; o += kWidth) {
        for (int64_t row = 0; row < s.side; ++row) {
          float* sum = sums.data() + (o / kWidth * s.side + row) * tiles * kWidth;
          for (int64_t k = 0; k < length; k += kTile) {
            Add<kPairs>(words + row * frame.Row() + k, from.data() + p, many,
                        gradients + p * stride + o, stride, sum + k * kWidth);
          }
        }
      }
    }
  }
  for (int64_t row = 0; row < s.side; ++row) {
    for (int64_t k = 0; k < length; ++k) {
      for (int64_t o = 0; o < s.out; ++o) {
        const float* block = sums.data() + (o / kWidth * s.side + row) * tiles * kWidth;
        kernel[(row * length + k) * s.out + o] = block[k * kWidth + o % kWidth];
      }
    }
  }
}

// Packs weights for a window: `at(row, column, input, output)` are those of the kernel.
template <bool kPairs, class At>
void Pack(Phase& phase, int64_t columns, int64_t inputs, int64_t outputs, const At& at) {
  int64_t words = kPairs ? (inputs + 1) / 2 : inputs;
  phase.length = columns * words;
  phase.weights.assign(Up(outputs, kWidth) * phase.rows * phase.length, 0);
  float* to = phase.weights.data();
  for (int64_t first = 0; first < outputs; first += kWidth) {
    int64_t many = std::min(kWidth, outputs - first);
    for (int64_t r = 0; r < phase.rows; ++r) {
      for (int64_t col = 0; col < columns; ++col) {
        for (int64_t i = 0; i < words; ++i, to += kWidth) {
          for (int64_t o = 0; o < many; ++o) {
            if constexpr (kPairs) {
              float next = 2 * i + 1 < inputs ? at(r, col, 2 * i + 1, first + o) : 0;
              to[o] = Pair(at(r, col, 2 * i, first + o), next);
            } else {
              to[o] = at(r, col, i, first + o);
            }
          }
        }
      }
    }
  }
}

// What follows a convolution.
struct Then {
  const float* bias;
  int64_t activation;
  uint8_t* places;  // of the maximum of squares, or null
};

void Finish(const Then& then, int64_t positions, int64_t channels, float* results) {
  With(then.activation, [&](auto kind) {
    for (int64_t p = 0; p < positions; ++p, results += channels) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        int64_t count = std::min(kLanes, channels - c);
        Vector value = LoadSome(results + c, count) + LoadSome(then.bias + c, count);
        StoreSome(results + c, decltype(kind)::Of(value), count);
      }
    }
    return ffi::Error::Success();
  });
}

// The convolution and what follows it, or its gradient to the images.
template <bool kPairs>
ffi::Error Gather(ffi::ThreadPool& pool, const Sizes& s, const Then* then, const Results& source,
                  const float* kernel, float* result) {
  bool forward = then;
  auto weight = [&](int64_t y, int64_t x, int64_t c, int64_t o) {
    return kernel[((y * s.side + x) * s.c + c) * s.out + o];
  };
  std::vector<Phase> phases;
  Frame frame;
  int64_t channels, size;
  auto words = [](int64_t channels) { return kPairs ? (channels + 1) / 2 : channels; };
  if (forward) {
    frame = {s.h, s.w, s.c, words(s.c), s.top, s.left, s.bottom, s.right};
    channels = s.out, size = s.high * s.wide * s.out;
    Phase& all = phases.emplace_back();
    all.rows = s.side;
    Pack<kPairs>(all, s.side, s.c, s.out, weight);
    for (int64_t y = 0; y < s.high; ++y) {
      for (int64_t x = 0; x < s.wide; ++x) {
        all.from.push_back(s.stride * (y * frame.Row() + x * frame.words));
        all.to.push_back((y * s.wide + x) * s.out);
      }
    }
  } else {
    // Position y of the images, in the frame y + top = q * stride + r, was seen by rows
    // r + t * stride of the kernel, at positions q - t of the result.
    int64_t before = (s.side - 1) / s.stride;
    int64_t bottom = std::max<int64_t>(0, (s.h - 1 + s.top) / s.stride - (s.high - 1));
    int64_t right = std::max<int64_t>(0, (s.w - 1 + s.left) / s.stride - (s.wide - 1));
    frame = {s.high, s.wide, s.out, words(s.out), before, before, bottom, right};
    channels = s.c, size = s.h * s.w * s.c;
    for (int64_t down = 0; down < s.stride; ++down) {
      for (int64_t along = 0; along < s.stride; ++along) {
        Phase& phase = phases.emplace_back();
        int64_t columns = (s.side - along + s.stride - 1) / s.stride;
        phase.rows = (s.side - down + s.stride - 1) / s.stride;
        phase.rows = std::max<int64_t>(0, phase.rows), columns = std::max<int64_t>(0, columns);
        Pack<kPairs>(phase, columns, s.out, s.c, [&](int64_t y, int64_t x, int64_t o, int64_t c) {
          return weight(down + (phase.rows - 1 - y) * s.stride, along + (columns - 1 - x) * s.stride,
                        c, o);
        });
        for (int64_t y = 0; y < s.h; ++y) {
          for (int64_t x = 0; x < s.w; ++x) {
            if ((y + s.top) % s.stride != down || (x + s.left) % s.stride != along) continue;
            int64_t row = (y + s.top) / s.stride + before - std::max<int64_t>(0, phase.rows - 1);
            int64_t column = (x + s.left) / s.stride + before - std::max<int64_t>(0, columns - 1);
            phase.from.push_back(row * frame.Row() + column * frame.words);
            phase.to.push_back((y * s.w + x) * s.c);
          }
        }
      }
    }
  }
  int64_t group = std::clamp<int64_t>(kFrame / frame.Size(), 1, s.n);
  int64_t pieces = std::min((s.n + group - 1) / group, 4 * pool.num_threads());
  bool pooled = forward && then->places;
  int64_t squares = s.high / kSide * (s.wide / kSide) * channels;
  std::vector<int64_t> in_image;  // positions of each phase
  for (Phase& phase : phases) {
    int64_t positions = in_image.emplace_back(phase.from.size());
    for (int64_t i = positions; i < group * positions; ++i) {
      phase.from.push_back(phase.from[i - positions] + frame.Size());
      phase.to.push_back(phase.to[i - positions] + size);
    }
  }
  return Divide(pool, pieces, [&](int64_t piece) {
    int64_t end = s.n * (piece + 1) / pieces;
    float* framed = Scratch<0>(group * frame.Size());
    std::fill(framed, framed + group * frame.Size(), 0);
    for (int64_t first = s.n * piece / pieces; first < end; first += group) {
      int64_t count = std::min(group, end - first);
      frame.Fill<kPairs>(source.Of(first, count), count, framed);
      float* to = pooled ? Scratch<1>(group * size) : result + first * size;
      for (size_t i = 0; i < phases.size(); ++i) {
        int64_t positions = count * in_image[i];
        Convolve<kPairs>(phases[i], frame.Row(), framed, positions, channels, to);
      }
      if (!forward) continue;
      if (then->bias) Finish(*then, count * s.high * s.wide, channels, to);
      for (int64_t i = 0; pooled && i < count; ++i) {
        int64_t at = (first + i) * squares;
        Pool(to + i * size, s.high, s.wide, channels, result + at, then->places + at);
      }
    }
  });
}

// Each piece has its own sum, and these are added in order: as many pieces give the same bits.
template <bool kPairs>
ffi::Error Sum(ffi::ThreadPool& pool, const Sizes& s, int64_t pieces, const float* images,
               const Results& results, float* kernel) {
  int64_t size = s.side * s.side * s.c * s.out;
  if (pieces < 1) pieces = pool.num_threads();
  pieces = std::max<int64_t>(1, std::min(s.n, pieces));
  Words others(size * (pieces - 1));
  auto error = Divide(pool, pieces, [&](int64_t piece) {
    float* sum = piece ? others.data() + size * (piece - 1) : kernel;
    ToKernel<kPairs>(s, s.n * piece / pieces, s.n * (piece + 1) / pieces, images, results, sum);
  });
  for (int64_t i = 0; i < static_cast<int64_t>(others.size()); ++i) kernel[i % size] += others[i];
  return error;
}

using Floats = ffi::Buffer<ffi::F32, 4>;
using Channels = ffi::Buffer<ffi::F32, 1>;
using Bytes = ffi::Buffer<ffi::U8, 4>;

// Images, kernel and bias -> the result, with the places of its maxima. Without a bias (of no
// channels) nothing follows but these; without places (of no images) there are no maxima.
ffi::Error Forward(ffi::ThreadPool pool, Floats images, Floats kernel, Channels bias,
                   ffi::Result<Floats> result, ffi::Result<Bytes> places, int64_t high,
                   int64_t wide, int64_t stride, int64_t top, int64_t bottom, int64_t left,
                   int64_t right, int64_t pairs, int64_t activation) {
  auto x = images.dimensions(), k = kernel.dimensions();
  Sizes s{x[0], x[1], x[2], x[3], high, wide, k[3], k[0], stride, top, left, bottom, right};
  Then then{bias.element_count() ? bias.typed_data() : nullptr, activation,
            places->element_count() ? places->typed_data() : nullptr};
  Results source{images.typed_data(), nullptr, s.h, s.w, s.c};
  return (pairs ? Gather<true> : Gather<false>)(pool, s, &then, source, kernel.typed_data(),
                                                result->typed_data());
}

// kToImages: gradient, kernel -> images; kToKernel: gradient, images -> kernel. The gradient is of
// maxima if there are places.
ffi::Error Backward(ffi::ThreadPool pool, Floats gradient, Floats other, Bytes places,
                    ffi::Result<Floats> result, int64_t high, int64_t wide, int64_t stride,
                    int64_t top, int64_t bottom, int64_t left, int64_t right, int64_t pairs,
                    int64_t what, int64_t pieces) {
  auto x = what == kToImages ? result->dimensions() : other.dimensions();
  auto k = what == kToKernel ? result->dimensions() : other.dimensions();
  Sizes s{x[0], x[1], x[2], x[3], high, wide, k[3], k[0], stride, top, left, bottom, right};
  const uint8_t* bits = places.element_count() ? places.typed_data() : nullptr;
  Results results{gradient.typed_data(), bits, high, wide, s.out};
  float* to = result->typed_data();
  if (what == kToKernel) {
    return (pairs ? Sum<true> : Sum<false>)(pool, s, pieces, other.typed_data(), results, to);
  }
  return (pairs ? Gather<true> : Gather<false>)(pool, s, nullptr, results, other.typed_data(), to);
}

// What both directions have to know.
template <class Binding>
auto Formed(Binding binding) {
  return std::move(binding)
      .template Attr<int64_t>("high")
      .template Attr<int64_t>("wide")
      .template Attr<int64_t>("stride")
      .template Attr<int64_t>("top")
      .template Attr<int64_t>("bottom")
      .template Attr<int64_t>("left")
      .template Attr<int64_t>("right")
      .template Attr<int64_t>("pairs");
}

}  // namespace

extern "C" int mlplab_has_bfloat16() {
#if defined(__AVX512BF16__)
  return 1;
#else
  return 0;
#endif
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_convolve, Forward,
                              Formed(ffi::Ffi::Bind()
                                         .Ctx<ffi::ThreadPool>()
                                         .Arg<Floats>()
                                         .Arg<Floats>()
                                         .Arg<Channels>()
                                         .Ret<Floats>()
                                         .Ret<Bytes>())
                                  .Attr<int64_t>("activation"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_convolve_back, Backward,
                              Formed(ffi::Ffi::Bind()
                                         .Ctx<ffi::ThreadPool>()
                                         .Arg<Floats>()
                                         .Arg<Floats>()
                                         .Arg<Bytes>()
                                         .Ret<Floats>())
                                  .Attr<int64_t>("what")
                                  .Attr<int64_t>("pieces"));
