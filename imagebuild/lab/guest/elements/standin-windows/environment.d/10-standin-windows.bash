# The image's shape: ext4 on the bare disk. extlinux cannot read the 64bit feature; a small journal keeps the image small.
export DISTRO_NAME=debian
export DIB_RELEASE=${DIB_RELEASE:-stable}
export DIB_BLOCK_DEVICE_CONFIG='
- local_loop:
    name: image0
- mkfs:
    base: image0
    name: mkfs_root
    type: ext4
    opts: "-O ^64bit,^metadata_csum -J size=4 -m 0"
    mount:
      mount_point: /
      fstab:
        options: "defaults"
        fsck-passno: 0
'
