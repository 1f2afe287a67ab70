#include "profile/loader.h"

#include <algorithm>
#include <chrono>
#include <format>

#include "base/text.h"
#include "profile/section.h"

namespace signet {
namespace {

constexpr unsigned deepest = 16;                   // levels of `extends`
constexpr unsigned most_files = 64;                // in all: files that extend each other twice over would double with every level
constexpr unsigned longest_key = 64;               // parts of a dotted key; each is a table in a table, and those are taken apart recursively
constexpr std::size_t largest_text = 1024 * 1024;  // bytes of one file
constexpr std::size_t largest_sum = 4 * 1024 * 1024;
constexpr std::size_t most_values = 100'000;             // in all, with their keys: a table can cost 200 bytes of memory for each of its own
constexpr auto longest_time = std::chrono::seconds(60);  // for all files together; the one that is being fetched then has its own limit
constexpr std::int64_t schema_version = 1;

// The length of the string that starts here (TOML 1.0: basic, literal, and both over several lines), quotes included; all of it if it has no end.
std::size_t string_length(std::string_view text) {
  const char quote = text.front();
  const std::string three(3, quote);
  const auto end = text.starts_with(three) ? std::string_view(three) : std::string_view(three).substr(0, 1);
  for (std::size_t at = end.size(); at < text.size(); ++at) {
    if (quote == '"' && text[at] == '\\')
      ++at;
    else if (text.substr(at).starts_with(end))
      return at + end.size();
    else if (end.size() == 1 && text[at] == '\n')
      return at;
  }
  return text.size();
}

struct Fault {
  std::size_t offset;
  std::string message;
};

// What must not come before the parser, which assumes that nobody writes it: a key of too many parts (it nests as many tables), and bytes that TOML
// has no use for outside strings and comments. `values` counts what the parser will make of it, at least.
std::optional<Fault> fault_of(std::string_view text, std::size_t& values) {
  unsigned dots = 0;
  for (std::size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0; at < text.size(); ++at) {
    switch (const char c = text[at]) {
      case '"':
      case '\'': at += string_length(text.substr(at)) - 1; break;
      case '#': at = std::min(text.find('\n', at), text.size()) - 1; break;
      case '.':
        if (++dots >= longest_key) return Fault{at, std::format("a key of more than {} parts", longest_key)};
        ++values;
        break;
      case '=':
      case ',':
      case '[':
      case '{': ++values; [[fallthrough]];
      case '\n':
      case ']':
      case '}': dots = 0; break;
      case '\t':
      case '\r': break;
      default:
        if (c < ' ' || c > '~')  // bytes of UTF-8 are negative
          return Fault{at, "this is not TOML: outside of strings and comments only the printable characters of ASCII are allowed"};
    }
    if (values > most_values)
      return Fault{std::min(at, text.size()),
                   std::format("this is not a profile: it has more than {} values, with all that it extends", most_values)};
  }
  return std::nullopt;
}

Place place_at(const std::string& file, std::string_view text, std::size_t offset) {
  const auto before = text.substr(0, offset);
  const auto line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {file, static_cast<unsigned>(std::ranges::count(before, '\n') + 1), static_cast<unsigned>(offset - line_start + 1)};
}

// toml++ says "Error while parsing string: encountered end-of-file". The slips that everybody makes are said in plain words.
std::string syntax_message(std::string_view description) {
  constexpr std::pair<std::string_view, std::string_view> plain[] = {
      {"unescaped control characters", "a string is not closed on the line that it starts on, or has a control character in it"},
      {"could not determine value type", "a value is expected here; strings stand in \"quotes\""},
      {"encountered end-of-file", "the file ends where something should follow"},
      {"exceeded maximum nested value depth", "values are nested too deeply"},
  };
  for (const auto& [theirs, ours] : plain)
    if (description.contains(theirs)) return std::format("this is not TOML: {}", ours);
  constexpr std::string_view opening = "Error while parsing ";
  if (description.starts_with(opening)) description.remove_prefix(opening.size());
  return std::format("this is not TOML: {}", printable(description));
}

// Puts what `own` says over what `base` says: tables merge, everything else replaces. Nodes are moved, so they keep the place that they were
// written at.
void merge(toml::table& base, toml::table&& own) {
  for (auto&& [key, value] : own) {
    auto* here = base.get_as<toml::table>(key.str());
    if (here && value.is_table()) {
      merge(*here, std::move(*value.as_table()));
      continue;
    }
    base.erase(key.str());  // with its key, which has a place too
    value.visit([&](auto& node) { base.insert(key, std::move(node)); });
  }
}

class Loader {
 public:
  Loader(const LoadText& load, Diagnostics& diagnostics) : load_(load), diagnostics_(diagnostics) {}

  std::optional<Document> document(std::string_view text, const Uri& where) {
    Document made;
    const auto file = where.secret_text();  // what relative references are resolved by; diagnostics show it by display()
    made.root = {file, 1, 1};
    if (auto problem = unfit(text, file)) return note(std::move(*problem)), std::nullopt;
    auto parsed = toml::parse(text, file);
    if (!parsed) {
      const auto& at = parsed.error().source().begin;
      note({{file, static_cast<unsigned>(at.line), static_cast<unsigned>(at.column)}, syntax_message(parsed.error().description())});
      return std::nullopt;
    }
    auto own = std::move(parsed).table();
    bool fine = right_schema(own);
    chain_.push_back(file);
    fine = extend(made.table, own, where) && fine;
    chain_.pop_back();
    if (!fine) return std::nullopt;
    own.erase("extends");
    merge(made.table, std::move(own));
    return made;
  }

 private:
  void note(Diagnostic diagnostic) {
    if (diagnostics_.size() < most_diagnostics) diagnostics_.push_back(std::move(diagnostic));
  }
  bool complain(const toml::node& node, std::string message) {
    note({place_of(node), std::move(message)});
    return false;
  }

  std::optional<Diagnostic> unfit(std::string_view text, const std::string& file) {
    if (text.size() > largest_text) return Diagnostic{{file, 0, 0}, "this is not a profile: it has more than 1 MiB"};
    stopped_ = text.size() > largest_sum - bytes_;
    if (stopped_) return Diagnostic{{file, 0, 0}, "the profile has more than 4 MiB with all that it extends"};
    bytes_ += text.size();
    auto fault = fault_of(text, values_);
    stopped_ = values_ > most_values;
    if (fault) return Diagnostic{place_at(file, text, fault->offset), std::move(fault->message)};
    return std::nullopt;
  }

  // Each file that names a schema must name this one; what it means would be a guess otherwise.
  bool right_schema(const toml::table& own) {
    const auto* node = own.get("schema");
    if (!node) return true;
    const auto* number = node->as_integer();
    if (!number) return complain(*node, "schema must be a whole number: write `schema = 1`");
    if (number->get() == schema_version) return true;
    return complain(*node,
                    std::format("schema {} is not known to this agent ({}); it reads schema {}", number->get(), SIGNET_VERSION, schema_version));
  }

  bool extend(toml::table& base, const toml::table& own, const Uri& where) {
    const auto* list = own.get("extends");
    if (!list) return true;
    if (chain_.size() > deepest) return complain(*list, std::format("extends goes deeper than {} levels", deepest));
    if (list->is_string()) return add(base, *list, where);
    const auto* array = list->as_array();
    if (!array) return complain(*list, "extends must be an array of files");
    bool fine = true;
    for (const auto& element : *array) fine = add(base, element, where) && fine;
    return fine;
  }

  bool add(toml::table& base, const toml::node& node, const Uri& where) {
    const auto* name = node.as_string();
    if (!name) return complain(node, "extends must hold strings only");
    if (stopped_) return false;
    if (std::chrono::steady_clock::now() - start_ > longest_time) {
      stopped_ = true;
      return complain(node, std::format("the files that the profile extends took more than {} s to fetch", longest_time.count()));
    }
    if (++files_ > most_files) return files_ > most_files + 1 ? false : complain(node, std::format("extends names more than {} files", most_files));
    const auto uri = resolve_uri(where, name->get());
    if (!uri) return complain(node, std::format("extends: {}", uri.error().message()));
    if (std::ranges::find(chain_, uri->secret_text()) != chain_.end())
      return complain(node, std::format("extends goes in a circle: {} is extended by itself", uri->display()));
    const auto text = load_(*uri);
    if (!text) return complain(node, std::format("extends: {}", text.error().message()));
    auto extended = document(*text, *uri);
    if (extended) merge(base, std::move(extended->table));
    return extended.has_value();
  }

  const LoadText& load_;
  Diagnostics& diagnostics_;
  std::vector<std::string> chain_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  unsigned files_ = 0;
  std::size_t bytes_ = 0, values_ = 0;
  bool stopped_ = false;  // what is asked for goes on without end: no more of it
};

}  // namespace

std::optional<Document> load_document(std::string_view text, const Uri& where, const LoadText& load, Diagnostics& diagnostics) {
  return Loader(load, diagnostics).document(text, where);
}

}  // namespace signet
