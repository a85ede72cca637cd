// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include <mpi.h>

#include <libgossip/mpi/mca.h>

namespace gossip::mpi {
namespace {

namespace fs = std::filesystem;

constexpr std::array<McaParameter, 3> kDefaults{
    {{"btl_tcp_eager_limit", "1056768"},  // 1 MiB and 8 KiB
     {"mpi_add_procs_cutoff", "100000"},
     {"async_mpi_finalize", "1"}}};

constexpr const char* kSiteFile = "openmpi-mca-params.conf";
constexpr const char* kOverridingFile = "openmpi-mca-params-override.conf";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string text_of(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? "" : text;
}

/// Where the site's files may lie: with a library in PREFIX/lib in PREFIX/etc.
std::vector<fs::path> site_folders() {
  std::vector<fs::path> folders;
  if (const std::string prefix = text_of("OPAL_PREFIX"); !prefix.empty()) {
    folders.push_back(fs::path(prefix) / "etc");
  }
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&MPI_Init_thread), &info) != 0 && info.dli_fname != nullptr) {
    std::error_code error;
    const fs::path library = fs::canonical(info.dli_fname, error);
    if (!error) folders.push_back(library.parent_path().parent_path() / "etc");
  }
  folders.emplace_back("/etc/openmpi");  // Debian's
  return folders;
}

}  // namespace

std::span<const McaParameter> mca_defaults() { return kDefaults; }

std::vector<std::string> names_in_mca_file(const std::string& path) {
  std::vector<std::string> names;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::string_view text = std::string_view(line).substr(0, line.find('#'));
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = trimmed(text.substr(0, equals));
    if (!name.empty()) names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> mca_files() {
  std::vector<std::string> files;
  const std::string home = text_of("HOME");
  if (!home.empty()) files.push_back(home + "/.openmpi/mca-params.conf");
  for (const fs::path& folder : site_folders()) {
    files.push_back(folder / kSiteFile);
    files.push_back(folder / kOverridingFile);
  }
  return files;
}

std::vector<std::string> set_mca_defaults(const std::vector<std::string>& files) {
  std::vector<std::string> set_by_files;
  for (const std::string& file : files) {
    for (std::string& name : names_in_mca_file(file)) set_by_files.push_back(std::move(name));
  }
  std::vector<std::string> names;
  for (const McaParameter& parameter : kDefaults) {
    const std::string variable = std::string("OMPI_MCA_") + parameter.name;
    if (std::getenv(variable.c_str()) != nullptr) continue;
    if (std::ranges::find(set_by_files, parameter.name) != set_by_files.end()) continue;
    setenv(variable.c_str(), parameter.value, 1);
    names.emplace_back(parameter.name);
  }
  return names;
}

}  // namespace gossip::mpi
