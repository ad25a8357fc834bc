// The gradient of a convolution to its kernel.
#pragma once

#include "frames.h"
#include "squares.h"

// The gradients of a group of images: of each position, or of each two neighbours in a row as
// words, with zeros up to a multiple of kLanes channels.
template <Factors kFactors>
void Gradients(const float* from, int64_t rows, int64_t wide, int64_t out, float* to) {
  int64_t padded = Up(out, kLanes);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t x = 0; x < wide; x += kFactors == kFloats ? 1 : 2, to += padded) {
      const float* at = from + (row * wide + x) * out;
      bool two = kFactors != kFloats && x + 1 < wide;
      for (int64_t o = 0; o < out; o += kLanes) {
        int64_t count = std::min(kLanes, out - o);
        Vector value = LoadSome(at + o, count);
        if (kFactors != kFloats) {
          value = Paired(value, two ? LoadSome(at + out + o, count) : Vector{});
        }
        Store(to + o, value);
      }
    }
  }
}

// Sums of the kernel's gradient, in vectors. The words of images are floats, or pairs of each
// position and the next.
template <Factors kFactors>
class KernelSums {
 public:
  KernelSums(int64_t side, int64_t length, int64_t out)
      : side_(side), rows_(Up(length, kTile)), length_(length), out_(Up(out, kLanes)),
        sums_(Up(out, kWidth) * side * rows_) {}

  // Adds what positions contribute: `from` are their windows, whose rows are `row` words apart.
  void Add(const float* words, int64_t row, const int32_t* from, int64_t positions,
           const float* gradients) {
    for (int64_t p = 0; p < positions; p += kBlock) {
      int64_t many = std::min(kBlock, positions - p);
      for (int64_t o = 0; o < out_;) {
        bool whole = out_ - o >= kWidth;
        auto add = whole ? AddTo<kFactors, kVectors> : AddTo<kFactors, 1>;
        for (int64_t y = 0; y < side_; ++y) {
          for (int64_t k = 0; k < length_; k += kTile) {
            add(words + y * row + k, from + p, many, gradients + p * out_ + o, out_, At(y, k, o));
          }
        }
        o += whole ? kWidth : kLanes;
      }
    }
  }

  float Of(int64_t y, int64_t k, int64_t o) { return *At(y, k, o); }

 private:
  float* At(int64_t y, int64_t k, int64_t o) {
    return &sums_[((o / kWidth * side_ + y) * rows_ + k) * kWidth + o % kWidth];
  }

  int64_t side_, rows_, length_, out_;
  Words sums_;
};

// The same in tiles: the rows are channels of the gradient, the columns are words of windows, and
// what is summed over are pairs of positions.
template <>
class KernelSums<kTiles> {
 public:
  KernelSums(int64_t side, int64_t length, int64_t out)
      : side_(side), length_(length), out_(out), padded_(Up(out, kLanes)),
        sums_(Up(out, kBoth) * side * Up(length, kBoth)) {}

  void Add(const float* words, int64_t row, const int32_t* from, int64_t positions,
           const float* gradients) {
    int64_t steps = Up(positions, kRank) / kRank, pitch = Pitch(positions);
    float* turned = Scratch<4>(Up(out_, kBoth) * pitch);  // [channels][positions]
    Turn(gradients, positions, pitch, turned);
    float* windows = Scratch<5>(steps * kRank * kBoth);
    std::fill(windows + positions * kBoth, windows + steps * kRank * kBoth, 0);
    for (int64_t y = 0; y < side_; ++y) {
      for (int64_t k = 0; k < length_; k += kBoth) {
        int64_t columns = length_ - k > kRank ? kBoth : kRank;
        for (int64_t p = 0; p < positions; ++p) {
          CopyOver(words + from[p] + y * row + k, columns, windows + p * kBoth);
        }
        for (int64_t o = 0; o < out_; o += kBoth) {
          auto multiply = columns > kRank ? Multiply<2> : Multiply<1>;
          multiply(turned + o * pitch, pitch, windows, steps, true, Square(y, k, o), kBoth);
        }
      }
    }
  }

  float Of(int64_t y, int64_t k, int64_t o) {
    return Square(y, k, o)[o % kBoth * kBoth + k % kBoth];
  }

 private:
  float* Square(int64_t y, int64_t k, int64_t o) {
    int64_t across = Up(out_, kBoth) / kBoth;
    return &sums_[((y * (Up(length_, kBoth) / kBoth) + k / kBoth) * across + o / kBoth) * kSquare];
  }

  // [positions][channels] -> [channels][positions], with zeros up to whole tiles.
  void Turn(const float* gradients, int64_t positions, int64_t pitch, float* to) {
    std::fill(to, to + Up(out_, kBoth) * pitch, 0);
    for (int64_t p = 0; p < positions; p += kRank) {
      int64_t many = std::min(kRank, positions - p);
      for (int64_t o = 0; o < out_; ++o) {
        for (int64_t i = 0; i < many; ++i) to[o * pitch + p + i] = gradients[(p + i) * padded_ + o];
      }
    }
  }

  int64_t side_, length_, out_, padded_;
  Words sums_;
};

// Sets the gradient of the kernel to what some images contribute, from the first on.
template <Factors kFactors>
void ToKernel(const Sizes& s, int64_t begin, int64_t end, const float* images,
              const Results& results, float* kernel) {
  constexpr bool kFew = kFactors == kFloats;  // words are floats
  Frame frame{s.h, s.w, s.c, s.c, s.top, s.left, s.bottom, s.right};
  int64_t length = s.side * s.c, next = s.stride * s.c, group = frame.Group(end - begin);
  int64_t size = group * frame.Size(), beyond = next + kBoth;
  std::vector<int32_t> from;  // the windows of positions, or of each two neighbours
  for (int64_t i = 0; i < group; ++i) {
    for (int64_t y = 0; y < s.high; ++y) {
      for (int64_t x = 0; x < s.wide; x += kFew ? 1 : 2) {
        from.push_back(i * frame.Size() + s.stride * (y * frame.Row() + x * s.c));
      }
    }
  }
  int64_t in_image = from.size() / group, padded = Up(s.out, kLanes);
  bool copied = !kFew || padded != s.out;
  float* words = Scratch<0>(size + beyond);
  float* copy = copied ? Scratch<2>(group * in_image * padded) : nullptr;
  std::fill(words, words + size + beyond, 0);
  KernelSums<kFactors> sums(s.side, length, s.out);
  for (int64_t first = begin; first < end; first += group) {
    int64_t count = std::min(group, end - first);
    const float* from_images = images + first * s.h * s.w * s.c;
    if constexpr (kFew) {
      frame.Fill<kFloats>(from_images, count, words);
    } else {
      frame.FillPairs(from_images, count, next, words);
    }
    const float* gradients = results.Of(first, count);
    if (copied) Gradients<kFactors>(gradients, count * s.high, s.wide, s.out, copy);
    sums.Add(words, frame.Row(), from.data(), count * in_image, copied ? copy : gradients);
  }
  for (int64_t y = 0; y < s.side; ++y) {
    for (int64_t k = 0; k < length; ++k) {
      for (int64_t o = 0; o < s.out; ++o) kernel[(y * length + k) * s.out + o] = sums.Of(y, k, o);
    }
  }
}
