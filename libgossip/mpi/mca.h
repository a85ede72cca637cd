// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// Parameters of Open MPI that libgossip needs to be other than Open MPI's own defaults.

#include <span>
#include <string>
#include <vector>

namespace gossip::mpi {

/// A parameter of Open MPI's Modular Component Architecture.
struct McaParameter {
  const char* name;
  const char* value;
};

/// - btl_tcp_eager_limit: a piece between hosts (1 MiB) and its header are sent at once. Above the
///   limit control messages queue behind bulk data, and exchanges use one direction at a time.
/// - mpi_add_procs_cutoff, async_mpi_finalize: ranks can carry on, and end, after one was lost.
[[nodiscard]] std::span<const McaParameter> mca_defaults();

/// The parameters that a file of lines "name = value" sets, with # for comments; none when it
/// cannot be read.
[[nodiscard]] std::vector<std::string> names_in_mca_file(const std::string& path);

/// The files that Open MPI reads: the user's, and the site's beside the MPI library.
[[nodiscard]] std::vector<std::string> mca_files();

/// Sets the environment variable OMPI_MCA_<name> of each default that neither the environment nor
/// one of the files sets. Returns the names of those set. To be called before MPI starts; other MPI
/// libraries take no notice.
std::vector<std::string> set_mca_defaults(const std::vector<std::string>& files);

}  // namespace gossip::mpi
