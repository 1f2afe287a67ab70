#include "base/uri.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"

namespace signet {
namespace {

constexpr std::array<std::string_view, 4> known_schemes = {"http", "https", "tftp", "file"};

// RFC 3986 §5.2.4.
std::string remove_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  const auto segments = split(path.substr(path.starts_with('/') ? 1 : 0), '/');
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    if (segments[i] == "." || segments[i] == "..") {
      if (segments[i] == ".." && !kept.empty()) kept.pop_back();
      if (last) kept.push_back("");
    } else {
      kept.push_back(segments[i]);
    }
  }
  std::string clean;
  for (const auto segment : kept) clean.append("/").append(segment);
  return clean.empty() ? "/" : clean;
}

std::string percent_decode(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

constexpr std::size_t longest = 8192;  // bytes; what servers take as a rule (RFC 9110 §4.1 asks for 8000)

Result<> check_characters(std::string_view text) {
  if (text.size() > longest)
    return fail(ErrorKind::invalid, "`{}` is not a URI: it is longer than {} bytes", shorten(hide_secrets(text), 100), longest);
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '\\')
      return fail(ErrorKind::invalid, "`{}` is not a URI: it contains a space, a control character or a backslash", printable(hide_secrets(text)));
  return {};
}

// "scheme" of "scheme:rest", RFC 3986 §3.1; empty if the text has none.
std::string_view scheme_of(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return {};
  const auto scheme = text.substr(0, colon);
  for (const char c : scheme) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
    if (!letter && (!other || &c == scheme.data())) return {};
  }
  return scheme;
}

// Of "host", "host:80", "[::1]:80": the port is a number or not there.
bool has_port_or_none(std::string_view authority) {
  const auto colon = authority.find(':', authority.starts_with('[') ? std::min(authority.find(']'), authority.size()) : 0);
  return colon == std::string_view::npos || authority.find_first_not_of("0123456789", colon + 1) == std::string_view::npos;
}

// "token=abc&x" as "token=…&…": the names say what is missing when something does not work.
std::string hidden_query(std::string_view query) {
  std::string shown;
  for (const auto part : split(query, '&')) {
    if (!shown.empty()) shown += "&";
    const auto equals = part.find('=');
    if (equals != std::string_view::npos) shown += part.substr(0, equals + 1);
    shown += "…";
  }
  return shown;
}

}  // namespace

std::string Uri::secret_text() const {
  return scheme + "://" + user_info + (user_info.empty() ? "" : "@") + authority + path + (query.empty() ? "" : "?" + query);
}

std::string Uri::file_path() const { return percent_decode(path); }

std::string Uri::host() const {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

std::string Uri::display() const {
  if (scheme == "file") return file_path();
  return scheme + "://" + authority + path + (query.empty() ? "" : "?" + hidden_query(query));
}

std::string hide_secrets(std::string_view message) {
  std::string shown;
  for (auto mark = message.find("://"); mark != std::string_view::npos; mark = message.find("://")) {
    shown += message.substr(0, mark + 3);
    message.remove_prefix(mark + 3);
    const auto uri = message.substr(0, message.find_first_of(" \t\r\n\"'`<>"));
    message.remove_prefix(uri.size());
    const auto authority = uri.substr(0, uri.find_first_of("/?#"));
    // A "port" that is not one is the start of a password with a '/', '?' or '#' in it.
    const auto at = (has_port_or_none(authority.substr(authority.rfind('@') + 1)) ? authority : uri).rfind('@');
    const auto first = at + 1;  // npos + 1 is 0
    const auto question = uri.find('?', first);
    shown += uri.substr(first, std::min(question, uri.size()) - first);
    if (question != std::string_view::npos) shown += "?" + hidden_query(uri.substr(question + 1));
  }
  return shown.append(message);
}

Result<Uri> parse_uri(std::string_view text) {
  if (text.size() <= longest && text.starts_with('/')) {
    // A plain path may hold any byte; those that mean something in a URI are escaped.
    std::string path;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte <= 0x20 || byte >= 0x7f || c == '%' || c == '?' || c == '#' || c == '\\')
        path += std::format("%{:02X}", byte);
      else
        path += c;
    }
    return Uri{.scheme = "file", .authority = {}, .path = remove_dot_segments(path), .query = {}, .user_info = {}};
  }
  TRY(check_characters(text));
  const auto scheme = scheme_of(text);
  if (scheme.empty()) return fail(ErrorKind::invalid, "`{}` is not a URI: it has no scheme such as http://", hide_secrets(text));
  Uri uri;
  uri.scheme = to_lower(scheme);
  bool known = false;
  for (const auto name : known_schemes) known = known || uri.scheme == name;
  if (!known) return fail(ErrorKind::invalid, "`{}`: the scheme `{}` is not one of http, https, tftp, file", hide_secrets(text), uri.scheme);

  auto rest = text.substr(scheme.size() + 1);
  rest = rest.substr(0, rest.find('#'));
  if (!rest.starts_with("//")) return fail(ErrorKind::invalid, "`{}` is not a URI: `//` is missing after `{}:`", hide_secrets(text), uri.scheme);
  rest.remove_prefix(2);
  const auto authority_end = rest.find_first_of("/?");
  uri.authority = rest.substr(0, authority_end);
  rest = authority_end == std::string_view::npos ? std::string_view() : rest.substr(authority_end);
  if (const auto at = uri.authority.rfind('@'); at != std::string::npos) {
    uri.user_info = uri.authority.substr(0, at);
    uri.authority.erase(0, at + 1);
  }
  if (!has_port_or_none(uri.authority))
    return fail(ErrorKind::invalid, "`{}`: its port is not a number (in a user or password write `/` as %2F, `?` as %3F, `#` as %23)",
                hide_secrets(text));
  if (uri.user_info.contains('@')) return fail(ErrorKind::invalid, "`{}`: the user or password contains `@`; write it as %40", hide_secrets(text));
  const auto question = rest.find('?');
  uri.path = remove_dot_segments(rest.substr(0, question));
  if (question != std::string_view::npos) uri.query = rest.substr(question + 1);
  if (uri.scheme == "file" && uri.authority == "localhost") uri.authority.clear();
  if (uri.scheme == "file" ? !uri.authority.empty() : uri.authority.empty())
    return fail(ErrorKind::invalid, "`{}`: {}", hide_secrets(text), uri.scheme == "file" ? "write file:///path" : "the host is missing");
  return uri;
}

Result<Uri> resolve_uri(const Uri& base, std::string_view reference) {
  if (!scheme_of(reference).empty()) {
    auto uri = TRY(parse_uri(reference));
    if (uri.scheme == "file" && base.scheme != "file")
      return std::unexpected(
          Error(ErrorKind::refused, std::format("`{}` is a local file, which {} may not name", printable(reference), base.display()))
              .advise("put the file on the server and name it by a path or URL"));
    return uri;
  }
  if (base.scheme == "file") {
    if (reference.starts_with('/')) return parse_uri(reference);
    return parse_uri(base.file_path().substr(0, base.file_path().rfind('/') + 1).append(reference));
  }
  TRY(check_characters(reference));
  Uri uri = base;
  uri.query.clear();
  reference = reference.substr(0, reference.find('#'));
  const auto question = reference.find('?');
  if (question != std::string_view::npos) uri.query = reference.substr(question + 1);
  const auto path = reference.substr(0, question);
  if (reference.starts_with("//")) return parse_uri(base.scheme + ":" + std::string(reference));
  if (path.empty()) return uri;
  uri.path = remove_dot_segments(path.starts_with('/') ? std::string(path) : base.path.substr(0, base.path.rfind('/') + 1).append(path));
  return uri;
}

}  // namespace signet
