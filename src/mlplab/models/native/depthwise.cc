// Depthwise convolutions with channels last: each channel has a kernel of its own. Forward, and the
// gradients to the images and to the kernel, an image at a time in a frame of zeros.
#include "frames.h"

namespace ffi = xla::ffi;

namespace {

constexpr int64_t kTogether = 4;  // results in a row that share a weight, or sums of one weight

using Floats = ffi::Buffer<ffi::F32, 4>;
using Kernel = ffi::Buffer<ffi::F32, 3>;

Frame FrameOf(const Sizes& s) {
  return {s.h, s.w, s.c, s.c, s.top, s.left, s.bottom, s.right};
}

// [side * side][channels, padded to whole vectors].
Words Padded(const Sizes& s, const float* kernel) {
  int64_t padded = Up(s.c, kLanes);
  Words weights(s.side * s.side * padded);
  for (int64_t at = 0; at < s.side * s.side; ++at) {
    std::memcpy(&weights[at * padded], kernel + at * s.c, 4 * s.c);
  }
  return weights;
}

// Calls each(first float of its window in the frame, first float of the result, channel, number of
// channels) for each vector of an image's results.
template <class Each>
void Windows(const Sizes& s, int64_t row, const Each& each) {
  for (int64_t y = 0; y < s.high; ++y) {
    for (int64_t c = 0; c < s.c; c += kLanes) {
      for (int64_t x = 0; x < s.wide; ++x) {
        each(s.stride * (y * row + x * s.c) + c, (y * s.wide + x) * s.c + c, c,
             std::min(kLanes, s.c - c));
      }
    }
  }
}

ffi::Error Forward(ffi::ThreadPool& pool, const Sizes& s, const float* images, const float* kernel,
                   float* result) {
  Frame frame = FrameOf(s);
  Words weights = Padded(s, kernel);
  int64_t padded = Up(s.c, kLanes), row = frame.Row(), step = s.stride * s.c;
  int64_t pieces = Pieces(pool, s.n * frame.Size(), s.n);
  return Divide(pool, pieces, [&](int64_t piece) {
    float* framed = Scratch<0>(frame.Size() + kLanes);
    std::fill(framed, framed + frame.Size() + kLanes, 0);
    for (int64_t i = s.n * piece / pieces; i < s.n * (piece + 1) / pieces; ++i) {
      frame.Fill<kFloats>(images + i * s.h * s.w * s.c, 1, framed);
      float* to = result + i * s.high * s.wide * s.c;
      for (int64_t y = 0; y < s.high; ++y) {
        for (int64_t c = 0; c < s.c; c += kLanes) {
          for (int64_t x = 0; x < s.wide; x += kTogether) {
            int64_t last = s.wide - 1 - x, many = std::min(kTogether, s.wide - x);
            const float* from = framed + y * s.stride * row + x * step + c;
            const float* weight = weights.data() + c;
            Vector sums[kTogether] = {};
            for (int64_t down = 0; down < s.side; ++down) {
              for (int64_t along = 0; along < s.side; ++along, weight += padded) {
                Vector w = Load(weight);
#pragma GCC unroll 4
                for (int64_t q = 0; q < kTogether; ++q) {
                  sums[q] += w * Load(from + down * row + along * s.c + std::min(q, last) * step);
                }
              }
            }
            for (int64_t q = 0; q < many; ++q) {
              StoreSome(to + (y * s.wide + x + q) * s.c + c, sums[q], std::min(kLanes, s.c - c));
            }
          }
        }
      }
    }
  });
}

ffi::Error ToImages(ffi::ThreadPool& pool, const Sizes& s, const float* gradient,
                    const float* kernel, float* result) {
  Frame frame = FrameOf(s);
  Words weights = Padded(s, kernel);
  int64_t padded = Up(s.c, kLanes), row = frame.Row();
  int64_t pieces = Pieces(pool, s.n * frame.Size(), s.n);
  return Divide(pool, pieces, [&](int64_t piece) {
    float* framed = Scratch<0>(frame.Size() + kLanes);
    for (int64_t i = s.n * piece / pieces; i < s.n * (piece + 1) / pieces; ++i) {
      std::fill(framed, framed + frame.Size() + kLanes, 0);
      const float* given = gradient + i * s.high * s.wide * s.c;
      // What is missing of a vector is zero, so it adds nothing to the next position.
      Windows(s, row, [&](int64_t window, int64_t at, int64_t c, int64_t count) {
        Vector g = LoadSome(given + at, count);
        const float* weight = weights.data() + c;
        for (int64_t down = 0; down < s.side; ++down) {
          for (int64_t along = 0; along < s.side; ++along, weight += padded) {
            float* to = framed + window + down * row + along * s.c;
            Store(to, Load(to) + g * Load(weight));
          }
        }
      });
      for (int64_t y = 0; y < s.h; ++y) {
        std::memcpy(result + (i * s.h + y) * s.w * s.c,
                    framed + (s.top + y) * row + s.left * s.c, 4 * s.w * s.c);
      }
    }
  });
}

// Each piece has its own sums, and these are added in order: as many pieces give the same bits.
ffi::Error ToKernel(ffi::ThreadPool& pool, const Sizes& s, int64_t pieces, const float* gradient,
                    const float* images, float* result) {
  Frame frame = FrameOf(s);
  int64_t padded = Up(s.c, kLanes), row = frame.Row(), step = s.stride * s.c;
  int64_t size = s.side * s.side * padded;
  if (pieces < 1) pieces = pool.num_threads();
  pieces = std::max<int64_t>(1, std::min(s.n, pieces));
  Words sums(pieces * size);
  auto error = Divide(pool, pieces, [&](int64_t piece) {
    float* framed = Scratch<0>(frame.Size() + kLanes);
    std::fill(framed, framed + frame.Size() + kLanes, 0);
    float* own = sums.data() + piece * size;
    for (int64_t i = s.n * piece / pieces; i < s.n * (piece + 1) / pieces; ++i) {
      frame.Fill<kFloats>(images + i * s.h * s.w * s.c, 1, framed);
      for (int64_t y = 0; y < s.high; ++y) {
        const float* g = gradient + (i * s.high + y) * s.wide * s.c;
        for (int64_t c = 0; c < s.c; c += kLanes) {
          int64_t count = std::min(kLanes, s.c - c);
          for (int64_t at = 0; at < s.side * s.side; ++at) {
            const float* from = framed + (y * s.stride + at / s.side) * row + at % s.side * s.c + c;
            Vector parts[kTogether] = {};
            for (int64_t x = 0; x < s.wide; ++x) {
              parts[x % kTogether] += LoadSome(g + x * s.c + c, count) * Load(from + x * step);
            }
            float* sum = own + at * padded + c;
            Store(sum, Load(sum) + (parts[0] + parts[1]) + (parts[2] + parts[3]));
          }
        }
      }
    }
  });
  for (int64_t at = 0; at < s.side * s.side; ++at) {
    for (int64_t c = 0; c < s.c; ++c) {
      float sum = 0;
      for (int64_t piece = 0; piece < pieces; ++piece) sum += sums[piece * size + at * padded + c];
      result[at * s.c + c] = sum;
    }
  }
  return error;
}

Sizes SizesOf(ffi::Span<const int64_t> images, int64_t side, int64_t high, int64_t wide,
              int64_t stride, int64_t top, int64_t bottom, int64_t left, int64_t right) {
  return {images[0], images[1], images[2], images[3], high, wide, images[3],
          side,      stride,    top,       left,      bottom, right};
}

ffi::Error CallForward(ffi::ThreadPool pool, Floats images, Kernel kernel,
                       ffi::Result<Floats> result, int64_t high, int64_t wide, int64_t stride,
                       int64_t top, int64_t bottom, int64_t left, int64_t right) {
  Sizes s = SizesOf(images.dimensions(), kernel.dimensions()[0], high, wide, stride, top, bottom,
                    left, right);
  return Forward(pool, s, images.typed_data(), kernel.typed_data(), result->typed_data());
}

ffi::Error CallToImages(ffi::ThreadPool pool, Floats gradient, Kernel kernel,
                        ffi::Result<Floats> result, int64_t high, int64_t wide, int64_t stride,
                        int64_t top, int64_t bottom, int64_t left, int64_t right) {
  Sizes s = SizesOf(result->dimensions(), kernel.dimensions()[0], high, wide, stride, top, bottom,
                    left, right);
  return ToImages(pool, s, gradient.typed_data(), kernel.typed_data(), result->typed_data());
}

ffi::Error CallToKernel(ffi::ThreadPool pool, Floats gradient, Floats images,
                        ffi::Result<Kernel> result, int64_t high, int64_t wide, int64_t stride,
                        int64_t top, int64_t bottom, int64_t left, int64_t right, int64_t pieces) {
  Sizes s = SizesOf(images.dimensions(), result->dimensions()[0], high, wide, stride, top, bottom,
                    left, right);
  return ToKernel(pool, s, pieces, gradient.typed_data(), images.typed_data(),
                  result->typed_data());
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    mlplab_depthwise, CallForward,
    Formed(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Kernel>().Ret<Floats>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    mlplab_depthwise_to_images, CallToImages,
    Formed(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Kernel>().Ret<Floats>()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    mlplab_depthwise_to_kernel, CallToKernel,
    Formed(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Ret<Kernel>())
        .Attr<int64_t>("pieces"));
