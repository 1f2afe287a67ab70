// A profile and all that it extends, read into one document in which every node knows the file, line and column that it was written at.
#pragma once

#include <optional>
#include <string_view>

#include "base/toml.h"
#include "profile/profile.h"

namespace signet {

struct Document {
  toml::table table;
  Place root;  // the start of the file that was asked for: where to point when something is missing altogether
};

/// Nothing if a file is not TOML, cannot be loaded or asks for another schema; what is wrong is noted, in all files at once.
std::optional<Document> load_document(std::string_view text, const Uri& where, const LoadText& load, Diagnostics& diagnostics);

}  // namespace signet
