// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include <libgossip/kernels/dadao.h>

namespace gossip::kernels {

template <class T>
void flow(const SixVectors<T>& v, const DADAOFlow& flow) {
  T* __restrict x = v[0].data();
  T* __restrict x_tilde = v[1].data();
  T* __restrict y = v[2].data();
  T* __restrict y_tilde = v[3].data();
  T* __restrict z = v[4].data();
  T* __restrict z_tilde = v[5].data();
  std::array<T, 6> a;
  std::array<T, 6> b;
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<T>(flow.y[i]);
    b[i] = static_cast<T>(flow.y_tilde[i]);
  }
  const T to_x = static_cast<T>(flow.x);
  const T to_z = static_cast<T>(flow.z);
  const T from_z_tilde = static_cast<T>(flow.z_tilde);
  const std::size_t n = v[0].size();
// The vectors do not overlap.
#pragma GCC ivdep
  for (std::size_t k = 0; k < n; ++k) {
    const T x0 = x[k];
    const T x1 = x_tilde[k];
    const T y0 = y[k];
    const T y1 = y_tilde[k];
    const T z0 = z[k];
    const T z1 = z_tilde[k];
    const T moved = to_x * (x1 - x0);
    x[k] = x0 + moved;
    x_tilde[k] = x1 - moved;
    y[k] = (a[0] * x0 + a[1] * x1) + (a[2] * y0 + a[3] * y1) + (a[4] * z0 + a[5] * z1);
    y_tilde[k] = (b[0] * x0 + b[1] * x1) + (b[2] * y0 + b[3] * y1) + (b[4] * z0 + b[5] * z1);
    z[k] = z0 + to_z * (z1 - z0);
    z_tilde[k] = z1 - from_z_tilde * (z1 - z0);
  }
}

template <class T>
double gradient_event(const SixVectors<T>& v, std::span<const T> gradient, double nu, double gamma,
                      double gamma_tilde, double delta) {
  T* __restrict x = v[0].data();
  T* __restrict x_tilde = v[1].data();
  T* __restrict y_tilde = v[3].data();
  const T* __restrict g = gradient.data();
  const T factor_nu = static_cast<T>(nu);
  const T to_x = static_cast<T>(gamma);
  const T to_x_tilde = static_cast<T>(gamma_tilde);
  const T to_y_tilde = static_cast<T>(delta);
  const std::size_t n = v[0].size();
  constexpr std::size_t kLanes = 8;  // of the sum, so that it does not hold up the pass
  std::array<double, kLanes> squares{};
  const auto step = [&](std::size_t k) {
    const T q = g[k] - factor_nu * x[k] - y_tilde[k];
    x[k] -= to_x * q;
    x_tilde[k] -= to_x_tilde * q;
    y_tilde[k] += to_y_tilde * q;
    return static_cast<double>(q) * static_cast<double>(q);
  };
  std::size_t k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) squares[lane] += step(k + lane);
  }
  double sum = 0.0;
  for (; k < n; ++k) sum += step(k);
  for (const double square : squares) sum += square;
  return sum;
}

#define GOSSIP_INSTANTIATE(T)                                                                 \
  template void flow<T>(const SixVectors<T>&, const DADAOFlow&);                              \
  template double gradient_event<T>(const SixVectors<T>&, std::span<const T>, double, double, \
                                    double, double)

GOSSIP_INSTANTIATE(float);
GOSSIP_INSTANTIATE(double);

#undef GOSSIP_INSTANTIATE

}  // namespace gossip::kernels
