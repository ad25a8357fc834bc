// Vectors of the processor, and work divided among the threads of XLA.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "xla/ffi/api/ffi.h"

// A tile of results is kept in registers: kTile rows of kVectors vectors.
#if defined(__AVX512F__)
constexpr int64_t kLanes = 16, kVectors = 2, kTile = 12;
#elif defined(__AVX__)
constexpr int64_t kLanes = 8, kVectors = 2, kTile = 6;
#elif defined(__aarch64__)
constexpr int64_t kLanes = 4, kVectors = 4, kTile = 6;
#else
constexpr int64_t kLanes = 4, kVectors = 2, kTile = 6;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef float Loose __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef uint32_t Bits __attribute__((vector_size(4 * kLanes)));
typedef int32_t Integers __attribute__((vector_size(4 * kLanes)));

inline Vector Load(const float* from) { return *reinterpret_cast<const Loose*>(from); }
inline void Store(float* to, Vector value) { *reinterpret_cast<Loose*>(to) = value; }
inline Vector All(float value) { return value - Vector{}; }

inline int64_t Up(int64_t size, int64_t to) { return (size + to - 1) / to * to; }

// The first `count` floats of a vector.
inline Vector LoadSome(const float* from, int64_t count) {
  if (count == kLanes) return Load(from);
  Vector value{};
  std::memcpy(&value, from, 4 * count);
  return value;
}

inline void StoreSome(float* to, Vector value, int64_t count) {
  if (count == kLanes) return Store(to, value);
  std::memcpy(to, &value, 4 * count);
}

// Memory that begins with a line of the cache: a vector that lies in two lines takes twice as long.
template <class Value>
struct Aligned {
  using value_type = Value;
  Aligned() = default;
  template <class Other>
  Aligned(const Aligned<Other>&) {}
  Value* allocate(size_t count) {
    return static_cast<Value*>(::operator new(count * sizeof(Value), std::align_val_t{64}));
  }
  void deallocate(Value* from, size_t) { ::operator delete(from, std::align_val_t{64}); }
  friend bool operator==(const Aligned&, const Aligned&) { return true; }
  friend bool operator!=(const Aligned&, const Aligned&) { return false; }
};
using Words = std::vector<float, Aligned<float>>;

// Memory of a thread that is kept between calls.
template <int kPurpose>
inline float* Scratch(int64_t size) {
  thread_local Words memory;
  if (static_cast<int64_t>(memory.size()) < size) memory.resize(size);
  return memory.data();
}

// Calls work(piece) for each piece, in the threads of XLA's pool. The caller takes pieces as well
// and waits only for those that others have begun: so two calls that need all threads at once
// cannot wait for one another.
template <class Work>
xla::ffi::Error Divide(xla::ffi::ThreadPool& pool, int64_t pieces, const Work& work) {
  struct State {
    std::atomic<int64_t> next{0};
    std::mutex lock;
    std::condition_variable done;
    int64_t ended = 0;
    std::string failed;
  };
  auto state = std::make_shared<State>();
  // A thread that comes too late finds no piece, and does not touch what is gone by then.
  auto take = [state, pieces, &work] {
    for (int64_t piece; (piece = state->next.fetch_add(1)) < pieces;) {
      std::string failed;
      try {
        work(piece);
      } catch (const std::exception& error) {
        failed = error.what();
      }
      std::lock_guard<std::mutex> hold(state->lock);
      if (!failed.empty()) state->failed = failed;
      if (++state->ended == pieces) state->done.notify_one();
    }
  };
  int64_t others = std::min<int64_t>(pieces, pool.num_threads()) - 1;
  for (int64_t other = 0; other < others; ++other) pool.Schedule([take]() mutable { take(); });
  take();
  std::unique_lock<std::mutex> hold(state->lock);
  state->done.wait(hold, [&] { return state->ended == pieces; });
  if (!state->failed.empty()) return xla::ffi::Error::Internal(state->failed);
  return xla::ffi::Error::Success();
}

// How many pieces floats are worth: with few, another thread costs more than it saves.
inline int64_t Pieces(const xla::ffi::ThreadPool& pool, int64_t floats, int64_t at_most) {
  constexpr int64_t kFew = 1 << 14;
  int64_t pieces = std::min(floats / kFew, 4 * pool.num_threads());
  return std::max<int64_t>(1, std::min(pieces, at_most));
}
