// Convolutions of oneDNN as calls of XLA: forward, to the images, to the kernel.
#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "oneapi/dnnl/dnnl.hpp"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using dnnl::memory;
using tag = memory::format_tag;

namespace {

enum Kind : int64_t { kForward = 0, kToImages = 1, kToKernel = 2 };

// A convolution: its kind, whether its factors are bfloat16, and its sizes.
struct Shape {
  int64_t kind, type, n, h, w, c, high, wide, out, side, stride, top, left, bottom, right;
  auto All() const {
    return std::array<int64_t, 15>{kind, type, n,      h,   w,    c,      high, wide,
                                   out,  side, stride, top, left, bottom, right};
  }
  bool operator<(const Shape& other) const { return All() < other.All(); }
};

dnnl::engine& Engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// A convolution for one thread, with the memory that it works in.
struct Convolution {
  dnnl::primitive convolve, arrange;
  memory images, result, plain, arranged;  // the kernel as XLA has it, and as oneDNN wants it
  bool same = true;

  explicit Convolution(const Shape& s) {
    auto f32 = memory::data_type::f32;
    auto type = s.type ? memory::data_type::bf16 : f32;
    memory::dims of_x{s.n, s.c, s.h, s.w}, of_y{s.n, s.out, s.high, s.wide};
    memory::dims of_kernel{s.out, s.c, s.side, s.side};
    memory::dims strides{s.stride, s.stride}, before{s.top, s.left}, after{s.bottom, s.right};
    // What is computed is float32.
    memory::desc x(of_x, s.kind == kToImages ? f32 : type, tag::nhwc);
    memory::desc y(of_y, s.kind == kForward ? f32 : type, tag::nhwc);
    memory::desc kernel(of_kernel, s.kind == kToKernel ? f32 : type, tag::hwio);
    memory::desc any(of_kernel, s.kind == kToKernel ? f32 : type, tag::any);
    auto algorithm = dnnl::algorithm::convolution_direct;
    dnnl::convolution_forward::primitive_desc forward(
        Engine(), dnnl::prop_kind::forward_training, algorithm, memory::desc(of_x, type, tag::nhwc),
        memory::desc(of_kernel, type, tag::any), y, strides, before, after);
    memory::desc chosen;
    if (s.kind == kForward) {
      chosen = forward.weights_desc();
      convolve = dnnl::convolution_forward(forward);
    } else if (s.kind == kToImages) {
      dnnl::convolution_backward_data::primitive_desc back(Engine(), algorithm, x, any, y, strides,
                                                           before, after, forward);
      chosen = back.weights_desc();
      convolve = dnnl::convolution_backward_data(back);
    } else {
      dnnl::convolution_backward_weights::primitive_desc back(Engine(), algorithm, x, any, y,
                                                              strides, before, after, forward);
      chosen = back.diff_weights_desc();
      convolve = dnnl::convolution_backward_weights(back);
    }
    images = memory(x, Engine(), nullptr);
    result = memory(y, Engine(), nullptr);
    plain = memory(kernel, Engine(), nullptr);
    same = chosen == kernel;
    if (same) return;
    arranged = memory(chosen, Engine());
    arrange = s.kind == kToKernel ? dnnl::reorder(arranged, plain) : dnnl::reorder(plain, arranged);
  }

  void Run(dnnl::stream& stream, int64_t kind, void* x, void* kernel, void* y) {
    images.set_data_handle(x);
    result.set_data_handle(y);
    plain.set_data_handle(kernel);
    std::unordered_map<int, memory> all{{kind == kToImages ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, images},
                                        {kind == kToKernel ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
                                         same ? plain : arranged},
                                        {kind == kForward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, result}};
    if (!same && kind != kToKernel) {
      arrange.execute(stream, {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, arranged}});
    }
    convolve.execute(stream, all);
    if (!same && kind == kToKernel) {
      arrange.execute(stream, {{DNNL_ARG_FROM, arranged}, {DNNL_ARG_TO, plain}});
    }
    stream.wait();
  }
};

// Run a piece in this thread, on one core.
void Piece(const Shape& s, void* x, void* kernel, void* y) {
  thread_local std::map<Shape, Convolution> known;
  thread_local dnnl::stream stream(Engine());
  int before = omp_get_max_threads();
  omp_set_num_threads(1);
  auto found = known.find(s);
  if (found == known.end()) found = known.emplace(s, Convolution(s)).first;
  found->second.Run(stream, s.kind, x, kernel, y);
  omp_set_num_threads(before);
}

// Both gradients and the result are divided by images among the threads of XLA's pool. Of the
// gradient of the kernel each piece has its own sum; these are added in order, so that the same
// number of pieces gives the same bits.
ffi::Error Convolve(ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer b,
                    ffi::Result<ffi::AnyBuffer> r, int64_t kind, int64_t stride, int64_t top,
                    int64_t left, int64_t bottom, int64_t right, int64_t pieces) {
  // kForward: images, kernel -> result; kToImages: gradient, kernel -> images;
  // kToKernel: images, gradient -> kernel.
  auto of_result = std::make_pair(r->untyped_data(), r->dimensions());
  auto of_a = std::make_pair(a.untyped_data(), a.dimensions());
  auto of_b = std::make_pair(b.untyped_data(), b.dimensions());
  auto [x, xd] = kind == kToImages ? of_result : of_a;
  auto [k, kd] = kind == kToKernel ? of_result : of_b;
  auto [y, yd] = kind == kForward ? of_result : kind == kToImages ? of_a : of_b;
  bool narrow = a.element_type() == ffi::DataType::BF16;
  int64_t n = xd[0];
  if (pieces < 1) pieces = pool.num_threads();
  pieces = std::max<int64_t>(1, std::min(n, pieces));
  Shape shape{kind,  narrow, 0,      xd[1], xd[2], xd[3], yd[1], yd[2],
              yd[3], kd[0],  stride, top,   left,  bottom, right};
  int64_t x_bytes = xd[1] * xd[2] * xd[3] * (kind == kToImages || !narrow ? 4 : 2);
  int64_t y_bytes = yd[1] * yd[2] * yd[3] * (kind == kForward || !narrow ? 4 : 2);
  int64_t size = kd[0] * kd[1] * kd[2] * kd[3];
  std::vector<float> sums(kind == kToKernel ? size * (pieces - 1) : 0);

  // The caller takes pieces as well, and waits only for those that others have begun: two calls at
  // once, on all threads of the pool, cannot wait for one another.
  struct State {
    std::atomic<int64_t> next{0};
    std::mutex lock;
    std::condition_variable done;
    int64_t ended = 0;
    std::string failed;
  };
  auto state = std::make_shared<State>();
  auto images = static_cast<char*>(x), result = static_cast<char*>(y);
  auto kernel = static_cast<float*>(k), more = sums.data();
  auto work = [=](State& state) {
    for (int64_t p; (p = state.next.fetch_add(1)) < pieces;) {
      int64_t from = n * p / pieces;
      Shape own = shape;
      own.n = n * (p + 1) / pieces - from;
      float* sum = kind == kToKernel && p > 0 ? more + size * (p - 1) : kernel;
      std::string failed;
      try {
        Piece(own, images + from * x_bytes, sum, result + from * y_bytes);
      } catch (const std::exception& error) {
        failed = std::string("oneDNN: ") + error.what();
      }
      std::lock_guard<std::mutex> hold(state.lock);
      if (!failed.empty()) state.failed = failed;
      if (++state.ended == pieces) state.done.notify_one();
    }
  };
  for (int64_t p = 1; p < pieces; ++p) pool.Schedule([work, state] { work(*state); });
  work(*state);
  std::unique_lock<std::mutex> hold(state->lock);
  state->done.wait(hold, [&] { return state->ended == pieces; });
  if (!state->failed.empty()) return ffi::Error::Internal(state->failed);
  for (int64_t at = 0; at < static_cast<int64_t>(sums.size()); ++at) kernel[at % size] += sums[at];
  return ffi::Error::Success();
}

}  // namespace

extern "C" int mlplab_has_bfloat16() {
  auto needed = static_cast<int>(dnnl::cpu_isa::avx512_core_bf16);
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & needed) == needed;
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(mlplab_convolve, Convolve,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<int64_t>("kind")
                                  .Attr<int64_t>("stride")
                                  .Attr<int64_t>("top")
                                  .Attr<int64_t>("left")
                                  .Attr<int64_t>("bottom")
                                  .Attr<int64_t>("right")
                                  .Attr<int64_t>("pieces"));
