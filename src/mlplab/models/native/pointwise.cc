// Activations alone, and the maximum of squares: one pass over the images each.
#include "activations.h"
#include "simd.h"

namespace ffi = xla::ffi;

namespace {

using Numbers = ffi::Buffer<ffi::F32, 1>;
using Floats = ffi::Buffer<ffi::F32, 4>;

template <class Each>
ffi::Error Through(ffi::ThreadPool& pool, int64_t size, const Each& each) {
  int64_t pieces = Pieces(pool, size, size);
  return Divide(pool, pieces, [&](int64_t piece) {
    int64_t i = size * piece / pieces, end = size * (piece + 1) / pieces;
    for (; i < end; i += kLanes) each(i, std::min(kLanes, end - i));
  });
}

ffi::Error Activate(ffi::ThreadPool pool, Numbers x, ffi::Result<Numbers> y, int64_t activation) {
  return With(activation, [&](auto kind) {
    const float* from = x.typed_data();
    float* to = y->typed_data();
    return Through(pool, x.element_count(), [=](int64_t i, int64_t count) {
      StoreSome(to + i, decltype(kind)::Of(LoadSome(from + i, count)), count);
    });
  });
}

ffi::Error Slopes(ffi::ThreadPool pool, Numbers x, Numbers gradient, ffi::Result<Numbers> to_x,
                  int64_t activation) {
  return With(activation, [&](auto kind) {
    const float *from = x.typed_data(), *g = gradient.typed_data();
    float* to = to_x->typed_data();
    return Through(pool, x.element_count(), [=](int64_t i, int64_t count) {
      Vector slope = decltype(kind)::Slope(LoadSome(from + i, count));
      StoreSome(to + i, LoadSome(g + i, count) * slope, count);
    });
  });
}

// The squares of images: side * side positions each, none of which belongs to two.
struct Squares {
  int64_t n, h, w, c, high, wide, side;

  Squares(ffi::Span<const int64_t> images, ffi::Span<const int64_t> result, int64_t side)
      : n(images[0]), h(images[1]), w(images[2]), c(images[3]), high(result[1]), wide(result[2]),
        side(side) {}

  // Calls each(first position of a square, of its result) in the threads of the pool.
  template <class Each>
  ffi::Error Divided(ffi::ThreadPool& pool, const Each& each) const {
    int64_t pieces = Pieces(pool, n * h * w * c, n);
    return Divide(pool, pieces, [&](int64_t piece) {
      for (int64_t i = n * piece / pieces; i < n * (piece + 1) / pieces; ++i) {
        for (int64_t y = 0; y < high; ++y) {
          for (int64_t x = 0; x < wide; ++x) {
            each(((i * h + y * side) * w + x * side) * c, ((i * high + y) * wide + x) * c);
          }
        }
      }
    });
  }
};

ffi::Error Maximum(ffi::ThreadPool pool, Floats images, ffi::Result<Floats> result, int64_t side) {
  Squares s(images.dimensions(), result->dimensions(), side);
  const float* from = images.typed_data();
  float* to = result->typed_data();
  return s.Divided(pool, [=](int64_t first, int64_t square) {
    for (int64_t c = 0; c < s.c; c += kLanes) {
      int64_t count = std::min(kLanes, s.c - c);
      Vector most = LoadSome(from + first + c, count);
      for (int64_t at = 1; at < side * side; ++at) {
        int64_t place = first + (at / side * s.w + at % side) * s.c + c;
        Vector next = LoadSome(from + place, count);
        most = (next > most) | (next != next) ? next : most;  // NaN is passed on
      }
      StoreSome(to + square + c, most, count);
    }
  });
}

// Positions that share a maximum share its gradient.
ffi::Error MaximumBack(ffi::ThreadPool pool, Floats images, Floats result, Floats gradient,
                       ffi::Result<Floats> to_images, int64_t side) {
  Squares s(images.dimensions(), result.dimensions(), side);
  const float *from = images.typed_data(), *most = result.typed_data();
  const float* g = gradient.typed_data();
  float* to = to_images->typed_data();
  if (s.high * side < s.h || s.wide * side < s.w) std::fill(to, to + images.element_count(), 0);
  return s.Divided(pool, [=](int64_t first, int64_t square) {
    for (int64_t c = 0; c < s.c; c += kLanes) {
      int64_t count = std::min(kLanes, s.c - c);
      Vector highest = LoadSome(most + square + c, count), ties{};
      auto place = [&](int64_t at) { return first + (at / side * s.w + at % side) * s.c + c; };
      for (int64_t at = 0; at < side * side; ++at) {
        ties += LoadSome(from + place(at), count) == highest ? All(1) : Vector{};
      }
      Vector share = LoadSome(g + square + c, count) / ties;
      for (int64_t at = 0; at < side * side; ++at) {
        Vector value = LoadSome(from + place(at), count);
        StoreSome(to + place(at), value == highest ? share : Vector{}, count);
      }
    }
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_activate, Activate,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Numbers>()
                                  .Ret<Numbers>()
                                  .Attr<int64_t>("activation"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_activate_back, Slopes,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Numbers>()
                                  .Arg<Numbers>()
                                  .Ret<Numbers>()
                                  .Attr<int64_t>("activation"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    mlplab_maximum, Maximum,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Ret<Floats>().Attr<int64_t>("side"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_maximum_back, MaximumBack,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Arg<Floats>()
                                  .Ret<Floats>()
                                  .Attr<int64_t>("side"));
