// SPDX-License-Identifier: Apache-2.0
// Bytes per second of the fused passes, beside memcpy.
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include <libgossip/kernels/vector.h>

namespace {

using gossip::kernels::Source;

void set_bytes(benchmark::State& state, std::int64_t streams) {
  state.SetBytesProcessed(state.iterations() * state.range(0) * streams);
}

void memory_copy(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::vector<char> a(bytes, 1);
  std::vector<char> b(bytes, 2);
  for (auto _ : state) {
    std::memcpy(b.data(), a.data(), bytes);
    benchmark::ClobberMemory();
  }
  set_bytes(state, 2);
}

template <class T>
void pair_event(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0)) / sizeof(T);
  std::vector<T> a(size, T{1});
  std::vector<T> b(size, T{2});
  for (auto _ : state) {
    gossip::kernels::pair_event(std::span<T>(a), std::span<T>(b), 0.5);
    benchmark::ClobberMemory();
  }
  set_bytes(state, 4);
}

template <class T, int kSources>
void mix(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0)) / sizeof(T);
  std::vector<T> own(size, T{1});
  std::vector<std::vector<T>> others(kSources, std::vector<T>(size, T{2}));
  std::vector<Source<T>> sources;
  for (const std::vector<T>& other : others)
    sources.push_back({other.data(), 1.0 / (kSources + 1)});
  for (auto _ : state) {
    gossip::kernels::mix(std::span<T>(own), std::span<const Source<T>>(sources));
    benchmark::ClobberMemory();
  }
  set_bytes(state, 2 + kSources);
}

constexpr std::int64_t kSmall = 4096;
constexpr std::int64_t kLarge = 46137344;

BENCHMARK(memory_copy)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(pair_event<float>)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(pair_event<double>)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(mix<float, 1>)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(mix<float, 2>)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(mix<float, 3>)->Arg(kSmall)->Arg(kLarge);
BENCHMARK(mix<double, 2>)->Arg(kSmall)->Arg(kLarge);

}  // namespace
