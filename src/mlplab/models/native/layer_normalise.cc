// Layer normalisation: each row has its own mean and variance. One pass forward and one backward;
// a row stays in the first cache while it is passed through again.
#include <cmath>

#include "channels.h"

namespace ffi = xla::ffi;

namespace {

using Rows = ffi::Buffer<ffi::F32, 2>;
using Row = ffi::Buffer<ffi::F32, 1>;

// Calls each(number, count) for the vectors of a row; the last one may be narrower.
template <class Each>
void Along(int64_t size, const Each& each) {
  for (int64_t i = 0; i < size; i += kLanes) each(i, std::min(kLanes, size - i));
}

float Total(Vector values) {
  float sum = 0;
  for (int64_t i = 0; i < kLanes; ++i) sum += values[i];
  return sum;
}

// y = (x - mean) * inverse * scale + shift, with inverse = 1 / sqrt(variance + epsilon).
ffi::Error Normalise(ffi::ThreadPool pool, Rows x, Row scale, Row shift, ffi::Result<Rows> y,
                     ffi::Result<Row> mean, ffi::Result<Row> inverse, float epsilon) {
  int64_t rows = x.dimensions()[0], size = x.dimensions()[1];
  int64_t pieces = Pieces(pool, rows * size, rows);
  return Divide(pool, pieces, [&](int64_t piece) {
    for (int64_t row = rows * piece / pieces; row < rows * (piece + 1) / pieces; ++row) {
      const float* from = x.typed_data() + row * size;
      float* to = y->typed_data() + row * size;
      Vector sums{}, squares{};
      Along(size, [&](int64_t i, int64_t count) { sums += LoadSome(from + i, count); });
      float middle = Total(sums) / size;
      Along(size, [&](int64_t i, int64_t count) {
        Vector far = All(middle);
        std::memcpy(&far, from + i, 4 * count);  // what is missing counts as the mean
        far -= middle;
        squares += far * far;
      });
      float factor = 1 / std::sqrt(Total(squares) / size + epsilon);
      Along(size, [&](int64_t i, int64_t count) {
        Vector plain = (LoadSome(from + i, count) - middle) * factor;
        Vector weight = LoadSome(scale.typed_data() + i, count);
        StoreSome(to + i, plain * weight + LoadSome(shift.typed_data() + i, count), count);
      });
      mean->typed_data()[row] = middle, inverse->typed_data()[row] = factor;
    }
  });
}

// The gradients of that to x, scale and shift. Pieces are added in order: as many of them give the
// same bits.
ffi::Error Backwards(ffi::ThreadPool pool, Rows x, Row scale, Row mean, Row inverse, Rows gradient,
                     ffi::Result<Rows> to_x, ffi::Result<Row> to_scale, ffi::Result<Row> to_shift) {
  int64_t rows = x.dimensions()[0], size = x.dimensions()[1], padded = size + kLanes;
  int64_t pieces = Pieces(pool, rows * size, rows);
  std::vector<double> all(pieces * 2 * size);
  auto error = Divide(pool, pieces, [&](int64_t piece) {
    Words sums(2 * padded);
    double* own = all.data() + piece * 2 * size;
    int64_t end = rows * (piece + 1) / pieces;
    for (int64_t first = rows * piece / pieces; first < end; first += kRows) {
      std::fill(sums.begin(), sums.end(), 0);
      for (int64_t row = first; row < std::min(first + kRows, end); ++row) {
        const float *from = x.typed_data() + row * size, *g = gradient.typed_data() + row * size;
        float middle = mean.typed_data()[row], factor = inverse.typed_data()[row];
        Vector given{}, along{};
        Along(size, [&](int64_t i, int64_t count) {
          Vector plain = (LoadSome(from + i, count) - middle) * factor;
          Vector slope = LoadSome(g + i, count);
          Store(&sums[i], Load(&sums[i]) + slope * plain);
          Store(&sums[padded + i], Load(&sums[padded + i]) + slope);
          slope *= LoadSome(scale.typed_data() + i, count);
          given += slope, along += slope * plain;
        });
        float one = Total(given) / size, two = Total(along) / size;
        Along(size, [&](int64_t i, int64_t count) {
          Vector plain = (LoadSome(from + i, count) - middle) * factor;
          Vector slope = LoadSome(g + i, count) * LoadSome(scale.typed_data() + i, count);
          Vector back = (slope - one - plain * two) * factor;
          StoreSome(to_x->typed_data() + row * size + i, back, count);
        });
      }
      for (int64_t i = 0; i < size; ++i) own[i] += sums[i], own[size + i] += sums[padded + i];
    }
  });
  for (int64_t i = 0; i < size; ++i) {
    double one = 0, two = 0;
    for (int64_t piece = 0; piece < pieces; ++piece) {
      one += all[piece * 2 * size + i], two += all[(piece * 2 + 1) * size + i];
    }
    to_scale->typed_data()[i] = one, to_shift->typed_data()[i] = two;
  }
  return error;
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_layer_normalise, Normalise,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Rows>()
                                  .Arg<Row>()
                                  .Arg<Row>()
                                  .Ret<Rows>()
                                  .Ret<Row>()
                                  .Ret<Row>()
                                  .Attr<float>("epsilon"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_layer_normalise_back, Backwards,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Rows>()
                                  .Arg<Row>()
                                  .Arg<Row>()
                                  .Arg<Row>()
                                  .Arg<Rows>()
                                  .Ret<Rows>()
                                  .Ret<Row>()
                                  .Ret<Row>());
