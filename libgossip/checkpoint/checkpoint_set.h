// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// The files of one checkpoint: DIR/step-N/ with two files a rank and the manifest.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <libgossip/base/error.h>
#include <libgossip/base/named_value.h>
#include <libgossip/base/types.h>
#include <libgossip/checkpoint/safetensors.h>

namespace gossip::checkpoint {

/// A file of a set that its manifest says is complete is missing, or is not as it was written.
class DamagedSet : public Error {
 public:
  using Error::Error;
};

/// What rank-R.json says of a rank, besides where its tensors are.
struct RankRecord {
  std::string run = {};   ///< which run wrote it
  std::int64_t step = 0;  ///< of the set, as in the folder's name
  int ranks = 1;          ///< of the run
  Rank rank = 0;
  std::int64_t steps = 0;  ///< that this rank had made; of all ranks together those of the job
  double weight = 1.0;     ///< push-sum weight of its model
  std::vector<NamedValue> values = {};
  std::uint64_t tensor_bytes = 0;  ///< of rank-R.safetensors
  std::uint32_t tensor_crc32 = 0;
};

/// What manifest.json says of a rank.
struct RankEntry {
  Rank rank = 0;
  std::int64_t steps = 0;
  double weight = 1.0;
  std::uint64_t bytes = 0;  ///< of rank-R.json
  std::uint32_t crc32 = 0;
};

/// What manifest.json says: the set is complete, and these are its files.
struct Manifest {
  std::string run = {};
  std::int64_t step = 0;
  std::vector<RankEntry> ranks = {};
};

/// The CRC-32 that zlib and gzip use, of more bytes behind those of `before`.
[[nodiscard]] std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before = 0);

/// "step-500"
[[nodiscard]] std::string set_name(std::int64_t step);

[[nodiscard]] std::filesystem::path tensor_file(const std::filesystem::path& set, Rank rank);
[[nodiscard]] std::filesystem::path record_file(const std::filesystem::path& set, Rank rank);
[[nodiscard]] std::filesystem::path manifest_file(const std::filesystem::path& set);

/// Writes the two files of a rank, each whole or not at all and the record last, and brings them to
/// the disk. `tensors` have their places in `data` (place()). Makes the folder. Blocks; local.
/// A link in the place of the folder goes, and is never followed. Throws gossip::Error naming the
/// file and the reason.
void write_rank(const std::filesystem::path& set, RankRecord record,
                const std::vector<TensorInfo>& tensors, std::span<const std::byte> data);

/// Makes the set complete: checks that all ranks' records are there and of this run and step, and
/// writes the manifest. Blocks; local; for one rank. Throws gossip::Error otherwise.
void write_manifest(const std::filesystem::path& set, const std::string& run, std::int64_t step,
                    int ranks);

/// Throws DamagedSet when it is not as it was written, gossip::Error for a newer format.
[[nodiscard]] Manifest read_manifest(const std::filesystem::path& set);

/// The record of a rank of the manifest. Throws as read_manifest().
[[nodiscard]] RankRecord read_record(const std::filesystem::path& set, const Manifest& manifest,
                                     Rank rank);

/// Reads the tensors of a record into `memory`, of `record.tensor_bytes` bytes. Throws DamagedSet.
[[nodiscard]] SafetensorsContents read_tensors(const std::filesystem::path& set,
                                               const RankRecord& record,
                                               std::span<std::byte> memory);

}  // namespace gossip::checkpoint
