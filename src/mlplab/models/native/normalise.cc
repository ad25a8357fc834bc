// Batch normalisation with the activation that follows it: two passes over the images forward, two
// backward. What is cheaper to compute again than to keep is computed again.
#include <cmath>

#include "activations.h"
#include "channels.h"

namespace ffi = xla::ffi;

namespace {

using Floats = ffi::Buffer<ffi::F32, 4>;
using Channels = ffi::Buffer<ffi::F32, 1>;

// For each channel, the sums over all rows of two terms: each(from, at, count, one, two) adds those
// of a vector. Pieces are added in order: as many of them give the same bits.
template <class Each>
ffi::Error Sums(ffi::ThreadPool& pool, int64_t rows, int64_t channels, int64_t period,
                std::vector<double>& one, std::vector<double>& two, const Each& each) {
  int64_t pieces = Pieces(pool, rows * channels, rows);
  std::vector<double> all(pieces * 2 * channels);
  auto error = Divide(pool, pieces, [&](int64_t piece) {
    std::vector<float> sums(2 * period);
    double* own = all.data() + piece * 2 * channels;
    int64_t end = rows * (piece + 1) / pieces;
    for (int64_t row = rows * piece / pieces; row < end; row += kRows) {
      std::fill(sums.begin(), sums.end(), 0);
      int64_t size = std::min(kRows, end - row) * channels;
      Vectors(size, period, [&](int64_t i, int64_t at, int64_t count) {
        Vector first = Load(&sums[at]), second = Load(&sums[period + at]);
        each(row * channels + i, at, count, first, second);
        Store(&sums[at], first), Store(&sums[period + at], second);
      });
      for (int64_t i = 0; i < period; ++i) {
        own[i % channels] += sums[i], own[channels + i % channels] += sums[period + i];
      }
    }
  });
  one.assign(channels, 0), two.assign(channels, 0);
  for (int64_t piece = 0; piece < pieces; ++piece) {
    for (int64_t c = 0; c < channels; ++c) {
      one[c] += all[piece * 2 * channels + c], two[c] += all[(piece * 2 + 1) * channels + c];
    }
  }
  return error;
}

template <class Each>
ffi::Error Through(ffi::ThreadPool& pool, int64_t rows, int64_t channels, int64_t period,
                   const Each& each) {
  int64_t pieces = Pieces(pool, rows * channels, rows);
  return Divide(pool, pieces, [&](int64_t piece) {
    int64_t first = rows * piece / pieces * channels, end = rows * (piece + 1) / pieces * channels;
    Vectors(end - first, period,
            [&](int64_t i, int64_t at, int64_t count) { each(first + i, at, count); });
  });
}

// y = activation((x - mean) / sqrt(variance + epsilon) * scale + shift), and mean and variance.
template <class Activation>
ffi::Error Normalise(ffi::ThreadPool& pool, int64_t rows, int64_t channels, float epsilon,
                     const float* x, const float* scale, const float* shift, float* y, float* mean,
                     float* variance) {
  // The first row is near the mean: sums of squares of what is far from it would lose digits.
  Repeated near(channels, [&](int64_t c) { return x[c]; });
  std::vector<double> sums, squares;
  auto error = Sums(pool, rows, channels, near.period, sums, squares,
                    [&](int64_t i, int64_t at, int64_t count, Vector& sum, Vector& square) {
                      // What is missing of a narrow vector counts as the first row: as zero.
                      Vector value = near[at];
                      std::memcpy(&value, x + i, 4 * count);
                      value -= near[at];
                      sum += value, square += value * value;
                    });
  if (error.failure()) return error;
  for (int64_t c = 0; c < channels; ++c) {
    double far = sums[c] / rows;
    mean[c] = x[c] + far;
    variance[c] = std::max(0.0, squares[c] / rows - far * far);
  }
  Repeated factor(channels, [&](int64_t c) { return scale[c] / std::sqrt(variance[c] + epsilon); });
  Repeated middle(channels, [&](int64_t c) { return mean[c]; });
  Repeated offset(channels, [&](int64_t c) { return shift[c]; });
  return Through(pool, rows, channels, near.period, [&](int64_t i, int64_t at, int64_t count) {
    Vector z = (LoadSome(x + i, count) - middle[at]) * factor[at] + offset[at];
    StoreSome(y + i, Activation::Of(z), count);
  });
}

// The gradients of that to x, scale and shift.
template <class Activation>
ffi::Error Backwards(ffi::ThreadPool& pool, int64_t rows, int64_t channels, float epsilon,
                     const float* x, const float* scale, const float* shift, const float* mean,
                     const float* variance, const float* gradient, float* to_x, float* to_scale,
                     float* to_shift) {
  auto inverse = [&](int64_t c) { return 1 / std::sqrt(variance[c] + epsilon); };
  Repeated middle(channels, [&](int64_t c) { return mean[c]; });
  Repeated narrow(channels, inverse);
  Repeated factor(channels, [&](int64_t c) { return scale[c]; });
  Repeated offset(channels, [&](int64_t c) { return shift[c]; });
  std::vector<double> sums, products;
  auto error = Sums(pool, rows, channels, middle.period, sums, products,
                    [&](int64_t i, int64_t at, int64_t count, Vector& sum, Vector& product) {
                      Vector plain = (LoadSome(x + i, count) - middle[at]) * narrow[at];
                      Vector g = LoadSome(gradient + i, count) *
                                 Activation::Slope(plain * factor[at] + offset[at]);
                      sum += g, product += g * plain;
                    });
  if (error.failure()) return error;
  for (int64_t c = 0; c < channels; ++c) to_shift[c] = sums[c], to_scale[c] = products[c];
  Repeated sum(channels, [&](int64_t c) { return sums[c] / rows; });
  Repeated product(channels, [&](int64_t c) { return products[c] / rows; });
  Repeated back(channels, [&](int64_t c) { return scale[c] * inverse(c); });
  return Through(pool, rows, channels, middle.period, [&](int64_t i, int64_t at, int64_t count) {
    Vector plain = (LoadSome(x + i, count) - middle[at]) * narrow[at];
    Vector g = LoadSome(gradient + i, count) * Activation::Slope(plain * factor[at] + offset[at]);
    StoreSome(to_x + i, (g - sum[at] - plain * product[at]) * back[at], count);
  });
}

ffi::Error CallNormalise(ffi::ThreadPool pool, Floats x, Channels scale, Channels shift,
                         ffi::Result<Floats> y, ffi::Result<Channels> mean,
                         ffi::Result<Channels> variance, int64_t activation, float epsilon) {
  int64_t channels = x.dimensions()[3], rows = x.element_count() / channels;
  return With(activation, [&](auto kind) {
    return Normalise<decltype(kind)>(pool, rows, channels, epsilon, x.typed_data(),
                                     scale.typed_data(), shift.typed_data(), y->typed_data(),
                                     mean->typed_data(), variance->typed_data());
  });
}

ffi::Error CallBackwards(ffi::ThreadPool pool, Floats x, Channels scale, Channels shift,
                         Channels mean, Channels variance, Floats gradient,
                         ffi::Result<Floats> to_x, ffi::Result<Channels> to_scale,
                         ffi::Result<Channels> to_shift, int64_t activation, float epsilon) {
  int64_t channels = x.dimensions()[3], rows = x.element_count() / channels;
  return With(activation, [&](auto kind) {
    return Backwards<decltype(kind)>(pool, rows, channels, epsilon, x.typed_data(),
                                     scale.typed_data(), shift.typed_data(), mean.typed_data(),
                                     variance.typed_data(), gradient.typed_data(),
                                     to_x->typed_data(), to_scale->typed_data(),
                                     to_shift->typed_data());
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_normalise, CallNormalise,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Channels>()
                                  .Arg<Channels>()
                                  .Ret<Floats>()
                                  .Ret<Channels>()
                                  .Ret<Channels>()
                                  .Attr<int64_t>("activation")
                                  .Attr<float>("epsilon"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_normalise_back, CallBackwards,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Channels>()
                                  .Arg<Channels>()
                                  .Arg<Channels>()
                                  .Arg<Channels>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Ret<Channels>()
                                  .Ret<Channels>()
                                  .Attr<int64_t>("activation")
                                  .Attr<float>("epsilon"));
