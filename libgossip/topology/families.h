// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The named graphs. Every function returns a strongly connected graph of `size` ranks whose name
/// is the function's in kebab-case, and throws gossip::Error when there is none of that size. Edges
/// that coincide in small graphs are one edge. docs/topologies.md compares the families.

#include <cstdint>
#include <vector>

#include <libgossip/topology/graph.h>

namespace gossip::topology {

/// Everybody with everybody.
[[nodiscard]] Graph complete(int size);

/// i with i - 1 and i + 1 (mod size).
[[nodiscard]] Graph ring(int size);

/// i receives from i - 1 (mod size).
[[nodiscard]] Graph directed_ring(int size);

/// Everybody with rank 0.
[[nodiscard]] Graph star(int size);

/// i with i + 1, without the closing edge of the ring.
[[nodiscard]] Graph path(int size);

/// r rows and c columns, r the largest divisor of `size` not above its square root; rank a * c + b
/// stands in row a and column b. A prime size gives the path.
[[nodiscard]] Graph grid(int size);

/// The grid with edges around both ways. A prime size gives the ring.
[[nodiscard]] Graph torus(int size);

/// The grid with these sides, in any number of dimensions: the last coordinate of a rank counts
/// fastest, as the columns of grid(). Its name tells them: "grid:3x5". Throws gossip::Error for no
/// side, a side below 1, and more ranks than an int holds.
[[nodiscard]] Graph grid_of(const std::vector<int>& sides);

/// The same with edges around in every dimension: "torus:4x8".
[[nodiscard]] Graph torus_of(const std::vector<int>& sides);

/// i with i xor 2^b. `size` must be a power of two; the error names the nearest ones.
[[nodiscard]] Graph hypercube(int size);

/// i with (i - 1) div 2.
[[nodiscard]] Graph binary_tree(int size);

/// i receives from i - 2^b (mod size) for 0 <= b < ceil(log2 size).
[[nodiscard]] Graph static_exponential(int size);

/// i with i - 2^b and i + 2^b (mod size) for 0 <= b < ceil(log2 size).
[[nodiscard]] Graph symmetric_exponential(int size);

/// A random connected graph in which every rank has `degree` neighbors, the same for the same seed.
/// `size * degree` must be even and `degree` below `size`; degree 1 connects 2 ranks only.
[[nodiscard]] Graph random_regular(int size, int degree, std::uint64_t seed);

/// Smallest t with 2^t >= size: the offsets of the exponential graphs.
[[nodiscard]] int ceil_log2(int size);

}  // namespace gossip::topology
