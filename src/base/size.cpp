#include "base/size.h"

#include <array>
#include <limits>
#include <utility>

#include "base/text.h"

namespace signet {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t bytes;
};

constexpr std::uint64_t kilo = 1000;
constexpr std::array<Unit, 18> units = {{
    {"", 1},
    {"B", 1},
    {"KiB", KiB},
    {"MiB", MiB},
    {"GiB", GiB},
    {"TiB", GiB * 1024},
    {"PiB", GiB * 1024 * 1024},
    {"K", KiB},
    {"M", MiB},
    {"G", GiB},
    {"T", GiB * 1024},
    {"P", GiB * 1024 * 1024},
    {"kB", kilo},
    {"KB", kilo},
    {"MB", kilo* kilo},
    {"GB", kilo* kilo* kilo},
    {"TB", kilo* kilo* kilo* kilo},
    {"PB", kilo* kilo* kilo* kilo* kilo},
}};

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto wrong = [&](std::string_view why) { return fail(ErrorKind::invalid, "`{}` is not a size: {}", printable(text), why); };
  const auto whole_text = trim(text);
  const auto number_end = whole_text.find_first_not_of("0123456789.");
  const auto number = whole_text.substr(0, number_end);
  const auto unit_name = number_end == std::string_view::npos ? std::string_view() : trim(whole_text.substr(number_end));

  const Unit* unit = nullptr;
  for (const auto& known : units)
    if (known.name == unit_name) unit = &known;
  const auto dot = number.find('.');
  const auto whole = parse_unsigned(number.substr(0, dot));
  if (!whole) return wrong("write a number and a unit, such as 512MiB, 20GiB or 1.5TB");
  if (!unit) return wrong("the unit must be one of B, KiB, MiB, GiB, TiB, PiB, kB, MB, GB, TB, PB");

  __extension__ using Wide = unsigned __int128;
  Wide bytes = static_cast<Wide>(*whole) * unit->bytes;
  if (dot != std::string_view::npos) {
    const auto digits = number.substr(dot + 1);
    const auto fraction = parse_unsigned(digits);
    if (!fraction || digits.size() > 9) return wrong("write at most nine digits behind the point");
    if (unit->bytes == 1) return wrong("a byte has no fractions");
    std::uint64_t scale = 1;
    for (std::size_t i = 0; i < digits.size(); ++i) scale *= 10;
    bytes += static_cast<Wide>(*fraction) * unit->bytes / scale;
  }
  if (bytes > std::numeric_limits<std::uint64_t>::max()) return wrong("it is more than 16 EiB");
  return static_cast<std::uint64_t>(bytes);
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 7> names = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  std::uint64_t scale = 1;
  while (unit + 1 < names.size() && bytes / scale >= 1024) {
    scale *= 1024;
    ++unit;
  }
  const std::uint64_t whole = bytes / scale;
  __extension__ using Wide = unsigned __int128;
  const auto hundredths = static_cast<unsigned>(static_cast<Wide>(bytes % scale) * 100 / scale);
  if (hundredths == 0 || whole >= 100) return std::format("{} {}", whole, names[unit]);
  if (whole >= 10 || hundredths % 10 == 0) {
    if (hundredths < 10) return std::format("{} {}", whole, names[unit]);
    return std::format("{}.{} {}", whole, hundredths / 10, names[unit]);
  }
  return std::format("{}.{:02} {}", whole, hundredths, names[unit]);
}

std::string format_exact_size(std::uint64_t bytes) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 5> exact = {
      {{"PiB", GiB * 1024 * 1024}, {"TiB", GiB * 1024}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}};
  for (const auto& [name, scale] : exact)
    if (bytes != 0 && bytes % scale == 0) return std::format("{}{}", bytes / scale, name);
  return std::format("{}B", bytes);
}

}  // namespace signet
