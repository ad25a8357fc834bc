// Matrix products of pairs of bfloat16 in the tiles of AMX, which are eight registers of 16 rows of
// 16 words: several times the rate of vectors. Elsewhere loops compute the same, for tests.
#pragma once

#include "bfloat16.h"

#if defined(__AMX_BF16__) && defined(__AVX512F__) && defined(__linux__)
#define MLPLAB_HAS_TILES 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

constexpr int64_t kRank = 16;           // rows of a tile, and words of a row
constexpr int64_t kBoth = 2 * kRank;    // of two tiles side by side
constexpr int64_t kSquare = kBoth * kBoth;  // sums of two by two tiles

#ifdef MLPLAB_HAS_TILES

constexpr bool kHasTiles = true;

// Whether the kernel lets this process use tiles: it keeps them for each thread that does.
inline bool MayUseTiles() {
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool allowed = syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  return allowed;
}

// GCC's instructions for tiles do not say that they read memory: what is to be read must be there.
inline void Written() { __asm__ volatile("" ::: "memory"); }

// The tiles of this thread are usable while this lives.
struct Tiles {
  Tiles() {
    struct alignas(64) {
      uint8_t palette, start_row, reserved[14];
      uint16_t bytes[16];
      uint8_t rows[16];
    } form{};
    form.palette = 1;
    for (int tile = 0; tile < 8; ++tile) form.bytes[tile] = 4 * kRank, form.rows[tile] = kRank;
    Written();
    _tile_loadconfig(&form);
  }
  ~Tiles() { _tile_release(); }
};

// Two by kColumns tiles of sums, set to or added to what `steps` tiles of words contribute.
//   rows: [2 * kRank] of words, `pitch` words apart
//   columns: [kRank * steps] of words, kBoth words apart
//   sums: [2 * kRank][kColumns * kRank], rows `apart` floats apart
template <int kColumns>
void Multiply(const float* rows, int64_t pitch, const float* columns, int64_t steps, bool add,
              float* sums, int64_t apart) {
  float* below = sums + kRank * apart;
  Written();
  if (add) {
    _tile_loadd(0, sums, 4 * apart);
    _tile_loadd(1, below, 4 * apart);
    if constexpr (kColumns == 2) {
      _tile_loadd(2, sums + kRank, 4 * apart);
      _tile_loadd(3, below + kRank, 4 * apart);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t step = 0; step < steps; ++step, rows += kRank, columns += kRank * kBoth) {
    _tile_loadd(4, rows, 4 * pitch);
    _tile_loadd(6, columns, 4 * kBoth);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, rows + kRank * pitch, 4 * pitch);
    _tile_dpbf16ps(1, 5, 6);
    if constexpr (kColumns == 2) {
      _tile_loadd(7, columns + kRank, 4 * kBoth);
      _tile_dpbf16ps(2, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, 4 * apart);
  _tile_stored(1, below, 4 * apart);
  if constexpr (kColumns == 2) {
    _tile_stored(2, sums + kRank, 4 * apart);
    _tile_stored(3, below + kRank, 4 * apart);
  }
}

#else

constexpr bool kHasTiles = false;

inline bool MayUseTiles() { return true; }

struct Tiles {};

template <int kColumns>
void Multiply(const float* rows, int64_t pitch, const float* columns, int64_t steps, bool add,
              float* sums, int64_t apart) {
  auto half = [](float word, int which) {
    uint32_t bits;
    std::memcpy(&bits, &word, 4);
    bits = which ? bits & 0xffff0000u : bits << 16;
    std::memcpy(&word, &bits, 4);
    return word;
  };
  for (int64_t i = 0; i < 2 * kRank; ++i) {
    for (int64_t j = 0; j < kColumns * kRank; ++j) {
      float* sum = sums + i * apart + j;
      if (!add) *sum = 0;
      for (int64_t k = 0; k < kRank * steps; ++k) {
        float a = rows[i * pitch + k], b = columns[k * kBoth + j];
        *sum += half(a, 0) * half(b, 0) + half(a, 1) * half(b, 1);
      }
    }
  }
}

#endif
