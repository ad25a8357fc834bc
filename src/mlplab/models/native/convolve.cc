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
#include "channels.h"
#include "kernel_gradient.h"
#include "winograd.h"

namespace ffi = xla::ffi;

namespace {

enum What : int64_t { kForward = 0, kToImages = 1, kToKernel = 2 };

// Packs weights for a window: `at(row, column, input, output)` are those of the kernel.
template <Factors kFactors, class At>
ffi::Error Pack(ffi::ThreadPool& pool, Phase& phase, int64_t columns, int64_t inputs,
                int64_t outputs, const At& at) {
  constexpr int64_t kWide = kColumns<kFactors>;
  int64_t words = kFactors == kFloats ? inputs : (inputs + 1) / 2;
  phase.length = columns * words;
  int64_t block = Up(phase.rows * phase.length, kFactors == kTiles ? kRank : 1) * kWide;
  int64_t blocks = Up(outputs, kWide) / kWide;
  phase.weights.resize(blocks * block);
  return Divide(pool, blocks, [&](int64_t piece) {
    int64_t first = piece * kWide, many = std::min(kWide, outputs - first);
    float *to = &phase.weights[piece * block], *end = to + block;
    for (int64_t r = 0; r < phase.rows; ++r) {
      for (int64_t col = 0; col < columns; ++col) {
        for (int64_t i = 0; i < words; ++i, to += kWide) {
          for (int64_t o = 0; o < many; ++o) {
            if constexpr (kFactors != kFloats) {
              float next = 2 * i + 1 < inputs ? at(r, col, 2 * i + 1, first + o) : 0;
              to[o] = Pair(at(r, col, 2 * i, first + o), next);
            } else {
              to[o] = at(r, col, i, first + o);
            }
          }
          std::fill(to + many, to + kWide, 0);
        }
      }
    }
    std::fill(to, end, 0);
  });
}

// What follows a convolution.
struct Then {
  const float* bias;
  int64_t activation;
  uint8_t* places;  // of the maximum of squares, or null
};

void Finish(const Then& then, const Repeated& bias, int64_t size, float* results) {
  With(then.activation, [&](auto kind) {
    Vectors(size, bias.period, [&](int64_t i, int64_t at, int64_t count) {
      StoreSome(results + i, decltype(kind)::Of(LoadSome(results + i, count) + bias[at]), count);
    });
    return ffi::Error::Success();
  });
}

// The frame of a convolution's images or, without `forward`, of its results' gradients.
Frame FrameOf(const Sizes& s, bool forward, Factors factors) {
  auto words = [&](int64_t channels) { return factors == kFloats ? channels : (channels + 1) / 2; };
  if (forward) return {s.h, s.w, s.c, words(s.c), s.top, s.left, s.bottom, s.right};
  int64_t before = (s.side - 1) / s.stride;
  int64_t bottom = std::max<int64_t>(0, (s.h - 1 + s.top) / s.stride - (s.high - 1));
  int64_t right = std::max<int64_t>(0, (s.w - 1 + s.left) / s.stride - (s.wide - 1));
  return {s.high, s.wide, s.out, words(s.out), before, before, bottom, right};
}

// Takes images through frames, a group at a time, and what follows a convolution with them:
// convolve(frame, number of images, where their results go).
//   size: floats of the result of an image
template <Factors kFactors, class Convolution>
ffi::Error ThroughFrames(ffi::ThreadPool& pool, const Sizes& s, const Then* then,
                         const Results& source, const Frame& frame, int64_t channels, int64_t size,
                         float* result, const Convolution& convolve) {
  int64_t group = frame.Group(s.n), squares = s.high / kSide * (s.wide / kSide) * channels;
  int64_t pieces = std::min((s.n + group - 1) / group, 4 * pool.num_threads());
  pieces = std::max<int64_t>(1, pieces);
  bool pooled = then && then->places, finished = then && then->bias;
  Repeated bias(channels, [&](int64_t c) { return finished ? then->bias[c] : 0; });
  return Divide(pool, pieces, [&](int64_t piece) {
    [[maybe_unused]] WhileUsing<kFactors> registers;
    int64_t end = s.n * (piece + 1) / pieces;
    float* framed = Scratch<0>(group * frame.Size() + kLanes);
    std::fill(framed, framed + group * frame.Size(), 0);
    for (int64_t first = s.n * piece / pieces; first < end; first += group) {
      int64_t count = std::min(group, end - first);
      frame.Fill<kFactors>(source.Of(first, count), count, framed);
      float* to = pooled ? Scratch<1>(group * size) : result + first * size;
      convolve(framed, count, to);
      if (finished) Finish(*then, bias, count * size, to);
      for (int64_t i = 0; pooled && i < count; ++i) {
        int64_t at = (first + i) * squares;
        Pool(to + i * size, s.high, s.wide, channels, result + at, then->places + at);
      }
    }
  });
}

// The convolution and what follows it, or its gradient to the images, by squares of results.
ffi::Error GatherSquares(ffi::ThreadPool& pool, const Sizes& s, const Then* then,
                         const Results& source, const float* kernel, float* result) {
  bool forward = then;
  int64_t high = forward ? s.high : s.h, wide = forward ? s.wide : s.w;
  int64_t inputs = forward ? s.c : s.out, channels = forward ? s.out : s.c;
  Frame frame = FrameOf(s, forward, kFloats);
  frame.bottom += high % 2, frame.right += wide % 2;
  int64_t window = forward ? 0 : s.top * frame.Row() + s.left * frame.words;
  Squares squares(frame, window, frame.Group(s.n), high, wide, channels);
  int64_t blocks = Up(channels, kWidth) / kWidth;
  Words weights(kSpots * blocks * inputs * kWidth);
  auto error = Divide(pool, blocks, [&](int64_t block) {
    auto weight = [&](int64_t y, int64_t x, int64_t from, int64_t to) {
      return forward ? kernel[((y * 3 + x) * s.c + from) * s.out + to]
                     : kernel[(((2 - y) * 3 + 2 - x) * s.c + to) * s.out + from];
    };
    PackSpots(block, inputs, channels, weight, weights.data());
  });
  if (error.failure()) return error;
  return ThroughFrames<kFloats>(
      pool, s, then, source, frame, channels, high * wide * channels, result,
      [&](const float* framed, int64_t count, float* to) {
        ConvolveSquares(frame, framed, squares, count * squares.in_image, weights.data(), channels,
                        wide * channels, to);
      });
}

// The same, position by position.
template <Factors kFactors>
ffi::Error Gather(ffi::ThreadPool& pool, const Sizes& s, const Then* then, const Results& source,
                  const float* kernel, float* result) {
  bool forward = then;
  if (kFactors == kFloats && InSquares(s, forward ? s.high : s.h, forward ? s.wide : s.w)) {
    return GatherSquares(pool, s, then, source, kernel, result);
  }
  auto weight = [&](int64_t y, int64_t x, int64_t c, int64_t o) {
    return kernel[((y * s.side + x) * s.c + c) * s.out + o];
  };
  Frame frame = FrameOf(s, forward, kFactors);
  int64_t channels = forward ? s.out : s.c;
  int64_t size = forward ? s.high * s.wide * s.out : s.h * s.w * s.c;
  std::vector<Phase> phases;
  if (forward) {
    Phase& all = phases.emplace_back();
    all.rows = s.side;
    auto error = Pack<kFactors>(pool, all, s.side, s.c, s.out, weight);
    if (error.failure()) return error;
    for (int64_t y = 0; y < s.high; ++y) {
      for (int64_t x = 0; x < s.wide; ++x) {
        all.from.push_back(s.stride * (y * frame.Row() + x * frame.words));
        all.to.push_back((y * s.wide + x) * s.out);
      }
    }
  } else {
    // Position y of the images, in the frame y + top = q * stride + r, was seen by rows
    // r + t * stride of the kernel, at positions q - t of the result.
    for (int64_t down = 0; down < s.stride; ++down) {
      for (int64_t along = 0; along < s.stride; ++along) {
        Phase& phase = phases.emplace_back();
        int64_t columns = (s.side - along + s.stride - 1) / s.stride;
        phase.rows = (s.side - down + s.stride - 1) / s.stride;
        phase.rows = std::max<int64_t>(0, phase.rows), columns = std::max<int64_t>(0, columns);
        auto turned = [&](int64_t y, int64_t x, int64_t o, int64_t c) {
          return weight(down + (phase.rows - 1 - y) * s.stride,
                        along + (columns - 1 - x) * s.stride, c, o);
        };
        auto error = Pack<kFactors>(pool, phase, columns, s.out, s.c, turned);
        if (error.failure()) return error;
        for (int64_t y = 0; y < s.h; ++y) {
          for (int64_t x = 0; x < s.w; ++x) {
            if ((y + s.top) % s.stride != down || (x + s.left) % s.stride != along) continue;
            int64_t up = std::max<int64_t>(0, phase.rows - 1);
            int64_t back = std::max<int64_t>(0, columns - 1);
            int64_t row = (y + s.top) / s.stride + frame.top - up;
            int64_t column = (x + s.left) / s.stride + frame.left - back;
            phase.from.push_back(row * frame.Row() + column * frame.words);
            phase.to.push_back((y * s.w + x) * s.c);
          }
        }
      }
    }
  }
  std::vector<int64_t> in_image;  // positions of each phase
  for (Phase& phase : phases) {
    phase.even = phases.size() == 1;
    int64_t positions = in_image.emplace_back(phase.from.size());
    for (int64_t i = positions; i < frame.Group(s.n) * positions; ++i) {
      phase.from.push_back(phase.from[i - positions] + frame.Size());
      phase.to.push_back(phase.to[i - positions] + size);
    }
  }
  return ThroughFrames<kFactors>(
      pool, s, then, source, frame, channels, size, result,
      [&](const float* framed, int64_t count, float* to) {
        for (size_t i = 0; i < phases.size(); ++i) {
          Convolve<kFactors>(phases[i], frame.Row(), framed, count * in_image[i], channels, to);
        }
      });
}

// Each piece has its own sum, and these are added in order: as many pieces give the same bits.
template <Factors kFactors>
ffi::Error Sum(ffi::ThreadPool& pool, const Sizes& s, int64_t pieces, const float* images,
               const Results& results, float* kernel) {
  int64_t size = s.side * s.side * s.c * s.out;
  if (pieces < 1) pieces = pool.num_threads();
  pieces = std::max<int64_t>(1, std::min(s.n, pieces));
  Words others(size * (pieces - 1));
  auto error = Divide(pool, pieces, [&](int64_t piece) {
    [[maybe_unused]] WhileUsing<kFactors> registers;
    float* sum = piece ? others.data() + size * (piece - 1) : kernel;
    int64_t begin = s.n * piece / pieces, end = s.n * (piece + 1) / pieces;
    if (kFactors == kFloats && InSquares(s, s.high, s.wide)) {
      SquaresToKernel(s, begin, end, images, results, sum);
    } else {
      ToKernel<kFactors>(s, begin, end, images, results, sum);
    }
  });
  if (error.failure() || pieces == 1) return error;
  int64_t parts = Pieces(pool, others.size(), size);
  return Divide(pool, parts, [&](int64_t part) {
    int64_t begin = size * part / parts, end = size * (part + 1) / parts;
    for (const float* other = others.data(); other < others.data() + others.size(); other += size) {
      for (int64_t i = begin; i < end; ++i) kernel[i] += other[i];
    }
  });
}

using Floats = ffi::Buffer<ffi::F32, 4>;
using Channels = ffi::Buffer<ffi::F32, 1>;
using Bytes = ffi::Buffer<ffi::U8, 4>;

// Images, kernel and bias -> the result, with the places of its maxima. Without a bias (of no
// channels) nothing follows but these; without places (of no images) there are no maxima.
ffi::Error Forward(ffi::ThreadPool pool, Floats images, Floats kernel, Channels bias,
                   ffi::Result<Floats> result, ffi::Result<Bytes> places, int64_t high,
                   int64_t wide, int64_t stride, int64_t top, int64_t bottom, int64_t left,
                   int64_t right, int64_t factors, int64_t activation) {
  auto x = images.dimensions(), k = kernel.dimensions();
  Sizes s{x[0], x[1], x[2], x[3], high, wide, k[3], k[0], stride, top, left, bottom, right};
  Then then{bias.element_count() ? bias.typed_data() : nullptr, activation,
            places->element_count() ? places->typed_data() : nullptr};
  Results source{images.typed_data(), nullptr, s.h, s.w, s.c};
  return WithFactors(factors, [&](auto kind) {
    return Gather<kind>(pool, s, &then, source, kernel.typed_data(), result->typed_data());
  });
}

// kToImages: gradient, kernel -> images; kToKernel: gradient, images -> kernel. The gradient is of
// maxima if there are places.
ffi::Error Backward(ffi::ThreadPool pool, Floats gradient, Floats other, Bytes places,
                    ffi::Result<Floats> result, int64_t high, int64_t wide, int64_t stride,
                    int64_t top, int64_t bottom, int64_t left, int64_t right, int64_t factors,
                    int64_t what, int64_t pieces) {
  auto x = what == kToImages ? result->dimensions() : other.dimensions();
  auto k = what == kToKernel ? result->dimensions() : other.dimensions();
  Sizes s{x[0], x[1], x[2], x[3], high, wide, k[3], k[0], stride, top, left, bottom, right};
  const uint8_t* bits = places.element_count() ? places.typed_data() : nullptr;
  Results results{gradient.typed_data(), bits, high, wide, s.out};
  float* to = result->typed_data();
  return WithFactors(factors, [&](auto kind) {
    return what == kToKernel
               ? Sum<kind>(pool, s, pieces, other.typed_data(), results, to)
               : Gather<kind>(pool, s, nullptr, results, other.typed_data(), to);
  });
}

}  // namespace

// The fastest form of factors in bfloat16: kFloats if the processor has no instructions for it.
extern "C" int mlplab_bfloat16() {
  if (kHasTiles && MayUseTiles()) return kTiles;
#if defined(__AVX512BF16__)
  return kPairs;
#else
  return kFloats;
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
                                  .Attr<int64_t>("factors")
                                  .Attr<int64_t>("activation"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_convolve_back, Backward,
                              Formed(ffi::Ffi::Bind()
                                         .Ctx<ffi::ThreadPool>()
                                         .Arg<Floats>()
                                         .Arg<Floats>()
                                         .Arg<Bytes>()
                                         .Ret<Floats>())
                                  .Attr<int64_t>("factors")
                                  .Attr<int64_t>("what")
                                  .Attr<int64_t>("pieces"));
