#!/bin/sh
# The same install as default.toml, written as a script of ten lines.
set -e
signet-agent partition --match 'transport=virtio,size=>=2GiB' --wipe signet --table gpt \
  --partition name=bios,size=1MiB,type=bios \
  --partition name=esp,size=64MiB,type=esp,format=vfat,mount=/boot/efi \
  --partition name=swap,size=256MiB,type=swap,format=swap \
  --partition name=root,size=rest,format=ext4,label=root,mount=/
signet-agent format
signet-agent mount
signet-agent pull --source "${SIGNET_SERVER}images/debian-13.tar.zst" --sha256 @SHA256@
signet-agent configure --kernel-args 'console=tty0 console=ttyS0,115200' --root-password '$6$signetdemo$UBjCsWjouze8FZverZ0CyNT1cY6vFMBA1r7LmAP0ZTFbbubwc2N9Ror6iGMOdcUkV9YY0uLLG0dj0UWt41jcB0'
signet-agent finish
