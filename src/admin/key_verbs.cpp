// The command lines of `signet key` and `signet tree`.
#include <cstdio>
#include <format>
#include <span>

#include "admin/keys.h"
#include "base/options.h"
#include "base/text.h"

namespace signet {
namespace {

struct Request : TreeRequest {
  std::string out;
  std::string expires;
};

struct TreeOption : OptionText {
  void (*set)(Request&, const char* value);
};

constexpr TreeOption key_options[] = {
    {{"out", "FILE", "private key to make; the public one is FILE.pub"}, [](Request& r, const char* v) { r.out = v; }},
};
constexpr TreeOption sign_options[] = {
    {{"key", "FILE", "the private key (PEM)"}, [](Request& r, const char* v) { r.key = v; }},
    {{"expires", "TIME", "how long the signature is valid, such as 12h, 90d, 1y (90d)"}, [](Request& r, const char* v) { r.expires = v; }},
    {{"hosts", "PATH=NODES", "the hosts that a file is for, such as hosts/db.toml=db[1-4]; repeatable"},
     [](Request& r, const char* v) { r.hosts.emplace_back(v); }},
    {{"trust", "FILE", "public keys (PEM) that may have signed the last manifest, besides this key's"},
     [](Request& r, const char* v) { r.trust = v; }},
};
constexpr TreeOption verify_options[] = {
    {{"trust", "FILE", "public keys (PEM)"}, [](Request& r, const char* v) { r.trust = v; }},
};

struct Action {
  std::string_view verb, name, words, summary;
  std::span<const TreeOption> options;
};
constexpr Action actions[] = {
    {"key", "new", "", "make a key pair of the curve P-256; nothing is overwritten", key_options},
    {"tree", "sign", " [DIR]", "list every file of a server's tree in manifest.toml and sign it", sign_options},
    {"tree", "verify", " [DIR]", "check the signature of a tree, its date and every file", verify_options},
};

// "signet tree sign [DIR] --key …", from the word after `tree` on.
Result<> act(const Action& action, int count, char** arguments) {
  const auto verb = std::format("{} {}", action.verb, action.name);
  const std::vector<OptionText> texts(action.options.begin(), action.options.end());
  const auto advice = std::format("see `signet {} --help`", verb);
  Request request;
  const auto parsed = TRY(parse_arguments(verb, advice, texts, count, arguments,
                                          [&](std::size_t which, const char* value) { action.options[which].set(request, value); }));
  if (parsed.help) {
    std::printf("signet %s: %s.\n\nUsage: signet %s%s [OPTION]...\n\nOptions:\n%s", verb.c_str(), std::string(action.summary).c_str(), verb.c_str(),
                std::string(action.words).c_str(), options_text(texts).c_str());
    return {};
  }
  if (parsed.words.size() > (action.words.empty() ? 0 : 1))
    return std::unexpected(Error(ErrorKind::usage, std::format("{}: unexpected argument `{}`", verb, printable(parsed.words.back()))).advise(advice));
  if (!parsed.words.empty()) request.directory = parsed.words.front();
  if (request.directory.size() > 1 && request.directory.ends_with('/')) request.directory.pop_back();
  if (!request.expires.empty()) {
    const auto valid = parse_validity(request.expires);
    if (!valid) return fail(ErrorKind::usage, "{}: --expires: {}", verb, valid.error().message());
    request.valid = *valid;
  }
  if (action.name == "sign") return sign_tree(request).transform_error([&](Error error) { return std::move(error).within(verb); });
  if (action.name == "verify") return verify_tree(request).transform_error([&](Error error) { return std::move(error).within(verb); });
  if (request.out.empty()) return std::unexpected(Error(ErrorKind::usage, verb + ": --out is missing: where to?").advise(advice));
  TRY_WITHIN(make_key(request.out), verb);
  std::printf("%s\n%s.pub\n", request.out.c_str(), request.out.c_str());
  return {};
}

Result<> dispatch(std::string_view verb, int count, char** arguments) {
  const std::string_view name = count > 1 ? arguments[1] : "";
  std::string names;
  for (const auto& action : actions) {
    if (action.verb != verb) continue;
    if (action.name == name) return act(action, count - 1, arguments + 1);
    names += std::format("  {:<7} {}\n", action.name, action.summary);
  }
  if (name == "--help" || name == "-h") {
    std::printf("Usage: signet %s ACTION [OPTION]...\n\n%s\n`signet %s ACTION --help` lists the options.\n", std::string(verb).c_str(), names.c_str(),
                std::string(verb).c_str());
    return {};
  }
  const auto what = name.empty() ? std::string("an action is missing") : std::format("there is no action `{}`", printable(name));
  return std::unexpected(Error(ErrorKind::usage, std::format("{}: {}", verb, what)).advise(std::format("see `signet {} --help`", verb)));
}

}  // namespace

Result<> key_verb(int count, char** arguments) { return dispatch("key", count, arguments); }
Result<> tree_verb(int count, char** arguments) { return dispatch("tree", count, arguments); }

}  // namespace signet
