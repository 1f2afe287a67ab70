// The words of the profile's enumerations, each with its value; one table for reading, writing and for messages.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "profile/profile.h"

namespace signet {

template <class Enum, std::size_t size>
using Words = std::array<std::pair<std::string_view, Enum>, size>;

inline constexpr Words<WipeRule, 4> wipe_words = {
    {{"blank", WipeRule::blank}, {"signet", WipeRule::signet}, {"signet-any", WipeRule::signet_any}, {"any", WipeRule::any}}};
inline constexpr Words<TableType, 2> table_words = {{{"gpt", TableType::gpt}, {"mbr", TableType::mbr}}};
inline constexpr Words<FormatType, 6> format_words = {{{"none", FormatType::none},
                                                       {"ext2", FormatType::ext2},
                                                       {"ext3", FormatType::ext3},
                                                       {"ext4", FormatType::ext4},
                                                       {"vfat", FormatType::vfat},
                                                       {"swap", FormatType::swap}}};
inline constexpr Words<Compat, 4> compat_words = {
    {{"auto", Compat::automatic}, {"2018", Compat::y2018}, {"2022", Compat::y2022}, {"newest", Compat::newest}}};
inline constexpr Words<PartitionType, 8> type_words = {{{"linux", PartitionType::linux},
                                                        {"esp", PartitionType::esp},
                                                        {"bios", PartitionType::bios},
                                                        {"swap", PartitionType::swap},
                                                        {"boot", PartitionType::boot},
                                                        {"home", PartitionType::home},
                                                        {"raid", PartitionType::raid},
                                                        {"lvm", PartitionType::lvm}}};
inline constexpr Words<BootLoader, 3> boot_loader_words = {
    {{"automatic", BootLoader::automatic}, {"grub", BootLoader::grub}, {"none", BootLoader::none}}};
inline constexpr Words<FinishAction, 6> action_words = {{{"reboot", FinishAction::reboot},
                                                         {"poweroff", FinishAction::poweroff},
                                                         {"halt", FinishAction::halt},
                                                         {"kexec", FinishAction::kexec},
                                                         {"shell", FinishAction::shell},
                                                         {"beep", FinishAction::beep}}};

inline constexpr Words<InstallRule, 3> install_words = {
    {{"once", InstallRule::once}, {"when-changed", InstallRule::when_changed}, {"always", InstallRule::always}}};
inline constexpr Words<BootOrder, 2> boot_order_words = {{{"disk-first", BootOrder::disk_first}, {"keep", BootOrder::keep}}};

template <class Enum, std::size_t size>
constexpr std::string_view word_of(const Words<Enum, size>& words, Enum value) {
  for (const auto& [word, meaning] : words)
    if (meaning == value) return word;
  return {};
}

template <class Enum, std::size_t size>
constexpr std::optional<Enum> value_of(const Words<Enum, size>& words, std::string_view text) {
  for (const auto& [word, meaning] : words)
    if (word == text) return meaning;
  return std::nullopt;
}

/// "blank, signet or any".
template <class Enum, std::size_t size>
std::string list_of(const Words<Enum, size>& words) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text.append(i == 0 ? "" : i + 1 == size ? " or " : ", ").append(words[i].first);
  return text;
}

}  // namespace signet
