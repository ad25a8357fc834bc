// Changes of training images that keep their labels: an image at a time, from mirroring to the grey
// square, while it is in the cache of its core.
#include "simd.h"

namespace ffi = xla::ffi;

namespace {

using Pixels = ffi::Buffer<ffi::U8, 4>;
using Steps = ffi::Buffer<ffi::S32, 2>;
using Amounts = ffi::Buffer<ffi::F32, 2>;
using Weights = ffi::Buffer<ffi::F32, 2>;
using Partners = ffi::Buffer<ffi::S32, 1>;

// As in augment/transforms.py.
constexpr uint8_t kGrey = 127;
constexpr float kLuma[] = {0.299f, 0.587f, 0.114f};

// An image's row of whole numbers: whether it is mirrored, its shift, and where the square begins.
enum Step { kFlipped, kDown, kRight, kTop, kLeft, kSteps };
// Its row of amounts: where its first pixel is read, the way from there to the next one down and
// across, and the factors of its colours.
enum Amount {
  kFirstY, kFirstX, kDownY, kDownX, kAcrossY, kAcrossX, kBrightness, kContrast, kSaturation, kAmounts
};

struct Image {
  int64_t h, w, c;
  int64_t Size() const { return h * w * c; }
  int64_t Row() const { return w * c; }
};

// Positions beyond the edges are folded back: the edge itself is not repeated.
int64_t Mirrored(int64_t at, int64_t size) {
  if (at < 0) at = -at;
  return at < size ? at : 2 * (size - 1) - at;
}

Vector Floor(Vector value) {
  Vector whole = __builtin_convertvector(__builtin_convertvector(value, Integers), Vector);
  return whole > value ? whole - 1 : whole;
}

Vector Mirrored(Vector at, float last) {
  float twice = std::max(2 * last, 1.f);  // images of one pixel have only that one
  Vector beyond = at - twice * Floor(at / twice) - last;
  Vector found = last - (beyond < 0 ? -beyond : beyond);
  return found > 0 ? found : Vector{};
}

// From here on, the last bits of a float count whole numbers.
constexpr float kWhole = 1 << 23;

// Of a value in [0, 255], give or take a rounding error; ties go to the even number.
uint8_t Rounded(float value) {
  value += kWhole;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint8_t>(bits);
}

// kChannels are the channels, or 0 where their number is not known before.
template <int64_t kChannels>
void FlipPixels(const Image& image, const uint8_t* from, uint8_t* to) {
  int64_t c = kChannels ? kChannels : image.c, wide = image.w;
  for (int64_t y = 0; y < image.h; ++y, from += wide * c) {
    for (int64_t x = wide - 1; x >= 0; --x, to += c) std::memcpy(to, from + x * c, c);
  }
}

void Flip(const Image& image, const uint8_t* from, uint8_t* to) {
  if (image.c == 3) return FlipPixels<3>(image, from, to);
  if (image.c == 1) return FlipPixels<1>(image, from, to);
  FlipPixels<0>(image, from, to);
}

// Four channels of a pixel.
typedef float Four __attribute__((vector_size(16)));
constexpr int64_t kFour = 4;

// Writes the first of them, rounded.
void WriteSome(Four values, int64_t count, uint8_t* to) {
  typedef uint32_t Whole __attribute__((vector_size(16)));
  typedef uint8_t Bytes __attribute__((vector_size(4)));
  Bytes bytes = __builtin_convertvector(reinterpret_cast<Whole>(values + kWhole) & 255, Bytes);
  if (count == 3) {
    std::memcpy(to, &bytes, 3);
  } else {
    std::memcpy(to, &bytes, std::min(kFour, count));
  }
}

// Reads an image between its pixels. All channels of a pixel are read at once.
struct Reader {
  Image image;
  int64_t padded;  // channels
  std::vector<Four> pixels;
  std::vector<int32_t> corner, down, across;  // of the four pixels around a place
  std::vector<float> below, beside;           // the shares of the lower and of the right ones

  explicit Reader(const Image& image)
      : image(image), padded(Up(image.c, kFour) / kFour), pixels(image.h * image.w * padded) {
    int64_t places = Up(image.w, kLanes);
    for (auto* each : {&corner, &down, &across}) each->resize(places);
    for (auto* each : {&below, &beside}) each->resize(places);
  }

  void Take(const uint8_t* from) {
    float* to = reinterpret_cast<float*>(pixels.data());
    int64_t c = image.c, step = padded * kFour;
    for (int64_t at = 0; at < image.h * image.w; ++at, from += c, to += step) {
      for (int64_t i = 0; i < c; ++i) to[i] = from[i];
    }
  }

  // Finds the places of a row of the result.
  void Find(const float* amount, int64_t i) {
    float last_y = image.h - 1, last_x = image.w - 1;
    float first_y = amount[kFirstY] + i * amount[kDownY];
    float first_x = amount[kFirstX] + i * amount[kDownX];
    int32_t row = image.w * padded, pixel = padded;
    Vector j;
    for (int64_t lane = 0; lane < kLanes; ++lane) j[lane] = lane;
    for (int64_t at = 0; at < image.w; at += kLanes, j += kLanes) {
      Vector y = Mirrored(first_y + j * amount[kAcrossY], last_y), top = Floor(y);
      Vector x = Mirrored(first_x + j * amount[kAcrossX], last_x), left = Floor(x);
      Store(&below[at], y - top);
      Store(&beside[at], x - left);
      auto store = [&](std::vector<int32_t>& to, Integers value) {
        std::memcpy(&to[at], &value, sizeof value);
      };
      Integers rows = __builtin_convertvector(top, Integers) * row;
      store(corner, rows + __builtin_convertvector(left, Integers) * pixel);
      // At the last pixel the share of the next one is 0, so it may be any.
      store(down, (top < last_y) & row);
      store(across, (left < last_x) & pixel);
    }
  }

  void Write(uint8_t* to) const {
    const Four* from = pixels.data();
    const int32_t *first = corner.data(), *next_row = down.data(), *next = across.data();
    const float *lower = below.data(), *right = beside.data();
    int64_t c = image.c, parts = padded;
    for (int64_t j = 0, end = image.w; j < end; ++j, to += c) {
      for (int64_t part = 0; part < parts; ++part) {
        const Four *upper = from + first[j] + part, *under = upper + next_row[j];
        Four above = upper[0] + right[j] * (upper[next[j]] - upper[0]);
        Four beneath = under[0] + right[j] * (under[next[j]] - under[0]);
        WriteSome(above + lower[j] * (beneath - above), c - part * kFour, to + part * kFour);
      }
    }
  }
};

void Warp(const float* amount, Reader& reader, const uint8_t* from, uint8_t* to) {
  reader.Take(from);
  for (int64_t i = 0; i < reader.image.h; ++i, to += reader.image.Row()) {
    reader.Find(amount, i);
    reader.Write(to);
  }
}

void Shift(const Image& image, int64_t down, int64_t right, const uint8_t* from, uint8_t* to) {
  int64_t first = std::max<int64_t>(0, right), end = std::min(image.w, image.w + right);
  for (int64_t y = 0; y < image.h; ++y, to += image.Row()) {
    const uint8_t* row = from + Mirrored(y - down, image.h) * image.Row();
    std::memcpy(to + first * image.c, row + (first - right) * image.c, (end - first) * image.c);
    auto mirror = [&](int64_t x) {
      std::memcpy(to + x * image.c, row + Mirrored(x - right, image.w) * image.c, image.c);
    };
    for (int64_t x = 0; x < first; ++x) mirror(x);
    for (int64_t x = end; x < image.w; ++x) mirror(x);
  }
}

// Scales brightness, then the distance from the image's mean, then that from each pixel's grey.
// All three are linear: together they are one matrix, of `columns` from each channel, and a constant.
template <int64_t kChannels>
void ColourPixels(const Image& image, const float* amount, uint8_t* pixels) {
  int64_t places = image.h * image.w, c = kChannels ? kChannels : image.c;
  int64_t parts = Up(c, kFour) / kFour;
  std::vector<int32_t> sums(c);
  for (int64_t at = 0; at < places; ++at) {
    for (int64_t i = 0; i < c; ++i) sums[i] += pixels[at * c + i];
  }
  std::vector<float> luma(c, 1.f / c);
  if (c == 3) luma.assign(kLuma, kLuma + 3);
  float grey = 0;
  for (int64_t i = 0; i < c; ++i) grey += luma[i] * sums[i] / places;
  float scale = amount[kBrightness] * amount[kContrast], kept = amount[kSaturation];
  Four constant = amount[kBrightness] * grey * (1 - amount[kContrast]) - Four{};
  std::vector<Four> columns(c * parts);
  for (int64_t from = 0; from < c; ++from) {
    for (int64_t to = 0; to < c; ++to) {
      float share = scale * (kept * (from == to) + (1 - kept) * luma[from]);
      columns[from * parts + to / kFour][to % kFour] = share;
    }
  }
  const Four* column = columns.data();
  std::vector<uint8_t> before(pixels, pixels + image.Size());
  const uint8_t* pixel = before.data();
  for (int64_t at = 0; at < places; ++at, pixels += c, pixel += c) {
    for (int64_t part = 0; part < parts; ++part) {
      Four sum = constant;
      for (int64_t i = 0; i < c; ++i) {
        sum += static_cast<float>(pixel[i]) * column[i * parts + part];
      }
      sum = sum > 0 ? sum : Four{};
      sum = sum < 255 ? sum : 255 - Four{};
      WriteSome(sum, c - part * kFour, pixels + part * kFour);
    }
  }
}

void Colour(const Image& image, const float* amount, uint8_t* pixels) {
  if (image.c == 3) return ColourPixels<3>(image, amount, pixels);
  if (image.c == 1) return ColourPixels<1>(image, amount, pixels);
  ColourPixels<0>(image, amount, pixels);
}

// Paints a square grey, as far as it lies inside.
void Cut(const Image& image, int64_t top, int64_t left, int64_t side, uint8_t* pixels) {
  int64_t x = std::max<int64_t>(0, left), end = std::min(image.w, left + side);
  for (int64_t y = std::max<int64_t>(0, top); y < std::min(image.h, top + side) && x < end; ++y) {
    std::memset(pixels + y * image.Row() + x * image.c, kGrey, (end - x) * image.c);
  }
}

// `cut` is the side of the square; the other attributes are whether something is changed at all.
ffi::Error Augment(ffi::ThreadPool pool, Pixels images, Steps steps, Amounts amounts,
                   ffi::Result<Pixels> result, int64_t flips, int64_t warps, int64_t shifts,
                   int64_t colours, int64_t cut) {
  auto shape = images.dimensions();
  Image image{shape[1], shape[2], shape[3]};
  int64_t n = shape[0], size = image.Size(), pieces = Pieces(pool, n * size, n);
  const uint8_t* all = images.typed_data();
  return Divide(pool, pieces, [&](int64_t piece) {
    std::vector<uint8_t> memory(2 * size);
    Reader reader(image);
    for (int64_t i = n * piece / pieces; i < n * (piece + 1) / pieces; ++i) {
      const int32_t* step = steps.typed_data() + i * kSteps;
      const float* amount = amounts.typed_data() + i * kAmounts;
      const uint8_t* from = all + i * size;
      uint8_t *to = memory.data(), *other = to + size;
      auto done = [&] {
        from = to;
        std::swap(to, other);
      };
      if (flips && step[kFlipped]) Flip(image, from, to), done();
      if (warps) Warp(amount, reader, from, to), done();
      if (shifts) Shift(image, step[kDown], step[kRight], from, to), done();
      uint8_t* last = result->typed_data() + i * size;
      std::memcpy(last, from, size);
      if (colours) Colour(image, amount, last);
      if (cut) Cut(image, step[kTop], step[kLeft], cut, last);
    }
  });
}

void MixPixels(int64_t size, const float* share, const uint8_t* own, const uint8_t* other,
               uint8_t* __restrict to) {
  for (int64_t at = 0; at < size; ++at) {
    to[at] = Rounded(share[at] * own[at] + (1 - share[at]) * other[at]);
  }
}

// Each image's pixels with its partner's: `weights` [height, width] are its own shares.
ffi::Error Mix(ffi::ThreadPool pool, Pixels images, Partners partners, Weights weights,
               ffi::Result<Pixels> result) {
  auto shape = images.dimensions();
  int64_t n = shape[0], c = shape[3], size = shape[1] * shape[2] * c;
  Words shares(size);
  for (int64_t at = 0; at < size; ++at) shares[at] = weights.typed_data()[at / c];
  int64_t pieces = Pieces(pool, n * size, n);
  const uint8_t* all = images.typed_data();
  return Divide(pool, pieces, [&](int64_t piece) {
    for (int64_t i = n * piece / pieces; i < n * (piece + 1) / pieces; ++i) {
      const uint8_t* other = all + partners.typed_data()[i] * size;
      MixPixels(size, shares.data(), all + i * size, other, result->typed_data() + i * size);
    }
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_augment, Augment,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Pixels>()
                                  .Arg<Steps>()
                                  .Arg<Amounts>()
                                  .Ret<Pixels>()
                                  .Attr<int64_t>("flips")
                                  .Attr<int64_t>("warps")
                                  .Attr<int64_t>("shifts")
                                  .Attr<int64_t>("colours")
                                  .Attr<int64_t>("cut"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_mix, Mix,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Pixels>()
                                  .Arg<Partners>()
                                  .Arg<Weights>()
                                  .Ret<Pixels>());
