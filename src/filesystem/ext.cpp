// ext2, ext3 and ext4 on libext2fs, with what mke2fs(8) and its mke2fs.conf give by default.
#include <uuid/uuid.h>

#include <array>
#include <cstring>
#include <format>
#include <string>

#include "base/size.h"
#include "filesystem/makers.h"
//
#include "filesystem/ext2fs.h"

namespace signet {
namespace {

// mke2fs.conf's usage types, chosen by size.
struct Usage {
  std::uint64_t below;  // bytes
  unsigned block_size;
  std::uint64_t inode_ratio;  // bytes for each inode
};
constexpr std::uint64_t TiB = 1024 * GiB;
constexpr Usage usages[] = {
    {3 * MiB, 1024, 8192},      // floppy
    {512 * MiB, 1024, 4096},    // small
    {4 * TiB, 4096, 16384},     // default
    {16 * TiB, 4096, 32768},    // big
    {UINT64_MAX, 4096, 65536},  // huge
};
constexpr unsigned inode_size = 256;
constexpr unsigned log_groups_per_flex = 4;  // 16 groups
constexpr unsigned reserved_percent = 5;

const Usage& usage_for(std::uint64_t size) {
  for (const auto& usage : usages)
    if (size < usage.below) return usage;
  return usages[std::size(usages) - 1];
}

// mke2fs.conf of 1.44 (2018) and of 1.46 (2022) give ext4 the same features, all of which Linux 4.18 mounts (fs/ext4/ext4.h,
// EXT4_FEATURE_INCOMPAT_SUPP and EXT4_FEATURE_RO_COMPAT_SUPP). 1.47 adds two: metadata_csum_seed, which GRUB before 2.12 refuses, and orphan_file,
// which e2fsck before 1.47 refuses and Linux before 5.15 does not know.
void set_features(ext2_super_block& super, FormatType type, Compat compat) {
  ext2fs_set_feature_sparse_super(&super);
  ext2fs_set_feature_large_file(&super);
  ext2fs_set_feature_filetype(&super);
  ext2fs_set_feature_resize_inode(&super);
  ext2fs_set_feature_dir_index(&super);
  ext2fs_set_feature_xattr(&super);
  if (type == FormatType::ext2) return;
  ext2fs_set_feature_journal(&super);
  if (type == FormatType::ext3) return;
  ext2fs_set_feature_extents(&super);
  ext2fs_set_feature_huge_file(&super);
  ext2fs_set_feature_flex_bg(&super);
  ext2fs_set_feature_metadata_csum(&super);
  ext2fs_set_feature_64bit(&super);
  ext2fs_set_feature_dir_nlink(&super);
  ext2fs_set_feature_extra_isize(&super);
  if (compat != Compat::newest) return;
  ext2fs_set_feature_csum_seed(&super);
  ext2fs_set_feature_orphan_file(&super);
}

ext2_super_block parameters(const FormatRequest& request) {
  const auto& usage = usage_for(request.size);
  ext2_super_block super{};
  super.s_rev_level = EXT2_DYNAMIC_REV;
  set_features(super, request.type, request.compat);
  super.s_log_block_size = usage.block_size == 4096 ? 2 : 0;
  super.s_log_cluster_size = super.s_log_block_size;
  super.s_inode_size = inode_size;
  if (ext2fs_has_feature_64bit(&super)) super.s_desc_size = EXT2_MIN_DESC_SIZE_64BIT;
  if (ext2fs_has_feature_flex_bg(&super)) super.s_log_groups_per_flex = log_groups_per_flex;
  super.s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
  super.s_errors = EXT2_ERRORS_CONTINUE;
  // Whole pages, whatever the block size, as the kernel's page cache likes it.
  const std::uint64_t blocks = round_down(request.size, 4096) / usage.block_size;
  ext2fs_blocks_count_set(&super, blocks);
  ext2fs_r_blocks_count_set(&super, blocks * reserved_percent / 100);
  super.s_inodes_count = static_cast<__u32>(std::min<std::uint64_t>(blocks * usage.block_size / usage.inode_ratio, UINT32_MAX));
  return super;
}

// Runs the steps of one format; the first that fails ends it, with its name.
class Maker {
 public:
  explicit Maker(const FormatRequest& request) : request_(request) {}

  Result<> make() {
    TRY(open());
    TRY(set_identity());
    TRY(step(ext2fs_allocate_tables(fs()), "place the group tables"));
    TRY(step(ext2fs_convert_subcluster_bitmap(fs(), &fs()->block_map), "set up the block bitmap"));
    blk64_t overhead = 0;
    TRY(step(ext2fs_count_used_clusters(fs(), fs()->super->s_first_data_block, ext2fs_blocks_count(fs()->super) - 1, &overhead),
             "count the overhead"));
    TRY(wipe_end());
    TRY(write_inode_tables());
    TRY(make_directories());
    TRY(reserve_inodes());
    TRY(step(ext2fs_create_resize_inode(fs()), "reserve blocks for growing"));
    if (ext2fs_has_feature_journal(fs()->super)) {
      ext2fs_journal_params journal{};
      TRY(step(ext2fs_get_journal_params(&journal, fs()), "choose a journal size"));
      overhead += journal.num_journal_blocks + journal.num_fc_blocks;
      TRY(step(ext2fs_add_journal_inode3(fs(), &journal, ~0ULL, EXT2_MKJOURNAL_NO_MNT_CHECK), "make the journal"));
    }
    fs()->super->s_overhead_clusters = static_cast<__u32>(overhead + fs()->super->s_first_data_block);
    if (ext2fs_has_feature_orphan_file(fs()->super))
      TRY(step(ext2fs_create_orphan_file(fs(), static_cast<blk_t>(ext2fs_default_orphan_file_blocks(fs()))), "make the orphan file"));
    return close();
  }

 private:
  ext2_filsys fs() const { return filesystem_.get(); }

  static Result<> step(errcode_t code, const char* what) {
    if (code == 0) return {};
    // libext2fs mixes errno values with codes of its own.
    if (code > 0 && code < 256) return std::unexpected(Error::from_errno(what, static_cast<int>(code)));
    return fail(ErrorKind::io, "{}: {}", what, error_message(code));
  }

  Result<> open() {
    initialize_ext2_error_table();
    auto super = parameters(request_);
    ext2_filsys opened = nullptr;
    const int flags = EXT2_FLAG_64BITS | (request_.offset == 0 ? EXT2_FLAG_EXCLUSIVE : 0);
    TRY(step(ext2fs_initialize(request_.path.c_str(), flags, &super, unix_io_manager, &opened), "set up the superblock"));
    filesystem_.reset(opened);
    if (request_.offset != 0) TRY(step(io_channel_set_options(fs()->io, std::format("offset={}", request_.offset).c_str()), "set the offset"));
    return {};
  }

  Result<> set_identity() {
    auto& super = *fs()->super;
    const auto uuid = TRY(uuid_bytes(request_.uuid));
    std::memcpy(super.s_uuid, uuid.data(), uuid.size());
    if (ext2fs_has_feature_csum_seed(&super)) super.s_checksum_seed = ext2fs_crc32c_le(~0U, super.s_uuid, sizeof super.s_uuid);
    ext2fs_init_csum_seed(fs());
    if (ext2fs_has_feature_metadata_csum(&super)) super.s_checksum_type = EXT2_CRC32C_CHKSUM;
    super.s_def_hash_version = EXT2_HASH_HALF_MD4;
    ::uuid_generate(reinterpret_cast<unsigned char*>(super.s_hash_seed));
    super.s_max_mnt_count = -1;  // no fsck for having been mounted often
    super.s_checkinterval = 0;
    if (ext2fs_has_feature_extents(&super)) super.s_kbytes_written = 1;
    std::strncpy(reinterpret_cast<char*>(super.s_volume_name), request_.label.c_str(), sizeof super.s_volume_name);
    std::strncpy(reinterpret_cast<char*>(super.s_last_mounted), request_.mount_point.c_str(), sizeof super.s_last_mounted - 1);
    return {};
  }

  // Old RAID metadata lies in the last 64 KiB; the write also proves that the device is as large as it says.
  Result<> wipe_end() {
    const blk64_t reserve = 65536 / fs()->blocksize;
    const blk64_t blocks = ext2fs_blocks_count(fs()->super);
    blk64_t start = blocks & ~(reserve - 1);
    if (start > reserve) start -= reserve;
    return step(ext2fs_zero_blocks2(fs(), start, static_cast<int>(blocks - start), nullptr, nullptr), "write to the end of the partition");
  }

  // With checksummed group descriptors the kernel zeroes unused inode tables in the background after the first mount (lazy_itable_init); without, all
  // of them are zeroed here.
  Result<> write_inode_tables() {
    const bool lazy = ext2fs_has_group_desc_csum(fs());
    for (dgrp_t group = 0; group < fs()->group_desc_count; ++group) {
      auto blocks = fs()->inode_blocks_per_group;
      if (lazy) {
        const auto used = fs()->super->s_inodes_per_group - ext2fs_bg_itable_unused(fs(), group);
        blocks = static_cast<unsigned>(round_up(std::uint64_t{used} * inode_size, fs()->blocksize) / fs()->blocksize);
      } else {
        ext2fs_bg_flags_set(fs(), group, EXT2_BG_INODE_ZEROED);
        ext2fs_group_desc_csum_set(fs(), group);
      }
      if (blocks > 0)
        TRY(step(ext2fs_zero_blocks2(fs(), ext2fs_inode_table_loc(fs(), group), static_cast<int>(blocks), nullptr, nullptr),
                 "write the inode tables"));
    }
    if (!ext2fs_has_feature_metadata_csum(fs()->super)) return {};
    // Reserved inodes are read before they are used, so their checksums must be right.
    std::array<unsigned char, inode_size> zeros{};
    for (ext2_ino_t inode = 1; inode < EXT2_FIRST_INO(fs()->super); ++inode)
      TRY(step(ext2fs_write_inode_full(fs(), inode, reinterpret_cast<ext2_inode*>(zeros.data()), inode_size), "write the reserved inodes"));
    return {};
  }

  Result<> make_directories() {
    TRY(step(ext2fs_mkdir(fs(), EXT2_ROOT_INO, EXT2_ROOT_INO, nullptr), "make the root directory"));
    constexpr const char* name = "lost+found";
    fs()->umask = 077;
    TRY(step(ext2fs_mkdir(fs(), EXT2_ROOT_INO, 0, name), "make lost+found"));
    ext2_ino_t inode = 0;
    TRY(step(ext2fs_lookup(fs(), EXT2_ROOT_INO, name, static_cast<int>(std::strlen(name)), nullptr, &inode), "find lost+found"));
    // 16 KiB of it in advance: e2fsck fills it when there may be no block left to take.
    unsigned size = fs()->blocksize;
    for (int i = 1; i < EXT2_NDIR_BLOCKS && (size < 16 * 1024 || size < 2 * fs()->blocksize); ++i, size += fs()->blocksize)
      TRY(step(ext2fs_expand_dir(fs(), inode), "expand lost+found"));
    return {};
  }

  Result<> reserve_inodes() {
    for (ext2_ino_t inode = EXT2_ROOT_INO + 1; inode < EXT2_FIRST_INODE(fs()->super); ++inode) ext2fs_inode_alloc_stats2(fs(), inode, +1, 0);
    ext2fs_mark_ib_dirty(fs());
    ext2fs_mark_inode_bitmap2(fs()->inode_map, EXT2_BAD_INO);
    ext2fs_inode_alloc_stats2(fs(), EXT2_BAD_INO, +1, 0);
    return step(ext2fs_update_bb_inode(fs(), nullptr), "make the bad-blocks inode");
  }

  Result<> close() {
    // Writes superblocks, descriptors and bitmaps and syncs; the handle is gone afterwards, whether it worked or not.
    ext2_filsys closing = filesystem_.release();
    return step(ext2fs_close_free(&closing), "write superblocks and bitmaps");
  }

  const FormatRequest& request_;
  ExtFilesystem filesystem_;
};

}  // namespace

Result<> make_ext(const FormatRequest& request) { return Maker(request).make(); }

}  // namespace signet
